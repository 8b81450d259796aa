"""How an exported file can differ from the plain one: its name, and what excludes each other."""

from __future__ import annotations

from typing import Any

import pytest

from ptx.export import ExportVariant
from ptx.infer.errors import UsageError


@pytest.mark.parametrize(
    ("options", "suffix"),
    [
        ({}, ""),
        ({"quantize_weights": "int8"}, ".int8"),
        ({"quantize_weights": "float16", "embed_preprocessing": True}, ".float16.pixels"),
        ({"compute": "int8", "embed_preprocessing": True}, ".compute-int8.pixels"),
        ({"runtime": "javascript"}, ""),
        ({"runtime": "ort", "quantize_weights": "int8"}, ".int8.ort"),
    ],
)
def test_the_suffix_names_what_is_changed(options: dict[str, Any], suffix: str) -> None:
    assert ExportVariant(**options).suffix == suffix


@pytest.mark.parametrize(
    ("options", "formats", "named"),
    [
        ({"quantize_weights": "int8", "compute": "int8"}, ["onnx"], "--compute int8"),
        ({"for_size": True}, ["onnx"], "--compute int8"),
        ({"max_drop": 0.5}, ["onnx"], "--compute int8"),
        ({"quantize_weights": "int8"}, ["onnx", "pt2"], "pt2"),
        ({"compute": "int8"}, ["torchscript"], "torchscript"),
        ({"runtime": "ort"}, ["onnx"], "--runtime ort"),
    ],
)
def test_a_variant_that_does_not_exist_is_refused_before_any_work(
    options: dict[str, Any], formats: list[str], named: str
) -> None:
    with pytest.raises(UsageError) as refused:
        ExportVariant(**options).check(formats)
    assert named in str(refused.value)
