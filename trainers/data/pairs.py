"""CSV files of two columns: their rows, their classes, and all problems in one error."""

from __future__ import annotations

from collections import Counter

from ptx.infer.errors import InputError, quote
from ptx.infer.tables.numbers import read_cells

CSV_LIMIT = 256 << 20  # bytes
SHOWN = 5  # problems listed in one message
# Titles of the two columns: a first row of one of each is a header.
TITLES = {"file", "filename", "path", "image", "name", "text"}
LABEL_TITLES = {"label", "class", "target", "language"}


def read_pairs(data: bytes, *, name: str) -> list[tuple[str, str]]:
    """The rows of a CSV file of two columns, such as `file,label`, without a header.

    Raises:
        InputError: the file is not UTF-8 or empty, or rows lack one of the two cells.
    """
    problems, pairs = [], []
    for line, cells in read_cells(data, name=name, expected="rows of two cells"):
        if len(cells) == 2 and all(cells):
            pairs.append((cells[0], cells[1]))
        else:
            problems.append(f"line {line} is {quote(','.join(cells)[:40])}")
    raise_problems(name, problems, "rows of two cells, separated by ','")
    is_header = pairs[0][0].lower() in TITLES and pairs[0][1].lower() in LABEL_TITLES
    return pairs[is_header:]


def raise_problems(name: str, problems: list[str], expected: str) -> None:
    """Raise one error that lists the first five problems; do nothing if there are none."""
    if problems:
        more = f", and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise InputError(
            f"{quote(name)} has {count}: {'; '.join(problems[:SHOWN])}{more}; "
            f"expected {expected}: correct the data",
            code="E-DATA",
        )


def class_problems(classes: list[str], labels: tuple[str, ...] | None) -> list[str]:
    """Why rows of these classes cannot be split: a line for each problem."""
    counts = Counter(classes)
    unknown = [] if labels is None else sorted(set(counts) - set(labels))
    problems = [f"the label {quote(label)} is unknown" for label in unknown]
    problems += [
        f"the class {quote(label)} has one row, too few for a training and a test split"
        for label, count in sorted(counts.items())
        if count == 1 and label not in unknown
    ]
    if len(counts) < 2:
        problems.append(f"there is {'one class' if counts else 'no class'}")
    return problems
