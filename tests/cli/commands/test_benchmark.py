"""ptx benchmark: what it prints and writes, and what it does not measure."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import TensorProto, helper

from ptx.infer.artifact import zip_archive
from ptx.infer.artifact.artifact import read_artifact

Export = Callable[[str, str], Path]
QUICK = ("--batch", "1,3", "--seconds", "0.01")


@pytest.fixture
def workspace(artifact: Export, tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "softmax-regression"
    folder.mkdir(parents=True)
    shutil.copy(artifact("softmax-regression", "onnx"), folder / "softmax-regression.onnx")
    return folder.parent


def test_latencies_are_printed_and_written_next_to_the_model(ptx: Any, workspace: Path) -> None:
    done = ptx("benchmark", "softmax-regression", *QUICK, "--workspace", workspace)
    assert done.code == 0, done.err
    assert "p50 µs" in done.out
    lines = [line for line in done.out.splitlines() if "import ms" not in line and " cpu " in line]
    assert [line.split()[0] for line in lines] == ["ort-cpu", "openvino"]
    assert all(line.endswith("yes") for line in lines)  # they agree
    assert max(map(len, done.out.splitlines()[:9])) <= 80
    folder = workspace / "softmax-regression"
    with (folder / "benchmark.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["backend"] == "ort-cpu"]
    assert [(row["device"], row["batch"]) for row in rows] == [("cpu", "1"), ("cpu", "3")]
    assert all(float(row[name]) > 0 for row in rows for name in ("p50_us", "rows_per_second"))
    assert all(float(row["p50_us"]) <= float(row["p99_us"]) for row in rows)
    for row in rows:
        parts = sum(float(row[f"{what}_ms"]) for what in ("import", "load", "first"))
        assert 0 < parts < float(row["start_ms"])
        assert (row["agrees"], row["threads"]) == ("yes", "default")
        assert row["runtime"].startswith("onnxruntime ")
    assert (folder / "benchmark.png").read_bytes().startswith(b"\x89PNG")


def test_a_file_is_measured_and_nothing_is_written(
    ptx: Any, artifact: Export, tmp_path: Path
) -> None:
    path = tmp_path / "mine.onnx"
    shutil.copy(artifact("softmax-regression", "onnx"), path)
    done = ptx("benchmark", path, *QUICK, "--backends", "ort-cpu", "--json")
    (line,) = done.out.splitlines()
    found = json.loads(line)
    assert (done.code, found["backend"], found["device"]) == (0, "ort-cpu", "cpu")
    assert [timing["batch"] for timing in found["timings"]] == [1, 3]
    assert found["start_s"] > 0
    assert found["memory"] > 10 * 2**20
    assert [item.name for item in tmp_path.iterdir()] == ["mine.onnx"]


@pytest.mark.parametrize(("weights", "agrees"), [(None, True), ("0" * 64, None)])
def test_agreement_is_shown_only_for_an_export_of_the_same_weights(
    ptx: Any, workspace: Path, checkpoint: Callable[[str], Path], weights: str | None, agrees: Any
) -> None:
    found = read_artifact(checkpoint("softmax-regression"))
    manifest = found.require_manifest()
    manifest = replace(manifest, weights_sha256=weights or manifest.weights_sha256)
    path = workspace / "softmax-regression" / "checkpoint.pt"
    path.write_bytes(zip_archive.embed_manifest(found.data, manifest.to_json()))
    done = ptx(
        "benchmark",
        "softmax-regression",
        *QUICK,
        "--backends",
        "eager,ort-cpu",
        "--json",
        "--workspace",
        workspace,
    )
    assert done.code == 0, done.err
    eager = json.loads(done.out.splitlines()[0])
    assert (eager["backend"], eager["agrees"]) == ("eager", agrees)
    assert (eager["error"] is None) == (agrees is None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="ort-cuda may open here")
def test_an_error_in_the_process_of_a_backend_is_that_of_the_command(
    ptx: Any, workspace: Path
) -> None:
    done = ptx(
        "benchmark",
        "softmax-regression",
        *QUICK,
        "--backends",
        "ort-cuda",
        "--workspace",
        workspace,
    )
    assert (done.code, done.out) == (3, "")
    assert "ort-cuda is not available" in done.err
    assert not (workspace / "softmax-regression" / "benchmark.csv").exists()


def test_modules_of_the_current_folder_are_not_imported(
    ptx: Any, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit(99)")
    monkeypatch.chdir(tmp_path)
    done = ptx(
        "benchmark", "softmax-regression", *QUICK, "--backends", "ort-cpu", "--workspace", workspace
    )
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--batch", "0"), 2, "'--batch': '0' is not an integer from 1 to 65536"),
        (("--batch", "1,x"), 2, "'--batch': 'x' is not an integer"),
        (("--backends", "eager"), 4, "there is no checkpoint of softmax-regression"),
        (("--backends", "ort"), 2, "there is no backend 'ort'"),
        (("--threads", "0"), 2, "--threads"),
    ],
)
def test_invalid_options_are_refused_before_any_measurement(
    ptx: Any, workspace: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = ptx("benchmark", "softmax-regression", *arguments, "--workspace", workspace)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_nodes_have_times_but_without_the_network_no_errors(ptx: Any, workspace: Path) -> None:
    settings = ("--nodes", "--batch", "2", "--seconds", "0.01", "--workspace", workspace)
    done = ptx("benchmark", "softmax-regression", *settings)
    assert done.code == 0, done.err
    assert "the network of the file is not in the workspace" in done.err
    assert done.out.splitlines()[0].startswith("ort-cpu, batch 2: ")
    assert "ort-cuda" not in done.out
    assert all(line.split()[-1] == "-" for line in done.out.splitlines()[2:])
    assert sorted(path.name for path in (workspace / "softmax-regression").iterdir()) == [
        "softmax-regression.onnx"
    ]


def test_nodes_have_the_errors_of_diff(
    ptx: Any, workspace: Path, checkpoint: Callable[[str], Path]
) -> None:
    shutil.copy(checkpoint("softmax-regression"), workspace / "softmax-regression/checkpoint.pt")
    settings = ("--nodes", "--backends", "ort-cpu", "--seconds", "0.01", "--workspace", workspace)
    done = ptx("benchmark", "softmax-regression", *settings, "--json")
    assert done.code == 0, done.err
    (gemm,) = (n for n in json.loads(done.out)["nodes"] if n["node"] == "Gemm node_linear")
    located = json.loads(ptx("diff", "softmax-regression", "--workspace", workspace, "--json").out)
    (step,) = (step for step in located["worst"] if step["node"] == "Gemm node_linear")
    assert (gemm["error"], gemm["module"]) == (step["error"], "layers.1")


def test_nodes_of_a_backend_that_cannot_be_profiled_are_refused(ptx: Any, workspace: Path) -> None:
    settings = ("--nodes", "--backends", "openvino", "--workspace", workspace)
    done = ptx("benchmark", "softmax-regression", *settings)
    assert (done.code, "E-USAGE" in done.err) == (2, True)


def test_a_file_that_ptx_did_not_export_is_measured(ptx: Any, tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"], "only")
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 8]) for n in ("x", "y")]
    graph = helper.make_graph([node], "foreign", values[:1], values[1:])
    path = tmp_path / "foreign.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path
    )
    given = (
        "benchmark",
        path,
        "--backends",
        "ort-cpu",
        "--batch",
        "2",
        "--seconds",
        "0.01",
        "--json",
    )
    done = ptx(*given)
    assert done.code == 0, done.err
    measured = json.loads(done.out)
    assert (measured["agrees"], measured["timings"][0]["batch"]) == (None, 2)
    done = ptx(*given, "--nodes")
    assert done.code == 0, done.err
    assert [node["node"] for node in json.loads(done.out)["nodes"]] == ["Relu only"]
