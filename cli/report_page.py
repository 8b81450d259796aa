"""The report as one HTML page: a template filled with tables, pictures and charts.

Every label, name and path goes through `escape`; nothing on the page is fetched or run.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import numpy as np

from ptx.cli.card import card_pairs
from ptx.cli.charts import Series, line_chart
from ptx.cli.terminal import percent
from ptx.infer.errors import counted
from ptx.infer.signature import Array

if TYPE_CHECKING:
    from ptx.export import Comparison
    from ptx.infer.card import Card
    from ptx.trainers import Evaluation
    from ptx.trainers.evaluation import Answered

TEMPLATE = Path(__file__).parent / "report.html"
MATRIX_LIMIT = 30  # labels of a confusion matrix; of more the most frequent confusions are listed
LISTED = 20  # of these
NOUNS = {"image": "pictures", "photo": "pictures", "text": "texts", "columns": "rows"}
LONG_LABELS = 60  # characters of all labels together; above it columns are numbered
CLIP = 24  # characters of a label that a matrix shows
SHARE_OF_WHITE = 0.45  # of a row's answers: a darker cell has white figures


@dataclass(frozen=True)
class Findings:
    """What a report shows."""

    card: Card
    summary: str
    data: str  # the test rows' data set
    backend: str  # that answered the test rows
    history: Sequence[Mapping[str, float]]
    evaluation: Evaluation
    wrong: Sequence[Answered]
    samples: Sequence[Answered]
    comparison: Comparison
    left_out: Sequence[tuple[str, str]]  # backends that were not compared, and why
    speeds: Sequence[Mapping[str, str]]  # rows of benchmark.csv
    benchmark: str  # HTML: the command that makes them, or what is wrong with the file
    files: Mapping[str, Path] = field(default_factory=dict)


def report_page(found: Findings) -> str:
    """The page."""
    regression = found.evaluation.error is not None
    kind = found.card.preprocessing["kind"]
    noun = NOUNS.get(kind, "sequences")
    title = "The largest errors" if regression else f"The most confidently wrong {noun}"
    return Template(TEMPLATE.read_text("utf-8")).substitute(
        model=escape(found.card.model),
        summary=escape(found.summary),
        figures=_figures(found),
        training=_training(found.history),
        confusion=confusion_html(found.evaluation.confusion, found.card.labels, found.card.task),
        wrong_title=escape(title),
        wrong=_answers(found.wrong, found.card) or "<p>None: every answer is right.</p>",
        samples=_answers(found.samples, found.card),
        agreement=_agreement(found),
        speed=_speed(found),
        provenance=_table((), [*card_pairs(found.card), *_files(found.files)]),
        version=escape(version("ptx")),
    )


def _figures(found: Findings) -> str:
    evaluation, comparison = found.evaluation, found.comparison
    agree = sum(result.holds for result in comparison.results)
    rows = counted(evaluation.rows, "test row")
    first = (
        (f"{evaluation.error:.4g}", f"root mean squared error, {rows}")
        if evaluation.accuracy is None
        else (percent(evaluation.accuracy), f"accuracy, {rows}")
    )
    pairs = [
        first,
        (f"{agree} of {len(comparison.results)}", "backends agree with float64"),
        (str(len(found.history)), "epochs trained"),
        (found.backend, f"answered the test rows of {found.data}"),
    ]
    return "".join(f"<li><b>{escape(b)}</b><span>{escape(text)}</span></li>" for b, text in pairs)


def _training(history: Sequence[Mapping[str, float]]) -> str:
    if not history:
        return "<p>The checkpoint has no history: it holds weights alone.</p>"

    def series(name: str, title: str, factor: float = 1.0) -> Series:
        return Series(title, [(row["epoch"], factor * row[name]) for row in history])

    losses = [series("train_loss", "training"), series("test_loss", "test")]
    values = [value for one in losses for _, value in one.points]
    wide = min(values) > 0 and max(values) > 30 * min(values)
    title = "Loss, logarithmic" if wide else "Loss"
    charts = [line_chart(title, "epoch", "loss", losses, log_y=wide)]
    if all("test_accuracy" in row for row in history):
        accuracies = [
            series("train_accuracy", "training", 100),
            series("test_accuracy", "test", 100),
        ]
        charts.append(line_chart("Accuracy", "epoch", "accuracy [%]", accuracies))
    last = history[-1]
    seconds = sum(row["seconds"] for row in history)
    text = f"After {counted(len(history), 'epoch')} ({seconds:,.0f} s): " + ", ".join(
        f"{title} {100 * last[key]:.2f} %" if "accuracy" in key else f"{title} {last[key]:.4g}"
        for key, title in (
            ("train_loss", "training loss"),
            ("test_loss", "test loss"),
            ("test_accuracy", "test accuracy"),
        )
        if key in last
    )
    note = (
        "<p class='quiet'>Training figures are running means over the epoch, with dropout; test"
        " figures are taken after it.</p>"
    )
    return f"<p>{escape(text)}.</p><div class='charts'>{''.join(charts)}</div>{note}"


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
        return f"<p>The most frequent of {len(pairs):,} confusions.</p>" + _table(
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


def _answers(answers: Iterable[Answered], card: Card) -> str:
    items = "".join(f"<li>{_answer(answer, card)}</li>" for answer in answers)
    return f"<ul class='cards'>{items}</ul>" if items else ""


def _answer(answer: Answered, card: Card) -> str:
    given = answer.prediction
    where = f"<span class='quiet'>test row {answer.row:,}</span>"
    if given.value is not None:
        verdict = f"<b>{given.value:.6g}</b><br>right: {escape(answer.truth)}"
        return f"{_shown(answer.value, card)}{verdict}<br>{where}"
    right = given.label == answer.truth
    word = "right" if right else "wrong"
    score = "" if given.score is None else f" {_share(given.score)}"
    text = f"<b>{escape(given.label or '')}</b>{escape(score)}"
    truth = "" if right else f"<br>true: <b>{escape(answer.truth)}</b>"
    mark = f" <span class='{'good' if right else 'bad'}'>{word}</span>"
    others = ", ".join(f"{escape(name)}\u00a0{_share(part)}" for name, part in given.top[1:3])
    then = f"<br><span class='quiet'>then {others}</span>" if others else ""
    return f"{_shown(answer.value, card)}{text}{mark}{truth}{then}<br>{where}"


def _share(score: float) -> str:
    return f"({100 * score:.1f}\u00a0%)"


def _shown(value: object, card: Card) -> str:
    """The input, as the network saw it: a picture, a text, named numbers or symbols."""
    if card.preprocessing["kind"] in ("image", "photo"):
        assert isinstance(value, np.ndarray)
        return f"<img alt='the picture as the network saw it' src='{picture_url(value)}'>"
    if card.preprocessing["kind"] == "columns":
        names = card.preprocessing["names"]
        numbers = np.atleast_1d(np.asarray(value)).tolist()
        pairs = [f"{name} {number:.4g}" for name, number in zip(names, numbers, strict=True)]
        text = ", ".join(pairs)
    elif card.preprocessing["kind"] == "symbols":
        alphabet = card.preprocessing["alphabet"]
        text = "".join(alphabet[index] for index in np.asarray(value).tolist())
    else:
        text = str(value)
    return f"<span class='input'>{escape(text)}</span>"


def picture_url(pixels: Array) -> str:
    """uint8 (height, width[, 1 or 3 channels]) as a PNG inside a `data:` address."""
    from PIL import Image

    buffer = io.BytesIO()
    gray = pixels.ndim == 3 and pixels.shape[2] == 1
    shown = np.ascontiguousarray(pixels[..., 0] if gray else pixels)
    Image.fromarray(shown).save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _agreement(found: Findings) -> str:
    comparison = found.comparison
    rows = [
        (r.backend, r.device, "-" if r.failure else f"{r.error:.1e}", f"{comparison.tolerance:.1e}",
         f"{r.differ:,}", "agrees" if r.holds else f"DIFFERS {r.failure}".strip())
        for r in comparison.results
    ]  # fmt: skip
    text = (
        f"<p>{counted(comparison.rows, 'input')} on every backend, against eager PyTorch in"
        f" float64. Allowed is eight times what eager float32 itself shows.</p>"
    )
    table = _table(("backend", "device", "largest error", "allowed", "labels differ", ""), rows)
    matrix = ""
    if any(cell is not None for row in comparison.between for cell in row):
        names = [result.backend for result in comparison.results]
        head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in names)
        lines = "".join(
            f"<tr><th scope='row'>{escape(name)}</th>"
            + "".join(_pair(cell, i == j) for j, cell in enumerate(row))
            + "</tr>"
            for i, (name, row) in enumerate(zip(names, comparison.between, strict=True))
        )
        matrix = (
            "<p>Inputs to which two backends give different labels:</p><div class='wide'>"
            f"<table class='matrix'><thead><tr><td></td>{head}</tr></thead><tbody>{lines}"
            "</tbody></table></div>"
        )
    absent = "".join(
        f"<p class='quiet'>{escape(n)}: {escape(why)}</p>" for n, why in found.left_out
    )
    return f"{text}<div class='wide'>{table}</div>{matrix}{absent}"


def _pair(cell: int | None, same: bool) -> str:
    shade = " style='background:#f3c9b0;font-weight:700'" if cell else ""
    return (
        f"<td class='{'same' if same else ''}'{shade}>{'-' if cell is None else f'{cell:,}'}</td>"
    )


def _speed(found: Findings) -> str:
    if not found.speeds:
        return f"<p>{found.benchmark}</p>"
    lines: dict[str, list[Mapping[str, str]]] = {}
    for row in found.speeds:
        lines.setdefault(f"{row['backend']} on {row['device']}", []).append(row)

    def series(column: str, factor: float = 1.0) -> list[Series]:
        return [
            Series(name, [(float(r["batch"]), factor * float(r[column])) for r in rows])
            for name, rows in lines.items()
        ]

    axes = {"log_x": True, "log_y": True}
    charts = line_chart(
        "Latency of one batch (median)", "rows in a batch", "ms", series("p50_us", 1e-3), **axes
    ) + line_chart("Throughput", "rows in a batch", "rows/s", series("rows_per_second"), **axes)
    header = ("backend", "device", "batch", "p50 [ms]", "p95 [ms]", "p99 [ms]", "rows/s")
    cells = [
        (r["backend"], r["device"], r["batch"],
         *(f"{float(r[name]) / 1000:,.3f}" for name in ("p50_us", "p95_us", "p99_us")),
         f"{float(r['rows_per_second']):,.0f}")
        for r in found.speeds
    ]  # fmt: skip
    table = f"<div class='wide'>{_table(header, cells)}</div>"
    return f"<div class='charts'>{charts}</div>{table}{_starts(lines)}"


def _starts(lines: Mapping[str, Sequence[Mapping[str, str]]]) -> str:
    """What each backend's process took to start, and what the figures were measured with."""
    header = ("backend", "import [ms]", "load [ms]", "first run [ms]", "start [ms]", "memory [MiB]",
              "agrees")  # fmt: skip
    columns = ("import_ms", "load_ms", "first_ms", "start_ms", "memory_mib")
    cells = [
        (name, *(f"{float(rows[0][column]):,.0f}" for column in columns), rows[0]["agrees"])
        for name, rows in lines.items()
    ]
    about = {f"{row['runtime']}; {row['machine']}; threads: {row['threads']}"
             for rows in lines.values() for row in rows}  # fmt: skip
    notes = "".join(f"<p class='quiet'>{escape(one)}</p>" for one in sorted(about))
    return f"<div class='wide'>{_table(header, cells)}</div>{notes}"


def _files(files: Mapping[str, Path]) -> list[tuple[str, str]]:
    return [("file", path.name) for path in files.values()]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
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
