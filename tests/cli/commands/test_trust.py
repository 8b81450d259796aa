"""Programs that the workspace did not export, on the command line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from ptx.infer.artifact.artifact import read_artifact

Writing = tuple[Path, Path]

RUNNING = (
    ("predict", "4", "--model"),
    ("predict", "4", "--backend", "torchscript", "--model"),
    ("evaluate",),
    ("verify",),
)


@pytest.mark.parametrize("verb", RUNNING)
def test_a_program_that_writes_a_file_runs_only_with_trust(
    ptx: Any, workspace: Path, writing: Writing, verb: tuple[str, ...]
) -> None:
    path, marker = writing
    refused = ptx(*verb, path, "--workspace", workspace)
    assert refused.code == 4
    assert refused.err.startswith("ptx: error [E-TRUST]")
    assert refused.err.count("\n") == 1
    assert refused.out == ""
    assert not marker.exists()
    ptx(*verb, path, "--trust", "--workspace", workspace)
    assert marker.exists()


def test_commands_that_run_no_code_need_no_trust(
    ptx: Any, workspace: Path, writing: Writing
) -> None:
    path, marker = writing
    for verb in (("inspect",), ("verify", "--no-run")):
        done = ptx(*verb, path, "--workspace", workspace)
        assert done.code == 0, done.err
    assert not marker.exists()


def test_a_program_that_replaces_an_exported_one_is_refused(
    ptx: Any, workspace: Path, writing: Writing, tmp_path: Path
) -> None:
    path, marker = writing
    shutil.copytree(workspace, tmp_path / "copy")
    shutil.copy(path, tmp_path / "copy" / "linear-model" / "linear-model.torchscript")
    done = ptx("compare", "linear-model", "--workspace", tmp_path / "copy")
    assert done.code == 4
    assert "[E-TRUST]" in done.err
    assert not marker.exists()


def test_export_adds_only_programs_to_the_allow_list(ptx: Any, workspace: Path) -> None:
    noted = {path.name for path in (workspace / "exported").iterdir()}
    files = [
        workspace / model / f"{model}.{form}"
        for model in ("convnet", "linear-model")
        for form in ("torchscript", "pt2")
    ]
    assert noted == {read_artifact(path).sha256 for path in files}


def test_a_file_at_the_path_of_the_allow_list_is_exit_5(
    ptx: Any, workspace: Path, tmp_path: Path
) -> None:
    (tmp_path / "exported").write_text("in the way")
    checkpoint = workspace / "linear-model" / "checkpoint.pt"
    options = ["--checkpoint", checkpoint, "--workspace", tmp_path]
    done = ptx("export", "linear-model", "--format", "torchscript", *options)
    assert done.code == 5
    assert ptx("export", "linear-model", "--format", "onnx", *options).code == 0
