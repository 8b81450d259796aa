"""The steps of a `.pt2` file, by node, and of a TorchScript file, by module."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map

from ptx.export.diff.fx_graph import FxGraph, Origin, round_to_own, to_array
from ptx.export.diff.step import Difference, Step, measure
from ptx.infer.signature import DTYPES, TensorSpec


def find_program_steps(
    file: FxGraph, reference: FxGraph, *, constant_error: float = 0.0
) -> list[Step]:
    """The nodes of a `.pt2` file's program that the network's own program has under the same name."""
    names = [
        name for name in file.nodes if file.is_comparable(name) and reference.is_comparable(name)
    ]
    outputs = dict(zip(file.outputs, reference.outputs, strict=True))
    known = set(names)
    steps = []
    for name in dict.fromkeys([*names, *outputs]):
        step = _compare_node(file, reference, name, outputs, known, constant_error)
        if step is not None:
            steps.append(step)
    return steps


def _compare_node(
    file: FxGraph,
    reference: FxGraph,
    name: str,
    outputs: Mapping[str, str],
    known: set[str],
    constant_error: float,
) -> Step | None:
    """One node on the reference's values; None if the reference cannot compute it from them."""
    expected_name, frontier = outputs.get(name, name), _frontier(file, name, known)
    values = {
        outputs.get(other, other): round_to_own(reference, outputs.get(other, other))
        for other in frontier
    }
    try:
        exact, native = (
            to_array(reference.evaluate(expected_name, values, double=double))
            for double in (True, False)
        )
    except Exception:  # PyTorch raises exceptions of many classes
        return None
    spec = reference.spec(expected_name)
    try:
        file_values = {other: values[outputs.get(other, other)] for other in frontier}
        value = to_array(file.evaluate(name, file_values, double=False))
        local = measure(spec, value, exact, native, constant_error=constant_error)
    except Exception as error:  # PyTorch raises exceptions of many classes
        local = Difference(math.inf, 0.0, math.inf, f"PyTorch fails: {error}"[:200])
    node = f"{file.origin(name).operator} {name}"
    return Step(name, (node,), reference.origin(expected_name), local, frontier=tuple(frontier))


def _frontier(graph: FxGraph, name: str, known: set[str]) -> list[str]:
    """The nearest known nodes from which a node is computed."""
    frontier, pending, visited = dict[str, None](), [graph.nodes[name]], set()
    while pending:
        for node in pending.pop().all_input_nodes:
            if node.name in known:
                frontier[node.name] = None
            elif node not in visited:
                visited.add(node)
                pending.append(node)
    return list(frontier)


@dataclass(frozen=True)
class _ModuleCall:
    """One call of a module in the float64 network."""

    path: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]


def load_script(data: bytes) -> Any:
    """The module of a TorchScript archive, on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated; `ptx export` says so
        return torch.jit.load(io.BytesIO(data), map_location="cpu")  # type: ignore[no-untyped-call]


def find_module_steps(
    script: nn.Module,
    network: nn.Module,
    double: nn.Module,
    inputs: tuple[Tensor, ...],
    *,
    constant_error: float = 0.0,
) -> list[Step]:
    """Every module of the network that the TorchScript file also has, innermost modules first.

    If a module disagrees, but none of the modules in it, the fault is in its own forward method.

    Args:
        double: The network in float64.
    """
    prefix, modules = _find_prefix(script, network), dict(script.named_modules())
    steps = []
    for call in _record_calls(double, inputs):
        path = ".".join(part for part in (prefix, call.path) if part) if call.path else ""
        step = None
        if path in modules:
            step = _compare_module(modules[path], network, double, call, inputs, constant_error)
        if step is not None:
            steps.append(step)
    return steps


def _find_prefix(script: nn.Module, network: nn.Module) -> str:
    """The path of the network in the file, if the file wraps it in another module."""
    paths = [path for path, _ in network.named_modules() if path]
    file_paths = {path for path, _ in script.named_modules()}
    if not paths or set(paths) & file_paths:
        return ""
    suffix = f".{paths[0]}"
    wrappers = [path.removesuffix(suffix) for path in file_paths if path.endswith(suffix)]
    return wrappers[0] if len(wrappers) == 1 else ""


def _record_calls(network: nn.Module, inputs: tuple[Tensor, ...]) -> list[_ModuleCall]:
    """The calls of all modules for these inputs, in the order in which they end."""
    calls: list[_ModuleCall] = []

    def hook(path: str) -> Any:
        def record(module: nn.Module, arguments: Any, options: Any, output: Any) -> None:
            calls.append(_ModuleCall(path, arguments, options))

        return record

    hooks = [
        module.register_forward_hook(hook(path), with_kwargs=True)
        for path, module in network.named_modules()
    ]
    try:
        with torch.no_grad():
            network(*tree_map(lambda value: _cast(value, torch.float64), inputs))
    finally:
        for each in hooks:
            each.remove()
    return calls


def _compare_module(
    module: nn.Module,
    network: nn.Module,
    double: nn.Module,
    call: _ModuleCall,
    inputs: tuple[Tensor, ...],
    constant_error: float,
) -> Step | None:
    """Call a module of the file with the same inputs; None if it has other arguments."""
    arguments, options = tree_map(
        lambda value: _cast(value, torch.float32), (call.arguments, call.options)
    )
    wide = tree_map(lambda value: _cast(value, torch.float64), (arguments, options))
    own = network.get_submodule(call.path)
    flat = [leaf for leaf in tree_leaves((arguments, options)) if isinstance(leaf, Tensor)]
    origin = Origin(type(own).__name__, call.path)
    nodes = (f"{type(own).__name__} {call.path or 'forward'}",)
    with torch.no_grad():
        exact = double.get_submodule(call.path)(*wide[0], **wide[1])
        native = own(*arguments, **options)
        try:
            outputs = module(*(flat if call.path else inputs))
        except Exception as error:  # PyTorch raises exceptions of many classes
            if call.path:  # tracing may have changed the arguments of the module
                return None
            problem = f"PyTorch fails: {' '.join(str(error).split())[-200:]}"
            return Step("", nodes, origin, Difference(math.inf, 0.0, math.inf, problem))
    differences = list(_compare_tensors(outputs, exact, native, constant_error))
    if not differences:
        return None
    worst = max(differences, key=lambda difference: difference.share)
    return Step(call.path, nodes, origin, worst)


def _compare_tensors(
    outputs: Any, exact: Any, native: Any, constant_error: float
) -> Iterator[Difference]:
    leaves = [tree_flatten(each)[0] for each in (outputs, exact, native)]
    for tensors in zip(*leaves, strict=False):
        _, exact_tensor, native_tensor = tensors
        if not all(isinstance(each, Tensor) for each in tensors) or not exact_tensor.numel():
            continue
        dtype = str(native_tensor.dtype).removeprefix("torch.")
        if dtype in DTYPES:
            axes = tuple(
                f"axis{index}" if index < 2 else size
                for index, size in enumerate(exact_tensor.shape)
            )
            spec = TensorSpec("value", dtype, axes)
            arrays = [np.asarray(to_array(each)) for each in tensors]
            yield measure(spec, *arrays, constant_error=constant_error)


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
