"""The values of an INPUT argument, which depend on the preprocessing of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx.cli.inputs import find_inputs
from ptx.infer.errors import InputError
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.signature import Signature

PHOTO = {"kind": "rgb-image", "size": [8, 8], "resize": 8}
GRAY = {"kind": "gray-image", "size": [8, 8], "resize_mode": "mnist"}


def signature(*axes: int) -> Signature:
    outputs = {"logits": ["float32", ["batch", 2]]}
    return Signature.from_data({"inputs": {"x": ["float32", ["batch", *axes]]}, "outputs": outputs})


@pytest.mark.parametrize(
    ("settings", "axes", "one"),
    [
        (GRAY, (1, 8, 8), (8, 8)),
        (PHOTO, (3, 8, 8), (8, 8, 3)),
        ({"kind": "tabular", "names": ["a", "b"]}, (2,), (2,)),
        ({"kind": "none"}, (3, 4), (3, 4)),
    ],
)
def test_an_array_with_a_batch_axis_is_several_inputs(
    settings: dict[str, Any], axes: tuple[int, ...], one: tuple[int, ...], tmp_path: Path
) -> None:
    preprocessing = open_preprocessing(settings, signature(*axes))
    assert preprocessing.dimensions == len(one)
    path = tmp_path / "values.npy"
    for rows, expected in ((None, 1), (1, 1), (5, 5)):
        np.save(path, np.zeros(one if rows is None else (rows, *one), np.uint8))
        values = list(find_inputs([str(path)], preprocessing))
        assert [value.value.shape for value in values] == [one] * expected


def test_a_folder_yields_its_input_files(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "notes.txt"):
        (tmp_path / name).touch()
    preprocessing = open_preprocessing(GRAY, signature(1, 8, 8))
    found = list(find_inputs([str(tmp_path)], preprocessing))
    assert [Path(path).name for path in found] == ["a.JPG", "b.png"]


def test_a_folder_without_input_files_is_refused(tmp_path: Path) -> None:
    preprocessing = open_preprocessing(GRAY, signature(1, 8, 8))
    (found,) = find_inputs([str(tmp_path)], preprocessing)
    assert isinstance(found.value, InputError)
    assert "contains no pictures" in str(found.value)
