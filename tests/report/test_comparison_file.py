"""ptx compare --output"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ptx.export import BackendResult, Comparison
from ptx.report.comparison_file import find_writer

FOUND = Comparison(
    rows=2000,
    tolerance=4e-5,
    results=[
        BackendResult("eager", "cpu", error=2e-6),
        BackendResult("pt2", "cpu", failure="it fails, at once", passed=False),
        BackendResult("ort-cpu", "cpu", error=0.03, differ=41, first=7, passed=False),
    ],
    between=[[0, None, 41], [None, None, None], [41, None, 0]],
)
NUMBERS = Comparison(3, 4e-5, [BackendResult("eager", "cpu")], [[None]])


def test_a_table_has_a_line_for_each_backend_and_its_row_of_the_matrix() -> None:
    text = find_writer(Path("m.csv"))("convnet", FOUND).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["agrees"] for row in rows] == ["yes", "no", "no"]
    assert rows[1]["failure"] == "it fails, at once"
    assert rows[1]["largest_error"] == rows[1]["differs_from_eager"] == ""
    assert float(rows[2]["largest_error"]) == 0.03
    assert (rows[2]["differs_from_eager"], rows[2]["differs_from_ort-cpu"]) == ("41", "0")


@pytest.mark.parametrize(("found", "width"), [(FOUND, 1200), (NUMBERS, 660)])
def test_a_picture_has_the_errors_and_the_matrix_where_there_are_labels(
    found: Comparison, width: int
) -> None:
    content = find_writer(Path("m.PNG"))("convnet", found)
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (width, 504)


def test_compare_writes_the_file_and_the_table(ptx: Any, workspace: Path, tmp_path: Path) -> None:
    target = tmp_path / "matrix.json"
    options = ("--workspace", workspace, "--backends", "eager,ort-cpu", "--output", target)
    done = ptx("compare", "linear-model", *options)
    assert done.code == 0, done.err
    assert "2 of 2 backends agree" in done.out
    assert json.loads(target.read_text())["passes"] is True


def test_an_unknown_suffix_is_wrong_usage_before_any_work(
    ptx: Any, workspace: Path, tmp_path: Path
) -> None:
    done = ptx("compare", "linear-model", "--output", tmp_path / "m.pgn", "--workspace", workspace)
    assert done.code == 2
    assert "did you mean '.png'" in done.err
