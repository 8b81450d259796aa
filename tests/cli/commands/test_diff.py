"""ptx diff: the node of a wrong file, and what it prints and writes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from ptx.export.formats import EXPORTERS
from ptx.infer import read_artifact

MODEL = "softmax-regression"
Export = Callable[[str, str], Path]


@pytest.fixture
def workspace(artifact: Export, checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / MODEL
    folder.mkdir(parents=True)
    shutil.copy(checkpoint(MODEL), folder / "checkpoint.pt")
    shutil.copy(artifact(MODEL, "onnx"), folder / f"{MODEL}.onnx")
    return folder.parent


@pytest.fixture
def wrong(workspace: Path, tmp_path: Path) -> Path:
    """The file with two rows of its weights swapped."""
    artifact = read_artifact(workspace / MODEL / f"{MODEL}.onnx")
    model = onnx.load_from_string(artifact.data)
    del model.metadata_props[:]
    (weight,) = (item for item in model.graph.initializer if item.name == "layers.1.weight")
    rows = numpy_helper.to_array(weight)[[1, 0, *range(2, 10)]]
    weight.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(rows), weight.name))
    manifest = artifact.require_manifest().to_json()
    path = tmp_path / "wrong.onnx"
    path.write_bytes(EXPORTERS["onnx"].embed_manifest(model.SerializeToString(), manifest))
    return path


def test_a_correct_file_has_no_wrong_node(ptx: Any, workspace: Path) -> None:
    done = ptx("diff", MODEL, "--workspace", workspace)
    assert done.code == 0, done.err
    assert "the outputs agree" in done.out


def test_the_wrong_node_is_named_and_drawn(ptx: Any, workspace: Path, wrong: Path) -> None:
    picture = wrong.parent / "diff.png"
    done = ptx("diff", MODEL, "--workspace", workspace, "--file", wrong, "--output", picture)
    assert done.code == 1, done.err
    assert "the first node that differs is Gemm node_linear" in done.out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_json_has_the_node_with_its_module(ptx: Any, workspace: Path, wrong: Path) -> None:
    done = ptx("diff", MODEL, "--workspace", workspace, "--file", wrong, "--json")
    assert done.code == 1, done.err
    found = json.loads(done.out)
    assert (found["node"]["module"], found["sure"]) == ("layers.1", True)


def test_without_a_file_the_network_is_converted(ptx: Any, workspace: Path) -> None:
    (workspace / MODEL / f"{MODEL}.onnx").unlink()
    done = ptx("diff", MODEL, "--workspace", workspace)
    assert done.code == 0, done.err
    assert "converted in memory" in done.err


def test_an_unknown_chart_format_is_refused(ptx: Any, workspace: Path) -> None:
    done = ptx("diff", MODEL, "--workspace", workspace, "--output", "diff.gif")
    assert done.code == 2


def test_an_untrusted_program_is_not_run(ptx: Any, workspace: Path, artifact: Export) -> None:
    done = ptx(
        "diff",
        MODEL,
        "--workspace",
        workspace,
        "--backend",
        "torchscript",
        "--file",
        artifact(MODEL, "torchscript"),
    )
    assert done.code == 4
    assert "E-TRUST" in done.err


@pytest.mark.parametrize("option", ["--output", "--reproduce"])
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    option: str, ptx: Any, workspace: Path
) -> None:
    name = "missing/diff.svg" if option == "--output" else "missing/diff.py"
    done = ptx("diff", MODEL, option, workspace / name, "--workspace", workspace)
    assert (done.code, "running the file" in done.err) == (5, False)
