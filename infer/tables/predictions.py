"""Predictions as a table, CSV or Parquet: the columns of the inputs, and next to them the answers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ptx.infer.errors import BackendError, UsageError, install_hint, quote
from ptx.infer.prediction import Failure, Prediction

ANSWERS = ("label", "score", "low_confidence", "value", "error")
BOX = ("left", "top", "right", "bottom")  # of a figure, in shares of the picture's sides

Row = tuple[Prediction | Failure, Mapping[str, str] | None]
"""A result, and the cells of the table that its input comes from."""


class PredictionTable:
    """Rows of predictions; the columns of the inputs are those of the first row.

    Args:
        boxes: Whether each row has the box of a figure.
        prefix: Put before the names of the columns that are added.
        numbers: Titles of the columns that Parquet has as numbers: those that the model reads.
    """

    def __init__(
        self, *, boxes: bool = False, numbers: Sequence[str] = (), prefix: str = ""
    ) -> None:
        self._boxes = boxes
        names = ("input", *(BOX if boxes else ()), *ANSWERS)
        self._answers = tuple(f"{prefix}{name}" for name in names)
        self._prefix = prefix
        self._numbers = frozenset(numbers)

    def csv_lines(self, rows: Iterable[Row]) -> Iterator[str]:
        """The lines of a CSV file, with a header.

        Raises:
            UsageError: an input has other columns than the first, or a column with a name of an answer.
        """
        titles: Sequence[str] | None = None
        for result, cells in rows:
            if titles is None:
                titles = self._titles(cells)
                yield _csv_line([*titles, *self._answers])
            yield _csv_line([*self._cells(titles, cells), *map(_text, self._values(result))])
        if titles is None:
            yield _csv_line(self._answers)

    def parquet(self, rows: Iterable[Row]) -> bytes:
        """The content of a Parquet file.

        Raises:
            UsageError: as `csv_lines`.
            BackendError: pyarrow is not installed.
        """
        pa, pq = _import_pyarrow()
        titles: Sequence[str] | None = None
        inputs: list[Sequence[str]] = []
        answers: list[tuple[Any, ...]] = []
        for result, cells in rows:
            titles = self._titles(cells) if titles is None else titles
            inputs.append(self._cells(titles, cells))
            answers.append(self._values(result))
        types = dict.fromkeys(self._answers, pa.string())
        numbers = (*BOX, "score", "value")
        types |= {f"{self._prefix}{name}": pa.float64() for name in numbers}
        types[f"{self._prefix}low_confidence"] = pa.bool_()
        columns = {}
        for place, title in enumerate(titles or ()):
            texts = [row[place] for row in inputs]
            columns[title] = _to_numbers(texts, pa) if title in self._numbers else pa.array(texts)
        for place, name in enumerate(self._answers):
            columns[name] = pa.array([row[place] for row in answers], types[name])
        content = io.BytesIO()
        pq.write_table(pa.table(columns), content)
        return content.getvalue()

    def _titles(self, cells: Mapping[str, str] | None) -> tuple[str, ...]:
        titles = tuple(cells or ())
        for title in titles:
            if title in self._answers:
                raise UsageError(
                    f"the table has a column {quote(title)}, which is also a column of the predictions:"
                    " give --prefix to rename those"
                )
        return titles

    def _cells(self, titles: Sequence[str], cells: Mapping[str, str] | None) -> Sequence[str]:
        if tuple(cells or ()) != tuple(titles):
            raise UsageError(
                f"the tables have different columns: {', '.join(cells or ()) or 'none'} after"
                f" {', '.join(titles) or 'none'}; predict each into a file of its own"
            )
        return list((cells or {}).values())

    def _values(self, result: Prediction | Failure) -> tuple[Any, ...]:
        boxes = self._boxes
        if isinstance(result, Failure):
            error = f"[{result.error.code}] {result.error}"
            return result.input, *([None] * 4 if boxes else []), None, None, None, None, error
        if result.is_array:
            raise UsageError(
                "a table has no column for vectors, class maps and boxes: write .jsonl"
            )
        box = (result.box or [None] * 4) if boxes else ()
        answer = result.label, result.score, result.low_confidence, result.value
        return result.input, *box, *answer, None


def _import_pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise BackendError(
            f"pyarrow is not installed: {install_hint('parquet')}, or write .csv or .jsonl"
        ) from error
    return pa, pq


def _to_numbers(texts: Sequence[str], pa: Any) -> Any:
    """As numbers; as text if a cell is none, which its row has an error for."""
    try:
        return pa.array(map(float, texts), pa.float64())
    except ValueError:
        return pa.array(texts, pa.string())


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _csv_line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()
