"""Time and error of each node of a file, from the profilers of ONNX Runtime and torch."""

from __future__ import annotations

import io
import json
import os
import re
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn
from torch.profiler import ProfilerActivity, profile, record_function

from ptx.export.diff.locate import Location
from ptx.export.diff.onnx_graph import OnnxGraph
from ptx.export.diff.onnx_steps import describe_node
from ptx.export.diff.runtimes import OrtRuntime, find_runtime
from ptx.export.diff.step import Step
from ptx.export.diff.torch_steps import load_script
from ptx.infer.artifact.artifact import Artifact
from ptx.infer.backends import Options, open_backend
from ptx.infer.backends.pytorch.device import to_tensors
from ptx.infer.errors import UsageError, quote
from ptx.infer.signature import Array, Signature

PROFILED_BACKENDS = ("ort-cpu", "ort-cuda", "pt2", "torchscript")
os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else torch logs each start and stop
_RANGE = "ptx node "  # prefix of the profiler's ranges
_KERNEL = "_kernel_time"  # suffix of a node's events in ONNX Runtime's profile
_ADDED = re.compile("(_nchwc|_token_[0-9]+)$")  # suffixes that ONNX Runtime's fusions add to names
_MIN_RUNS = 3
_MAX_RUNS = 1000  # a profile takes 500 bytes per node and run


@dataclass(frozen=True)
class NodeTime:
    """One node of the graph that runs, after the runtime's fusions.

    Attributes:
        node: The runtime's name, such as `Conv node_conv2d`; for TorchScript the module.
        seconds: Mean time in one run.
        step: The step that `locate` compared; for several fused nodes the worst one. None if it was not
            compared.
    """

    node: str
    seconds: float
    step: Step | None = None

    def to_data(self, total: float) -> dict[str, Any]:
        """The node as JSON data: times in microseconds, and the share of the `total` seconds."""
        step = None if self.step is None else self.step.to_data()
        keys = ("module", "operator", "source", "error", "tolerance", "cost")
        return {
            "node": self.node,
            "us": 1e6 * self.seconds,
            "time_share": self.seconds / total,
            **{key: None if step is None else step[key] for key in keys},
            "error_share": None if step is None else step["share"],
        }


@dataclass(frozen=True)
class NodeProfile:
    """The time of every node of one file on one backend.

    Attributes:
        runs: Number of profiled runs.
        nodes: In the order in which they ran.
        quantized: Whether the file computes in int8: its nodes have a cost, but no tolerance.
    """

    backend: str
    batch: int
    runs: int
    nodes: tuple[NodeTime, ...]
    quantized: bool = False

    @property
    def seconds(self) -> float:
        """The sum over the nodes; a run also takes time between them."""
        return sum(node.seconds for node in self.nodes)

    def slowest(self, count: int = 10) -> list[NodeTime]:
        """The nodes that take longest."""
        return sorted(self.nodes, key=lambda node: node.seconds, reverse=True)[:count]

    def to_data(self) -> dict[str, Any]:
        """The profile as JSON data, with all nodes."""
        return {
            "backend": self.backend,
            "batch": self.batch,
            "runs": self.runs,
            "nodes_us": 1e6 * self.seconds,
            "nodes": [node.to_data(self.seconds) for node in self.nodes],
        }


def profile_nodes(
    artifact: Artifact,
    inputs: Mapping[str, Array],
    *,
    backend: str = "ort-cpu",
    seconds: float = 1.0,
    threads: int | None = None,
    location: Location | None = None,
) -> NodeProfile:
    """Measure the time of each node of a file, which must be trusted if it is a program.

    Args:
        inputs: By the names in the file's signature.
        seconds: Time to run the file under the profiler, but at least 3 and at most 1,000 runs.
        threads: Threads of ONNX Runtime; None: all CPUs. torch keeps its setting.
        location: The result of `locate` for the file, which has the errors of the nodes.

    Raises:
        UsageError: the backend cannot be profiled by node.
        BackendError: the backend is not available here.
    """
    signature = artifact.require_manifest().signature
    steps = () if location is None else location.steps
    if backend not in PROFILED_BACKENDS:
        raise UsageError(
            f"the backend {quote(backend)} cannot be profiled by node; expected one of"
            f" {', '.join(PROFILED_BACKENDS)}"
        )
    if artifact.external_data:
        raise UsageError(
            f"{artifact.name} has its weights in other files: to profile it, save it as one file"
        )
    # Raises an error with the reason, if the file would otherwise run on another device.
    open_backend(backend, artifact, Options(trust=True)).close()
    if backend in _TORCH_PROFILES:
        profile_file = _TORCH_PROFILES[backend]
        times, runs = profile_file(artifact.data, signature, inputs, steps, seconds)
    else:
        runtime = find_runtime(backend)
        assert isinstance(runtime, OrtRuntime)
        times, runs = _profile_onnx(artifact.data, runtime, inputs, location, seconds, threads)
    first = signature.inputs[0]
    batch = inputs[first.name].shape[first.batch_axis]
    quantized = location is not None and location.quantized
    return NodeProfile(backend, batch, runs, tuple(times), quantized)


def _profile_onnx(
    content: bytes,
    runtime: OrtRuntime,
    inputs: Mapping[str, Array],
    location: Location | None,
    seconds: float,
    threads: int | None,
) -> tuple[list[NodeTime], int]:
    with tempfile.TemporaryDirectory(prefix="ptx-profile-") as folder:
        path = Path(folder, "optimized.onnx")
        session = runtime.open_profiled(content, path, threads=threads)
        runs = _repeat(lambda: session.run(None, dict(inputs)), seconds)
        events = json.loads(Path(session.end_profiling()).read_bytes())
        optimized = OnnxGraph(path.read_bytes())
    spent: dict[str, float] = defaultdict(float)
    operators: dict[str, str] = {}
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith(_KERNEL):
            name = event["name"].removesuffix(_KERNEL)
            spent[name] += event["dur"] / 1e6
            operators[name] = event["args"]["op_name"]
    fused = {} if location is None else _find_fused(OnnxGraph(content), optimized, location)
    return [
        NodeTime(f"{operators[name]} {name}", total / runs, fused.get(name))
        for name, total in spent.items()
    ], runs


def _find_fused(
    file: OnnxGraph, optimized: OnnxGraph, location: Location
) -> dict[str, Step | None]:
    """The worst step of the file that each optimized node computes, by the name of the node."""
    by_node = {title: step for step in location.steps for title in step.nodes}
    indices = {node.name: index for index, node in enumerate(file.nodes)}
    worst_steps: dict[str, Step | None] = {}
    for node in optimized.nodes:
        name = _ADDED.sub("", node.name.removeprefix("fused "))
        if name == node.op_type and name not in indices:  # it only changes the memory layout
            continue
        inputs = {value for value in node.input if value in file.producers}
        covered = {indices[name]} if name in indices else set()
        for value in (name, *node.output):
            if value in file.producers:
                covered.update(file.segment(value, inputs)[0])
        titles = (describe_node(file.nodes[index]) for index in covered)
        steps = [by_node[title] for title in titles if title in by_node]
        worst_steps[node.name] = max(steps, key=location.severity, default=None)
    return worst_steps


def _profile_program(
    data: bytes,
    signature: Signature,
    inputs: Mapping[str, Array],
    steps: Sequence[Step],
    seconds: float,
) -> tuple[list[NodeTime], int]:
    module = torch.export.load(io.BytesIO(data)).module()
    assert isinstance(module, fx.GraphModule)
    interpreter = _RangedInterpreter(module)
    tensors = to_tensors(signature, inputs, "cpu")
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU]) as profiler:
        runs = _repeat(lambda: interpreter.run(*tensors), seconds)
    spent: dict[str, float] = defaultdict(float)
    for event in profiler.events() or ():
        if event.name.startswith(_RANGE):
            spent[event.name.removeprefix(_RANGE)] += event.cpu_time_total / 1e6
    by_name = {step.name: step for step in steps}
    nodes = {node.name: node for node in module.graph.nodes if node.op == "call_function"}
    return [
        NodeTime(f"{node.target} {name}", spent[name] / runs, by_name.get(name))
        for name, node in nodes.items()
        if name in spent
    ], runs


class _RangedInterpreter(fx.Interpreter):
    """Runs a graph node by node, each within a named range of the profiler."""

    def run_node(self, n: fx.Node) -> Any:
        if n.op != "call_function":
            return super().run_node(n)
        with record_function(_RANGE + n.name):
            return super().run_node(n)


def _profile_script(
    data: bytes,
    signature: Signature,
    inputs: Mapping[str, Array],
    steps: Sequence[Step],
    seconds: float,
) -> tuple[list[NodeTime], int]:
    module: nn.Module = load_script(data)
    tensors = to_tensors(signature, inputs, "cpu")
    with torch.no_grad(), warnings.catch_warnings():
        # Deprecated together with TorchScript, but there is no other way to get an operator's module.
        warnings.filterwarnings("ignore", "with_modules is deprecated", FutureWarning)
        with profile(activities=[ProfilerActivity.CPU], with_modules=True) as profiler:
            runs = _repeat(lambda: module(*tensors), seconds)
    with tempfile.TemporaryDirectory(prefix="ptx-profile-") as folder:
        path = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_bytes())["traceEvents"]
    operators = [e for e in events if e.get("cat") == "cpu_op" and e["name"].startswith("aten::")]
    spent: dict[str, float] = defaultdict(float)
    for event in _outermost(operators):
        spent[_module_path(event["args"].get("Module Hierarchy", ""))] += event["dur"] / 1e6
    by_module = {step.origin.module: step for step in steps}
    return [
        NodeTime(path or "forward", total / runs, by_module.get(path))
        for path, total in spent.items()
    ], runs


_TORCH_PROFILES = {"pt2": _profile_program, "torchscript": _profile_script}


def _outermost(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The events that are not nested in another event of their thread."""
    outermost: list[Mapping[str, Any]] = []
    ends: dict[Any, float] = {}
    for event in sorted(events, key=lambda event: event["ts"]):
        if event["ts"] >= ends.get(event["tid"], 0.0):
            ends[event["tid"]] = event["ts"] + event["dur"]
            outermost.append(event)
    return outermost


def _module_path(hierarchy: str) -> str:
    """`b.c` of `TOP(Net)::forward.network(Net)::forward.b(Block)::forward.c(Conv2d)::forward.`."""
    names = [part.partition("(")[0] for part in hierarchy.split("::")[1:-1]]
    path = [name.partition(".")[2] for name in names]
    return ".".join(name for name in path if name).removeprefix("network.")


def _repeat(run: Callable[[], object], seconds: float) -> int:
    """Run for some seconds; returns the number of runs."""
    runs, end = 0, time.perf_counter() + seconds
    while runs < _MIN_RUNS or (runs < _MAX_RUNS and time.perf_counter() < end):
        run()
        runs += 1
    return runs
