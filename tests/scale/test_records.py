"""Arrow record batches in and out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ptx import infer, scale
from ptx.infer.errors import UsageError


@pytest.fixture(scope="module")
def digits(convnet: Path) -> Iterator[infer.Predictor]:
    with infer.load(convnet, backend="ort-cpu", threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def line(artifact: Any) -> Iterator[infer.Predictor]:
    with infer.load(artifact("linear-model", "onnx"), threads=1) as opened:
        yield opened


def table(**columns: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns)


def test_the_types_are_those_that_are_documented() -> None:
    assert scale.prediction_schema("x_").types == [
        pa.string(),
        pa.float64(),
        pa.bool_(),
        pa.list_(pa.struct([("label", pa.string()), ("score", pa.float64())])),
        pa.float64(),
        pa.string(),
    ]
    assert scale.prediction_schema("x_").names == [
        "x_label",
        "x_score",
        "x_low_confidence",
        "x_top",
        "x_value",
        "x_error",
    ]


def test_the_answers_are_those_of_the_command_line(
    ptx: Any, digits: infer.Predictor, convnet: Path, seven: Path
) -> None:
    answered = scale.batch(table(id=[5, 6], bytes=[seven.read_bytes()] * 2), digits)
    done = ptx("predict", seven, "--model", convnet, "--backend", "ort-cpu", "--json")
    said = json.loads(done.out)
    row = answered.to_pylist()[1]
    assert row.pop("id") == 6
    del row["bytes"]
    expected = {key: said[key] for key in ("label", "score", "low_confidence", "top")}
    assert row == {**expected, "value": None, "error": None}


def test_a_bad_row_is_a_row_with_an_error_alone(digits: infer.Predictor, seven: Path) -> None:
    good = seven.read_bytes()
    records = table(n=[0, 1, 2, 3, 4], bytes=[good, good[:90], None, b"", good])
    answered = scale.batch(records, digits).to_pylist()
    assert [row["n"] for row in answered] == [0, 1, 2, 3, 4]
    label = digits.predict(good).label
    assert [row["label"] for row in answered] == [label, None, None, None, label]
    assert [str(row["error"])[:9] for row in answered] == [
        "None",
        "[E-IMG-TR",
        "[E-INPUT]",
        "[E-IMG-EM",
        "None",
    ]
    assert answered[1]["top"] is None
    assert answered[1]["score"] is None


def test_more_rows_than_a_batch_keep_their_order(digits: infer.Predictor, seven: Path) -> None:
    content = [seven.read_bytes() if index % 3 else b"bad" for index in range(50)]
    answered = scale.batch(table(bytes=content), digits, batch_size=8, top=10)
    assert [row is None for row in answered["error"].to_pylist()] == [
        bool(index % 3) for index in range(50)
    ]
    assert {len(top) for top in answered["top"].to_pylist() if top} == {10}


def test_paths_and_parts_of_structs_are_read(digits: infer.Predictor, seven: Path) -> None:
    image = [{"bytes": seven.read_bytes(), "path": str(seven)}, None]
    for column in ("image.bytes", "image.path"):
        answered = scale.batch(table(image=image), digits, column=column).to_pylist()
        assert [row["label"] for row in answered] == [digits.predict(seven).label, None]
        assert answered[0]["image"] == image[0]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([4.0, 8.0, None]),
        pa.array([4, 8, None], pa.int16()),
        pa.array(["4.0", "8", "x"]),
        pa.array([[4.0], [8.0], [None]], pa.list_(pa.float32())),
        pa.array([[4.0], [8.0], None], pa.list_(pa.float32(), 1)),
    ],
)
def test_numbers_texts_and_lists_are_values(line: infer.Predictor, column: pa.Array) -> None:
    rows = scale.batch(table(hours=column), line, column="hours").to_pylist()
    assert [row["label"] for row in rows] == [None] * 3
    assert rows[0]["value"] == line.predict("4.0").value
    assert rows[1]["value"] == line.predict("8").value
    assert rows[2]["value"] is None
    assert rows[2]["error"].startswith("[E-")


def test_no_rows_are_answered_with_no_rows(digits: infer.Predictor) -> None:
    empty = pa.RecordBatch.from_arrays([pa.array([], pa.binary())], ["bytes"])
    answered = scale.batch(empty, digits)
    assert answered.num_rows == 0
    assert answered.schema == pa.schema([("bytes", pa.binary()), *scale.prediction_schema()])


def test_a_column_of_such_a_name_is_not_overwritten(digits: infer.Predictor, seven: Path) -> None:
    records = table(label=["seven"], bytes=[seven.read_bytes()])
    with pytest.raises(UsageError, match="already has a column 'label'"):
        scale.batch(records, digits)
    row = scale.batch(records, digits, prefix="ptx_").to_pylist()[0]
    assert (row["label"], row["ptx_label"]) == ("seven", digits.predict(seven).label)


@pytest.mark.parametrize(
    ("column", "why"),
    [
        ("picture", "has no column 'picture'; it has n, bytes"),
        ("n", "of type bool"),
        ("bytes.x", "'bytes' has no field 'x'"),
    ],
)
def test_a_column_that_cannot_be_read_is_wrong_usage(
    digits: infer.Predictor, column: str, why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        scale.batch(table(n=[True], bytes=[b""]), digits, column=column)


def test_the_size_of_the_batch_changes_no_answer(digits: infer.Predictor) -> None:
    import io

    from PIL import Image

    random = np.random.default_rng(3)
    pictures = []
    for _ in range(70):
        stream = io.BytesIO()
        Image.fromarray(random.integers(0, 255, (28, 28), np.uint8)).save(stream, "PNG")
        pictures.append(stream.getvalue())
    one, many = (
        scale.batch(table(bytes=pictures), digits, batch_size=size).drop_columns("bytes")
        for size in (1, 64)
    )
    assert one.equals(many)
