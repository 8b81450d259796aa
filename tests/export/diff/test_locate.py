"""Results of `locate` beside the named node of an ONNX file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from ptx.export import describe, export, locate, pipeline, reproduce
from ptx.export.diff.locate import Diagnosis
from ptx.export.diff.runtimes import OrtRuntime
from ptx.export.formats import EXPORTERS, onnx_
from ptx.infer import AgreementError, Array, UsageError
from ptx.infer.artifact.artifact import Artifact, parse_artifact
from ptx.report import draw_error_chart

from .faults import plant
from .harness import subject
from .networks import NETWORKS, build

pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporters, about themselves


def _planted() -> bytes:
    one = subject("vision")
    nodes = [node.op_type for node in onnx.load_from_string(one.content).graph.node]
    found = plant(one.content, "weight", nodes.index("Conv"), 0)
    assert found is not None
    return found[0]


def test_module_and_source_line_are_named() -> None:
    found = subject("vision").locate(_planted())
    assert found.step is not None
    origin = found.step.origin
    assert (origin.module, origin.operator) == ("stem", "aten.conv2d.default")
    assert origin.source.startswith("networks.py:")
    assert "self.stem(image)" in origin.source
    assert json.loads(json.dumps(found.to_data()))["node"]["module"] == "stem"
    assert draw_error_chart(found, "png").startswith(b"\x89PNG")


def test_the_message_of_a_failed_export_names_the_node(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    exporter = replace(EXPORTERS["onnx"], convert=lambda *_, **__: _planted())
    monkeypatch.setitem(EXPORTERS, "onnx", exporter)
    with pytest.raises(AgreementError, match=r"Conv node_conv2d .*in stem"):
        export(subject("vision").trained, "onnx", tmp_path / "vision.onnx")


def test_a_failed_export_keeps_its_message_if_nothing_can_be_located(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("planted")

    exporter = replace(EXPORTERS["onnx"], convert=lambda *_, **__: _planted())
    monkeypatch.setitem(EXPORTERS, "onnx", exporter)
    monkeypatch.setattr(Diagnosis, "locate", fail)
    with pytest.raises(AgreementError, match="disagrees with eager float64"):
        pipeline.export(subject("vision").trained, "onnx", tmp_path / "vision.onnx")


class _WrongFusion(OrtRuntime):
    """Fuses the first Tanh into nothing, unless all values are outputs or it may not optimize."""

    def __init__(self) -> None:
        super().__init__(["CPUExecutionProvider"])

    def run(
        self, content: bytes, inputs: Mapping[str, Array], *, optimize: bool = True
    ) -> dict[str, Array]:
        fused = self.optimized(content) if optimize else content
        return super().run(fused, inputs, optimize=optimize)

    def optimized(self, content: bytes) -> bytes:
        model = onnx.load_from_string(content)
        outputs = {value.name for value in model.graph.output}
        nodes = list(model.graph.node)
        for before, node in pairwise(nodes):
            follows = before.op_type == "Conv" and node.input[0] in before.output
            if node.op_type == "Tanh" and follows and node.input[0] not in outputs:
                node.op_type = "Identity"
        fused: bytes = model.SerializeToString()
        return fused


def test_a_wrong_fusion_is_found_in_the_graph_of_the_runtime(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ptx.export.diff import locate as module

    one = subject("vision")
    wrong = _WrongFusion()
    monkeypatch.setattr(module, "find_runtime", lambda backend: wrong)

    class Backend:
        def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
            return wrong.run(one.content, inputs)

        def close(self) -> None: ...

    monkeypatch.setattr(module, "open_backend", lambda *_: Backend())
    found = one.locate(one.content)
    assert found.disagrees
    assert found.runs["without graph optimization"] <= 1
    assert found.runs["all values as outputs"] <= 1
    assert found.step is not None
    assert (found.step.name, found.sure) == ("tanh", True)


def test_replacing_the_steps_that_disagree_must_make_the_outputs_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ptx.export.diff.locate import _OnnxFile

    monkeypatch.setattr(_OnnxFile, "_share_with", lambda *_: 9.0)
    found = subject("vision").locate(_planted())
    assert found.disagrees
    assert not found.sure
    assert found.candidates


def test_openvino_runs_the_steps() -> None:
    pytest.importorskip("openvino")
    one = subject("vision")
    found = one.diagnosis.locate(one.artifact(_planted()), "openvino")
    assert found.step is not None
    assert (found.step.origin.module, found.sure) == ("stem", True)


def test_pt2_is_located_by_node() -> None:
    one = subject("lstm")
    other = build("lstm")
    with torch.no_grad():
        other.get_parameter("norm.weight")[3] *= -1
    wrong = describe(other, signature=NETWORKS["lstm"].SIGNATURE, name="lstm")
    content = EXPORTERS["pt2"].convert(wrong.traced, opset=None)
    artifact = _artifact(one.trained, content, "pt2")
    found = one.diagnosis.locate(artifact, "pt2")
    assert found.step is not None
    assert (found.step.origin.module, found.step.origin.operator) == (
        "norm",
        "aten.layer_norm.default",
    )


def test_int8_steps_are_ordered_by_cost() -> None:
    one = subject("vision")
    quantized = onnx.load_from_string(one.content)
    _quantize_output(quantized, "conv2d", 0.2)
    _quantize_output(quantized, "conv2d_2", 0.02)
    artifact = one.artifact(quantized.SerializeToString())
    artifact = replace(artifact, manifest=replace(artifact.require_manifest(), compute="int8"))
    found = one.diagnosis.locate(artifact, "ort-cpu")
    assert found.quantized
    assert not found.disagrees
    costs = {step.name: step.local.cost for step in found.worst()}
    assert found.worst(1)[0].name == "conv2d"
    assert costs["conv2d"] > 3 * costs["conv2d_2"] > 0


def test_the_file_of_another_network_is_refused() -> None:
    one, other = subject("vision"), subject("lstm")
    with pytest.raises(Exception, match="exported from other weights"):
        one.diagnosis.locate(other.artifact(other.content), "ort-cpu")
    with pytest.raises(UsageError):
        locate(one.trained, one.artifact(one.content), backend="torchscript")


class SafeDivision(nn.Module):
    """Divides by a sum that may be 0, plus a small number that onnxscript drops."""

    def forward(self, values: Tensor) -> Tensor:
        positive = torch.relu(values)
        return positive / (positive.sum(1, keepdim=True) + 1e-10)


def test_a_fault_of_the_exporter_is_reproduced_without_ptx(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from contextlib import nullcontext

    monkeypatch.setattr(onnx_, "_exact_no_ops", nullcontext)
    row = ["float32", ["batch", 6]]
    trained = describe(SafeDivision(), signature={"inputs": {"x": row}, "outputs": {"y": row}})
    found = locate(trained)
    assert found.step is not None
    assert found.step.origin.operator == "aten.div.Tensor"
    printed = reproduce(trained, found, tmp_path / "repro.py")
    script = (tmp_path / "repro.py").read_text()
    assert "error" in printed
    assert "ptx" not in script
    assert len(script.splitlines()) < 40


def test_what_is_wrong_in_the_file_alone_is_not_reproduced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from ptx.export.diff import reproduce as module

    monkeypatch.setattr(module, "run_script", lambda script: None)
    one = subject("vision")
    with pytest.raises(AgreementError) as caught:
        reproduce(one.trained, one.locate(_planted()), tmp_path / "repro.py")
    assert caught.value.code == "E-REPRODUCE"
    assert not (tmp_path / "repro.py").exists()


def _artifact(trained: object, content: bytes, kind: str) -> Artifact:
    manifest = trained.limited_manifest.to_json()  # type: ignore[attr-defined]
    return parse_artifact(
        EXPORTERS[kind].embed_manifest(content, manifest), path=Path(f"file.{kind}")
    )


def _quantize_output(model: onnx.ModelProto, name: str, step: float) -> None:
    """Round a value to multiples of `step`."""
    import numpy as np

    for suffix, value in (("scale", np.float32(step)), ("zero", np.int8(0))):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value), f"{name}.{suffix}"))
    for place, node in enumerate(model.graph.node):
        if name in node.output:
            node.output[0] = f"{name}.float"
            around = [f"{name}.scale", f"{name}.zero"]
            down = helper.make_node("QuantizeLinear", [f"{name}.float", *around], [f"{name}.int"])
            up = helper.make_node("DequantizeLinear", [f"{name}.int", *around], [name])
            model.graph.node.insert(place + 1, down)
            model.graph.node.insert(place + 2, up)
            return
