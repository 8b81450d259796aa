"""The tables of the report as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from ptx.infer.signature import Array

MATRIX_LIMIT = 30  # labels of a confusion matrix; of more the most frequent confusions are listed
LISTED = 20  # of these
LONG_LABELS = 60  # characters of all labels together; above it columns are numbered
CLIP = 24  # characters of a label that a matrix shows
SHARE_OF_WHITE = 0.45  # of a row's answers: a darker cell has white figures


def table_html(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; columns of figures stand to the right. Without a header: names and their values."""
    right = [
        all(row[column][:1].isdigit() or row[column] in ("", "-") for row in rows)
        for column in range(len(rows[0]) if rows else 0)
    ]
    kinds = [" class='n'" if flush else "" for flush in right]
    if not header:
        kinds = ["", " class='long'"]
    head = "".join(
        f"<th{kind}>{escape(title)}</th>" for title, kind in zip(header, kinds, strict=False)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in rows
    )
    return (
        f"<table>{f'<thead><tr>{head}</tr></thead>' if header else ''}<tbody>{body}</tbody></table>"
    )


def confusion_html(matrix: Array | None, labels: Sequence[str], task: str) -> str:
    """The matrix, or of many labels the most frequent confusions; a regression has neither."""
    if matrix is None:
        return f"<p>A {escape(task)} has numbers as answers, and no classes to confuse.</p>"
    shown = "steps" if task == "tagging" else "rows"
    intro = f"<p>{matrix.sum():,} {shown}; true label by row, predicted by column"
    if len(labels) > MATRIX_LIMIT:
        pairs = [(int(matrix[i, j]), i, j) for i, j in np.argwhere(matrix) if i != j]
        listed = [
            (labels[i], labels[j], f"{count:,}", f"{matrix[i].sum():,}")
            for count, i, j in sorted(pairs, reverse=True)[:LISTED]
        ]
        return f"<p>The most frequent of {len(pairs):,} confusions.</p>" + table_html(
            ("true label", "predicted", "rows", "of"), listed
        )
    numbered = sum(map(len, labels)) > LONG_LABELS
    clipped = [label if len(label) <= CLIP else f"{label[: CLIP - 1]}…" for label in labels]
    heads = [str(n) if numbered else label for n, label in enumerate(clipped, 1)]
    names = [f"{n} {label}" if numbered else label for n, label in enumerate(clipped, 1)]
    rows = []
    for true, row in enumerate(matrix):
        shares = row / max(row.sum(), 1)
        cells = "".join(
            _cell(int(count), share, true == got)
            for got, (count, share) in enumerate(zip(row, shares, strict=True))
        )
        rows.append(f"<tr><th scope='row'>{escape(names[true])}</th>{cells}</tr>")
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in heads)
    many = " many" if len(labels) > 12 else ""
    under = ", under the number of its row" if numbered else ""
    return (
        f"{intro}{under}. Darker: a larger share of the row.</p><div class='wide'>"
        f"<table class='matrix{many}'><thead><tr><td></td>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(count: int, share: float, same: bool) -> str:
    classes = " ".join(["same"] * same + ["dark"] * bool(share > SHARE_OF_WHITE))
    # The square root lifts the few: one wrong answer in a thousand is still seen.
    level = round(float(np.sqrt(share)), 2)
    return f"<td class='{classes}' style='background:rgba(0,66,120,{level})'>{count or '·'}</td>"


def pairs_html(names: Sequence[str], between: Sequence[Sequence[int | None]]) -> str:
    """On how many inputs each two backends give different labels."""
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in names)
    lines = "".join(
        f"<tr><th scope='row'>{escape(name)}</th>"
        + "".join(_pair(cell, i == j) for j, cell in enumerate(row))
        + "</tr>"
        for i, (name, row) in enumerate(zip(names, between, strict=True))
    )
    return (
        "<p>Inputs to which two backends give different labels:</p><div class='wide'>"
        f"<table class='matrix'><thead><tr><td></td>{head}</tr></thead><tbody>{lines}"
        "</tbody></table></div>"
    )


def _pair(cell: int | None, same: bool) -> str:
    shade = " style='background:#f3c9b0;font-weight:700'" if cell else ""
    return (
        f"<td class='{'same' if same else ''}'{shade}>{'-' if cell is None else f'{cell:,}'}</td>"
    )
