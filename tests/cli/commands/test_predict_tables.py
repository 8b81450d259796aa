"""ptx predict --output x.csv and x.parquet: the columns of the input next to the answers."""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ptx.infer import InputError
from ptx.infer.prediction import Failure
from ptx.infer.tables.predictions import PredictionTable

Export = Callable[[str, str], Path]


@pytest.fixture
def patients(artifact: Export, tmp_path: Path) -> tuple[Path, Path, list[str]]:
    """diabetes.onnx; a table with its columns, and with a name, a target and a bad cell."""
    from ptx.infer import load

    path = artifact("diabetes", "onnx")
    with load(path, backend="ort-cpu") as predictor:
        names = list(predictor.preprocessing.feature_names)
    table = tmp_path / "patients.csv"
    rows = [
        ["patient", *names[1:], names[0], "outcome"],
        ["007", *["0.25"] * len(names), "yes"],
        ["Zoë, A.", *["0.5"] * (len(names) - 1), "x", "no"],
    ]
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path, table, names


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_columns_of_a_table_are_copied_and_its_target_is_ignored(
    ptx: Any, patients: tuple[Path, Path, list[str]], tmp_path: Path
) -> None:
    model, table, names = patients
    output = tmp_path / "out.csv"
    done = ptx("predict", table, "--model", model, "--output", output)
    assert done.code == 4, done.err  # of the bad cell
    assert "not used: 'patient', 'outcome'" in done.err
    good, bad = read(output)
    answers = ["input", "label", "score", "low_confidence", "value", "error"]
    assert list(good) == ["patient", *names[1:], names[0], "outcome", *answers]
    assert (good["patient"], good["outcome"], good["error"]) == ("007", "yes", "")
    assert good["low_confidence"] in ("true", "false")
    assert 0.5 <= float(good["score"]) <= 1
    assert (bad["patient"], bad["label"], bad["score"]) == ("Zoë, A.", "", "")
    assert bad["error"].startswith("[E-CSV] ")
    assert "1 prediction, 1 input that cannot be used" in done.out


def test_parquet_columns_have_types(
    ptx: Any, patients: tuple[Path, Path, list[str]], tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    model, table, names = patients
    output = tmp_path / "out.parquet"
    assert ptx("predict", table, "--model", model, "--output", output).code == 4
    found = parquet.read_table(output)
    types = {field.name: str(field.type) for field in found.schema}
    assert (types["patient"], types[names[1]], types["outcome"]) == ("string", "double", "string")
    assert (types["score"], types["low_confidence"], types["error"]) == ("double", "bool", "string")
    assert found["patient"].to_pylist() == ["007", "Zoë, A."]
    assert [label is None for label in found["label"].to_pylist()] == [False, True]


def test_texts_and_images_have_one_row_each(
    ptx: Any, artifact: Export, seven: Path, tmp_path: Path
) -> None:
    names = tmp_path / "names.csv"
    names.write_text("Name,Country\nSatoshi,Japan\n")
    output = tmp_path / "out.csv"
    model = artifact("name-classifier", "onnx")
    assert ptx("predict", names, "--model", model, "--output", output).code == 0
    (row,) = read(output)
    assert (row["Name"], row["Country"], row["input"]) == ("Satoshi", "Japan", f"{names}, line 2")
    model = artifact("convnet", "onnx")
    assert ptx("predict", seven, seven, "--model", model, "--output", output).code == 0
    assert [row["input"] for row in read(output)] == [str(seven)] * 2
    assert ptx("predict", seven, "--all", "--model", model, "--output", output).code == 0
    assert all(0 <= float(row["left"]) < float(row["right"]) <= 1 for row in read(output))


def test_a_csv_file_of_training_data_can_be_predicted(
    ptx: Any, artifact: Export, seven: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(seven, folder / "a.png")
    (folder / "rows.csv").write_text("file,label\na.png,7\nmissing.png,3\n")
    output = tmp_path / "out.csv"
    model = artifact("convnet", "onnx")
    arguments = ("--prefix", "predicted_", "--output", output)
    done = ptx("predict", folder / "rows.csv", "--model", model, *arguments)
    assert done.code == 4, done.err
    good, bad = read(output)
    assert (good["file"], good["label"]) == ("a.png", "7")
    assert good["predicted_input"] == str(folder / "a.png")
    assert good["predicted_label"]
    assert bad["predicted_error"].startswith("[E-IN-MISSING] ")


def test_an_unknown_ending_is_refused_before_any_work(
    ptx: Any, artifact: Export, seven: Path, tmp_path: Path
) -> None:
    for name in ("out.xlsx", "out"):
        output = tmp_path / name
        model = artifact("convnet", "onnx")
        done = ptx("predict", seven, "--model", model, "--output", output)
        assert done.code == 2
        assert ".parquet" in done.err
        assert not output.exists()


def test_columns_that_clash_or_change_are_refused(
    ptx: Any, artifact: Export, tmp_path: Path
) -> None:
    model = artifact("name-classifier", "onnx")
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text("name,label\nSatoshi,x\n")
    output = tmp_path / "out.csv"
    done = ptx("predict", first, "--model", model, "--output", output)
    assert (done.code, "'label'" in done.err) == (2, True)
    arguments = ("--prefix", "predicted_", "--output", output)
    assert ptx("predict", first, "--model", model, *arguments).code == 0
    (row,) = read(output)
    assert row["label"] == "x"
    assert row["predicted_label"]
    output.unlink()
    first.write_text("name,country\nSatoshi,Japan\n")
    second.write_text("name,age\nBrown,3\n")
    done = ptx("predict", first, second, "--model", model, "--output", output)
    assert done.code == 2
    assert "different columns" in done.err
    assert not output.exists()


def test_parquet_without_pyarrow_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    rows = [(Failure(InputError("bad"), "a"), None)]
    with pytest.raises(Exception, match=r"\[parquet\]"):
        PredictionTable().parquet(rows)
