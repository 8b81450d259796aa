"""Commands on an ONNX file of another tool, before and after `ptx export --adopt`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ptx.infer import read_artifact


@pytest.fixture
def file(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(generator.standard_normal(shape).astype(np.float32), name)
        for name, shape in (("w", (6, 8)), ("v", (8, 3)))
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Tanh", ["h"], ["t"]),
        helper.make_node("MatMul", ["t", "v"], ["y"]),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
        for name, size in (("x", 6), ("y", 3))
    ]
    graph = helper.make_graph(nodes, "theirs", values[:1], values[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "theirs.onnx")
    return tmp_path / "theirs.onnx"


def test_compare_needs_no_checkpoint(ptx: Any, file: Path, tmp_path: Path) -> None:
    done = ptx("compare", file, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["reference"] == "the graph in float64"
    assert "ort-cpu" in [one["backend"] for one in found["backends"]]
    assert "eager" not in done.err  # only backends that read ONNX are of interest
    np.savez(tmp_path / "x.npz", x=np.ones((5, 6), np.float32))
    done = ptx("compare", file, tmp_path / "x.npz", "--json", "--backends", "ort-cpu")
    assert json.loads(done.out)["rows"] == 5


def test_the_command_after_a_comparison_exists(ptx: Any, file: Path, tmp_path: Path) -> None:
    done = ptx("compare", file, "--backends", "ort-cpu")
    (following,) = [
        line for line in (done.out + done.err).splitlines() if line.startswith("next: ptx ")
    ]
    again = ptx(*shlex.split(following)[2:], "--output", tmp_path / "page.html")
    assert again.code == 0, again.err


def test_verify_shows_what_was_checked_and_how_to_adopt_the_file(ptx: Any, file: Path) -> None:
    done = ptx("verify", file)
    assert done.code == 1
    assert f"ptx export --adopt {file}" in done.out + done.err
    lines = map(json.loads, ptx("verify", file, "--json").out.splitlines())
    assert {line["check"]: line["passes"] for line in lines} == {
        "content digest": False,
        "samples": False,
        "spec": True,
        "load": True,
    }


def test_verify_accepts_a_spec_only_for_a_file_without_a_manifest(
    ptx: Any, file: Path, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text('{"outputs": {"z": ["float32", ["batch", 3]]}}')
    done = ptx("verify", file, "--spec", spec, "--json")
    assert json.loads(done.out.splitlines()[-1])["check"] == "spec"
    assert not json.loads(done.out.splitlines()[-1])["passes"]
    adopted = tmp_path / "adopted.onnx"
    assert ptx("export", "--adopt", file, "--output", adopted).code == 0
    assert ptx("verify", adopted, "--spec", spec).code == 2


def test_an_adopted_file_is_a_model_of_the_workspace(ptx: Any, file: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    done = ptx("export", "--adopt", file, "--workspace", runs)
    assert done.code == 0, done.err
    artifact = read_artifact(runs / "theirs" / "theirs.onnx")
    assert artifact.require_manifest().model == "theirs"
    for command in (["verify"], ["compare"], ["inspect"], ["benchmark", "--batch", "1"]):
        done = ptx(command[0], "theirs", *command[1:], "--workspace", runs)
        assert done.code == 0, (command, done.err)


def test_a_file_name_with_spaces_becomes_a_name(ptx: Any, file: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    renamed = file.rename(tmp_path / "my model (1).onnx")
    done = ptx("export", "--adopt", renamed, "--workspace", runs)
    assert done.code == 0, done.err
    assert ptx("compare", "my-model-1", "--workspace", runs).code == 0


def test_a_changed_weight_of_an_adopted_file_is_found(ptx: Any, file: Path, tmp_path: Path) -> None:
    adopted = tmp_path / "adopted.onnx"
    assert ptx("export", "--adopt", file, "--output", adopted).code == 0
    data = bytearray(adopted.read_bytes())
    data[file.stat().st_size // 2] ^= 1
    adopted.write_bytes(bytes(data))
    assert ptx("verify", adopted).code == 1


def test_adopt_refuses_options_that_change_the_graph(ptx: Any, file: Path) -> None:
    done = ptx("export", "--adopt", file, "--opset", "20")
    assert done.code == 2
    assert "--opset" in done.err


def located(ptx: Any, *arguments: Any) -> tuple[int, dict[str, Any]]:
    done = ptx("diff", *arguments, "--json")
    assert done.out, done.err
    return done.code, json.loads(done.out)


def test_diff_needs_no_network(ptx: Any, file: Path) -> None:
    code, found = located(ptx, file)
    assert (code, found["disagrees"], found["reference"]) == (0, False, "the graph in float64")
    assert {step["value"] for step in found["worst"]} == {"h", "t", "y"}


def test_diff_of_two_files_names_the_node_that_differs(
    ptx: Any, file: Path, tmp_path: Path
) -> None:
    model = onnx.load(file)
    (weight,) = (tensor for tensor in model.graph.initializer if tensor.name == "v")
    changed = numpy_helper.to_array(weight).copy()
    changed[0, 0] += 0.1
    weight.CopyFrom(numpy_helper.from_array(changed, "v"))
    other = tmp_path / "other.onnx"
    onnx.save(model, other)
    code, found = located(ptx, file, "--file", other)
    assert (code, found["sure"], found["node"]["value"]) == (1, True, "y")
    assert found["node"]["changed"]


def test_diff_of_files_with_other_inputs_is_refused(ptx: Any, file: Path, tmp_path: Path) -> None:
    model = onnx.load(file)
    model.graph.output[0].name = model.graph.node[-1].output[0] = "z"
    onnx.save(model, tmp_path / "other.onnx")
    done = ptx("diff", file, "--file", tmp_path / "other.onnx")
    assert done.code == 4
    assert "E-STALE" in done.err


def test_diff_finds_a_runtime_that_disagrees(
    ptx: Any, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ptx.export.diff.runtimes import OrtRuntime
    from ptx.infer.backends.ort.cpu import OrtCpuBackend

    run_part, run_file = OrtRuntime.run, OrtCpuBackend.run

    def wrong(self: OrtCpuBackend, inputs: Any) -> Any:
        return {name: 1.001 * array for name, array in run_file(self, inputs).items()}

    def wrong_part(self: OrtRuntime, content: bytes, inputs: Any, *, optimize: bool = True) -> Any:
        outputs = run_part(self, content, inputs, optimize=optimize)
        if optimize and "y" in outputs:
            outputs["y"] = np.float32(1.001) * outputs["y"]
        return outputs

    monkeypatch.setattr(OrtCpuBackend, "run", wrong)
    monkeypatch.setattr(OrtRuntime, "run", wrong_part)
    code, found = located(ptx, file)
    assert (code, found["sure"], found["node"]["value"]) == (1, True, "y")


@pytest.mark.parametrize("options", [("--reproduce", "script.py"), ("--backend", "torchscript")])
def test_diff_of_a_file_refuses_options_that_need_a_network(
    ptx: Any, file: Path, options: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    done = ptx("diff", file, *options)
    assert done.code in (2, 4)
    assert "E-BUG" not in done.err
