"""An ONNX file that ptx did not export, with a specification, in the commands that read labels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from ptx.infer import read_artifact

Export = Callable[[str, str], Path]
SPEC = """
task = "classification"
labels = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
preprocessing = { kind = "gray-image", size = [28, 28], resize_mode = "mnist" }
"""


@pytest.fixture
def foreign(artifact: Export, tmp_path: Path) -> tuple[Path, Path, Path]:
    """convnet.onnx, the same without what ptx wrote into it, and its specification."""
    original, path, spec = artifact("convnet", "onnx"), tmp_path / "net.onnx", tmp_path / "net.toml"
    model = onnx.load(original)
    del model.metadata_props[:]
    onnx.save(model, path)
    assert read_artifact(path).manifest is None
    spec.write_text(SPEC)
    return original, path, spec


def test_evaluate_of_an_external_file_equals_that_of_the_exported_file(
    ptx: Any, foreign: tuple[Path, Path, Path]
) -> None:
    original, path, spec = foreign
    arguments = ("--data", "bundled", "--backend", "ort-cpu", "--json")
    expected = ptx("evaluate", original, *arguments)
    found = ptx("evaluate", path, "--spec", spec, *arguments)
    assert found.code == 0, found.err
    assert json.loads(found.out)["confusion"] == json.loads(expected.out)["confusion"]
    shown = ptx("evaluate", path, "--spec", spec, *arguments[:-1])
    assert "next:" not in shown.out


def test_evaluate_without_a_spec_names_the_missing_option(
    ptx: Any, foreign: tuple[Path, Path, Path]
) -> None:
    done = ptx("evaluate", foreign[1], "--data", "bundled")
    assert done.code == 4
    assert "--spec FILE" in done.err
    assert "`ptx run`" in done.err


def test_a_spec_can_be_used_with_one_served_model(
    ptx: Any, foreign: tuple[Path, Path, Path]
) -> None:
    original, path, spec = foreign
    done = ptx("serve", f"a={path}", f"b={original}", "--spec", spec, "--port", "0")
    assert (done.code, "--spec can be used with one model" in done.err) == (2, True)
