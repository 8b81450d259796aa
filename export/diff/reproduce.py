"""A short script that reproduces a disagreement without ptx, for a bug report to another project.

The script contains the part of the network around the step: the layer of torch.nn that contains the
step, if it disagrees by itself, else the operators of the step. Weights and inputs are random numbers,
or those of the network if there are few. Each attempt runs in a new process; the first one that
disagrees is written.
"""

from __future__ import annotations

import operator
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from ptx.export.diff.fx_graph import FxGraph, round_to_own, to_array
from ptx.export.diff.locate import Location
from ptx.export.diff.step import Step
from ptx.export.formats.onnx_ import OPSET
from ptx.export.source import TrainedModel
from ptx.infer.artifact.files import write_atomic
from ptx.infer.backends.pytorch.device import to_tensors
from ptx.infer.errors import AgreementError, UsageError

DISAGREES = 3  # exit code of the script
# Values of the inputs, tried in this order: random numbers, random numbers with masks that mask
# everything, zeros, and the input for which the file differs.
_FILLS = ("random", "masked", "zeros", "literal")
_MAX_LITERAL = 40  # maximum number of elements of an input that is written into the script
_SECONDS = 120  # time limit of an attempt
_TRACE_SIZES = (5, 6, 7, 9, 11)  # sizes of dynamic axes at which the part is traced

_SCRIPT = '''"""{title}"""
import onnxruntime
import torch


class Part(torch.nn.Module):
    def __init__(self):
        super().__init__()
{layers}

    def forward({arguments}):
{body}


torch.manual_seed(0)
part = Part().eval()
inputs = ({inputs},)
{trace}options = dict(dynamo=True, opset_version={opset}, verbose=False{dynamic})
program = torch.onnx.export(part, {example}, **options)
session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
names = [value.name for value in session.get_inputs()]
try:
    got = session.run(None, dict(zip(names, [value.numpy() for value in inputs])))[0]
except Exception as error:
    print(f"ONNX Runtime refuses it: {{error}}")
    raise SystemExit({code})
with torch.no_grad():
    native = part(*inputs)
    exact = part.double()(*[v.double() if v.is_floating_point() else v for v in inputs]).double()
tolerance = 8 * max((native - exact).abs().max().item(), 2**-21 * exact.abs().max().item())
error = (torch.from_numpy(got).double() - exact).abs().max().item()
print(f"torch {{torch.__version__}}, onnxruntime {{onnxruntime.__version__}}")
print(f"error {{error:.3g}}, tolerance {{tolerance:.3g}}")
raise SystemExit(0 if error <= tolerance else {code})
'''


@dataclass(frozen=True)
class _Part:
    """The source of a module, and the inputs of its forward method."""

    layers: list[str]
    body: list[str]
    inputs: dict[str, Tensor]
    symbols: dict[str, tuple[Any, ...]]  # the symbolic shape of each input


def reproduce(
    trained: TrainedModel, location: Location, path: Path, *, step: Step | None = None
) -> str:
    """Write the shortest script that disagrees when it runs in a new process.

    Args:
        location: The result of `locate` for an ONNX file.
        step: Another step than that of `location`.

    Returns:
        The output of the script.

    Raises:
        UsageError: `location` has no step, or the network has no program to take a part from.
        AgreementError: E-REPRODUCE: no part disagrees when it is exported by itself, so the file is
            wrong, and not the exporter or the runtime.
        OutputError: the script cannot be written.
    """
    step = step or location.step
    program = next(iter(reversed(trained.traced.decomposed.values())), None)
    if step is None or program is None:
        raise UsageError(
            "there is nothing to reproduce: expected a node that disagrees, in an ONNX file of a network"
        )
    inputs = to_tensors(trained.traced.signature, location.inputs, "cpu")
    graph = FxGraph(program, inputs)
    outputs = dict(
        zip([spec.name for spec in trained.manifest.signature.outputs], graph.outputs, strict=True)
    )
    parts = _parts(trained.network, graph, step, outputs)
    scripts = dict.fromkeys(
        _write(part, step, fill=fill, dynamic=dynamic)
        for part, fill, dynamic in product(parts, _FILLS, (False, True))
    )
    for script in scripts:
        if (output := run_script(script)) is not None:
            write_atomic(path, script.encode())
            return output
    raise AgreementError(
        f"{step.title} agrees when it is exported by itself. The file is wrong, not the exporter or the"
        " runtime: export it again",
        code="E-REPRODUCE",
    )


def run_script(script: str) -> str | None:
    """The output of a script in a new process; None if it does not disagree."""
    with tempfile.TemporaryDirectory(prefix="ptx-reproduce-") as folder:
        path = Path(folder, "repro.py")
        path.write_text(script)
        try:
            process = subprocess.run(
                [sys.executable, "-W", "ignore", str(path)],
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
                cwd=folder,
            )
        except subprocess.TimeoutExpired:
            return None
    return "; ".join(process.stdout.splitlines()) if process.returncode == DISAGREES else None


def _parts(
    network: nn.Module, graph: FxGraph, step: Step, outputs: Mapping[str, str]
) -> list[_Part]:
    """The layer of torch.nn that contains the step, and the operators of the step."""
    target = graph.nodes[outputs.get(step.name, step.name)]
    stops = [graph.nodes[outputs.get(name, name)] for name in step.frontier]
    cone = graph.find_cone(target, stops)
    return [*_layer_part(network, graph, step, cone), _operator_part(graph, target, cone)]


def _layer_part(
    network: nn.Module, graph: FxGraph, step: Step, cone: list[fx.Node]
) -> Iterator[_Part]:
    """The layer, if its repr creates an equal layer and the step has one input besides its weights."""
    try:
        layer = network.get_submodule(step.origin.module)
        copy = eval(f"nn.{layer!r}", {"nn": nn})  # noqa: S307 - the repr of a layer of torch.nn
        same = {k: v.shape for k, v in copy.state_dict().items()} == {
            k: v.shape for k, v in layer.state_dict().items()
        }
    except Exception:  # a layer whose repr is not a call
        return
    inputs = [node for node in _external_inputs(graph, cone) if not _is_weight(graph, node)]
    floats = [node for node in inputs if graph.exact[node.name].is_floating_point()]
    if type(layer).__module__.startswith("torch.nn") and same and step.origin.module and floats:
        value = floats[0]
        returns_tuple = isinstance(layer, nn.RNNBase)
        yield _Part(
            [f"self.layer = torch.nn.{layer!r}"],
            [f"return self.layer({value.name}){'[0]' if returns_tuple else ''}"],
            {value.name: _rounded(graph, value)},
            {value.name: tuple(value.meta["val"].shape)},
        )


def _operator_part(graph: FxGraph, target: fx.Node, cone: list[fx.Node]) -> _Part:
    layers, inputs, symbols, names = [], {}, {}, {}
    for node in _external_inputs(graph, cone):
        value = graph.exact[node.name]
        if not isinstance(value, Tensor):
            names[node] = repr(value)
        elif _is_weight(graph, node):
            shape = ", ".join(map(str, value.shape))
            layers.append(f"self.{node.name} = torch.nn.Parameter(torch.randn({shape}))")
            names[node] = f"self.{node.name}"
        else:
            inputs[node.name], names[node] = _rounded(graph, node), node.name
            symbols[node.name] = tuple(node.meta["val"].shape)
    body = []
    for node in cone:
        args = [*(_text(arg, names) for arg in node.args)]
        args += [f"{key}={_text(value, names)}" for key, value in node.kwargs.items()]
        names[node] = node.name
        if node.target is operator.getitem:
            body.append(f"{node.name} = {args[0]}[{args[1]}]")
        else:
            text = str(node.target)
            if not isinstance(node.target, torch._ops.OpOverload):
                text = f"__import__('operator').{getattr(node.target, '__name__', text)}"
            else:
                text = f"torch.ops.{text}"
            body.append(f"{node.name} = {text}({', '.join(args)})")
    body.append(f"return {target.name}")
    return _Part(layers or ["pass"], body, inputs, symbols)


def _external_inputs(graph: FxGraph, cone: list[fx.Node]) -> list[fx.Node]:
    """The inputs of a part: nodes outside of it that it uses."""
    inside = set(cone)
    inputs = dict.fromkeys(n for node in cone for n in node.all_input_nodes if n not in inside)
    return list(inputs)


def _is_weight(graph: FxGraph, node: fx.Node) -> bool:
    return node.op == "placeholder" and node.name in graph.weights


def _rounded(graph: FxGraph, node: fx.Node) -> Tensor:
    if node.op == "placeholder":
        return torch.from_numpy(to_array(graph.own_value(node.name)))
    return torch.from_numpy(round_to_own(graph, node.name))


def _text(argument: Any, names: Mapping[fx.Node, str]) -> str:
    if isinstance(argument, fx.Node):
        return names[argument]
    if isinstance(argument, list | tuple):
        return f"[{', '.join(_text(each, names) for each in argument)}]"
    if isinstance(argument, float) and argument in (float("inf"), float("-inf")):
        return f"float('{argument}')"
    if isinstance(argument, torch.device):
        return f"torch.device('{argument}')"
    return str(argument) if str(argument).startswith("torch.") else repr(argument)


def _write(part: _Part, step: Step, *, fill: str, dynamic: bool) -> str:
    def lines(texts: list[str]) -> str:
        return "\n".join(f"        {text}" for text in texts)

    values = [_input_text(value, fill) for value in part.inputs.values()]
    trace, example, more = "", "inputs", ""
    if dynamic:
        sizes: dict[str, int] = {}
        examples, shapes = [], []
        for name, shape in part.symbols.items():
            numbers, axes = [], []
            for axis, size in enumerate(shape):
                if isinstance(size, int):
                    numbers.append(size)
                    continue
                key = str(size)
                numbers.append(sizes.setdefault(key, _TRACE_SIZES[len(sizes) % len(_TRACE_SIZES)]))
                axes.append(f"{axis}: torch.export.Dim.DYNAMIC")
            examples.append(_random_text(part.inputs[name], numbers))
            shapes.append(f"{{{', '.join(axes)}}}")
        trace = f"example = ({', '.join(examples)},)\n"
        example, more = "example", f", dynamic_shapes=({', '.join(shapes)},)"
    return _SCRIPT.format(
        title=f"{step.origin.operator} differs after torch.onnx.export.",
        layers=lines(part.layers),
        body=lines(part.body),
        inputs=", ".join(values),
        arguments=", ".join(["self", *part.inputs]),
        trace=trace,
        example=example,
        dynamic=more,
        opset=OPSET,
        code=DISAGREES,
    )


def _input_text(value: Tensor, fill: str) -> str:
    if fill == "literal" and value.numel() <= _MAX_LITERAL:
        return f"torch.tensor({value.tolist()}, dtype={value.dtype})"
    if fill == "zeros" or (fill == "masked" and value.dtype is torch.bool):
        return f"torch.zeros({list(value.shape)}, dtype={value.dtype})"
    return _random_text(value, list(value.shape))


def _random_text(value: Tensor, shape: list[int]) -> str:
    if value.dtype is torch.bool:
        return f"torch.rand({shape}) < 0.5"
    if value.is_floating_point():
        text = f"torch.randn({shape})"
        return text if value.dtype is torch.float32 else f"{text}.to({value.dtype})"
    highest = int(value.max()) + 1 if value.numel() else 1
    return f"torch.randint(0, {highest}, {shape}, dtype={value.dtype})"
