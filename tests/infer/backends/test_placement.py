"""Nodes that ONNX Runtime puts on the CPU: told apart, and refused where they compute with numbers.

Here the session is one on the CPU, and the test says what CUDA would leave to the CPU: `test_null_cuda`
shows what it really leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ptx.infer import load
from ptx.infer.artifact.artifact import Artifact, read_artifact
from ptx.infer.artifact.onnx_bytes import read_header
from ptx.infer.backends import Options
from ptx.infer.backends.ort import cpu, cuda
from ptx.infer.backends.ort.placement import RECORD, Node, cpu_nodes, find_data_nodes
from ptx.infer.errors import BackendError

Export = Callable[[str, str], Path]


def recorded(found: Artifact) -> list[Node]:
    opened = cpu.open_session(
        found, Options(threads=1), ["CPUExecutionProvider"], None, {RECORD: "1"}
    )
    nodes = cpu_nodes(opened)
    assert nodes is not None
    return nodes


@pytest.mark.parametrize("model", ["lstm", "name-classifier", "char-rnn-embedding", "convnet"])
def test_what_computes_sizes_is_told_from_what_reads_numbers(artifact: Export, model: str) -> None:
    found = read_artifact(artifact(model, "onnx"))
    nodes = recorded(found)
    header = read_header(found.data, name=found.name)
    reading = find_data_nodes(nodes, found.data, header)
    others = [node for node in nodes if node not in reading]
    assert {node.operator for node in nodes} >= {"Shape"} or model == "convnet"
    assert {node.operator for node in others} <= {
        "Shape",
        "Concat",
        "Expand",
        "Slice",
        "Mul",
        "Reshape",
        "ConstantOfShape",
        "Gather",
        "Range",
        "Squeeze",
        "Unsqueeze",
    }
    # All that the network computes with: none of it passes for a size.
    for operator in ("LSTM", "GRU", "Gemm", "MatMul", "Conv", "Relu", "MaxPool", "Transpose"):
        assert [n for n in nodes if n.operator == operator] == [
            n for n in reading if n.operator == operator
        ]
    assert any(n.operator == "Gather" for n in reading) or model != "lstm"  # the last step


class OnCuda:
    """What a session on CUDA says of itself; its nodes on the CPU are those that the test names."""

    def __init__(self, opened: Any, nodes: list[Node] | None) -> None:
        self._opened, self._nodes = opened, nodes
        self.get_outputs, self.run = opened.get_outputs, opened.run

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        return {"CUDAExecutionProvider": {"device_id": "0"}}

    def get_provider_graph_assignment_info(self) -> list[Any]:
        class Part:
            ep_name = "CPUExecutionProvider"
            get_nodes = staticmethod(lambda: [_Assigned(*node) for node in self._nodes or ()])

        return [] if self._nodes is None else [Part()]


class _Assigned:
    def __init__(self, name: str, operator: str) -> None:
        self.name, self.op_type = name, operator


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Node] | None], list[Any]]:
    """`machine(nodes)`: a machine with CUDA, where ONNX Runtime leaves these nodes to the CPU.

    Gives the list that each session's configuration is put into.
    """

    def make(nodes: list[Node] | None) -> list[Any]:
        asked: list[Any] = []

        def open_session(
            found: Artifact,
            options: Options,
            providers: Any,
            watchdog: Any,
            entries: Mapping[str, str],
        ) -> Any:
            asked.append(([name for name, _ in providers], dict(entries)))
            plain = cpu.open_session(found, options, ["CPUExecutionProvider"], watchdog)
            return OnCuda(plain, nodes)

        monkeypatch.setattr(cuda, "require_cuda", lambda onnxruntime, index: None)
        monkeypatch.setattr(cuda, "open_session", open_session)
        return asked

    return make


SHAPE, CONCAT = Node("node_Shape_0", "Shape"), Node("node_Concat_6", "Concat")
ADDED = Node("Gather", "Gather")  # by the optimizer: the file has no such name


@pytest.mark.parametrize("cpu_fallback", ["shape-ops", "none"])
def test_a_graph_that_is_entirely_on_cuda_is_opened_once(
    artifact: Export, machine: Callable[[list[Node] | None], list[Any]], cpu_fallback: str
) -> None:
    asked = machine([])
    predictor = load(artifact("lstm", "onnx"), backend="ort-cuda", cpu_fallback=cpu_fallback)
    assert predictor.backend.device == "cuda:0"
    assert asked == [(["CUDAExecutionProvider"], {RECORD: "1"})]


def test_nodes_that_compute_sizes_may_stay_on_the_cpu(
    artifact: Export, machine: Callable[[list[Node] | None], list[Any]]
) -> None:
    asked = machine([SHAPE, CONCAT, ADDED])
    with load(artifact("lstm", "onnx"), backend="ort-cuda") as predictor:
        assert predictor.run(predictor.signature.example({"batch": 2, "time": 3}))
    assert [providers for providers, _ in asked] == [["CUDAExecutionProvider"]]


def test_not_even_those_where_none_is_allowed(
    artifact: Export, machine: Callable[[list[Node] | None], list[Any]]
) -> None:
    machine([SHAPE, CONCAT])
    with pytest.raises(
        BackendError, match="2 nodes that only compute sizes: Shape 'node_Shape_0', Concat"
    ) as caught:
        load(artifact("lstm", "onnx"), backend="ort-cuda", cpu_fallback="none")
    assert "cpu_fallback='shape-ops' allows these" in str(caught.value)


@pytest.mark.parametrize(
    "node",
    [Node("node_linear", "Gemm"), Node("node_select", "Gather"), Node("made", "FusedGemm")],
    ids=lambda node: node.operator,
)
def test_a_node_that_reads_numbers_is_refused_by_its_name(
    artifact: Export, machine: Callable[[list[Node] | None], list[Any]], node: Node
) -> None:
    machine([SHAPE, node])
    with pytest.raises(BackendError) as caught:
        load(artifact("lstm", "onnx"), backend="ort-cuda")
    assert (caught.value.code, caught.value.exit_code) == ("E-CUDA-NODES", 3)
    assert f"nodes on the CPU (1 node: {node.operator} '{node.name}')" in str(caught.value)


def test_nodes_that_are_not_named_are_refused(
    artifact: Export, machine: Callable[[list[Node] | None], list[Any]]
) -> None:
    machine(None)
    with pytest.raises(BackendError, match="it does not report which"):
        load(artifact("lstm", "onnx"), backend="ort-cuda")


def test_auto_takes_the_cpu_for_such_a_graph_and_says_so(
    artifact: Export, machine: Callable[[list[Node] | None], list[Any]]
) -> None:
    machine([Node("node_linear", "Gemm")])
    with load(artifact("lstm", "onnx")) as predictor:
        assert predictor.backend.name == "ort-cpu"
        assert "Gemm 'node_linear'" in predictor.skipped["ort-cuda"]
