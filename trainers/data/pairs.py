"""CSV files of two columns: `name,language`, `file,label`."""

from __future__ import annotations

import csv
import io

from ptx.infer.errors import InputError, quote
from ptx.trainers.data.problems import raise_problems

CSV_LIMIT = 256 << 20  # bytes


def read_pairs(data: bytes, *, name: str) -> list[tuple[int, str, str]]:
    """The rows of a CSV file of two columns: line, first cell, second cell, without outer spaces.

    Raises:
        InputError: the file is not UTF-8 or empty, or rows lack one of two cells.
    """
    problems, pairs = [], []
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        line = 1
        for cells in reader:
            texts = [cell.strip() for cell in cells]
            if len(texts) == 2 and all(texts):
                pairs.append((line, texts[0], texts[1]))
            elif texts:
                problems.append(f"line {line} is {quote(','.join(texts)[:40])}")
            line = reader.line_num + 1
    except UnicodeDecodeError as error:
        at = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{quote(name)} line {at} is not UTF-8; expected UTF-8: save it as 'CSV UTF-8'",
            code="E-CSV",
        ) from error
    except csv.Error as error:
        raise InputError(
            f"{quote(name)} line {line}: {error}; expected rows of two cells: correct the file",
            code="E-CSV",
        ) from error
    if not pairs and not problems:
        raise InputError(f"{quote(name)} is empty; expected rows of two cells", code="E-CSV")
    raise_problems(name, problems, "rows of two cells, separated by ','")
    return pairs
