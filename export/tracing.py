"""The network's graph from torch.export, and the sizes at which that graph equals the network.

torch.export runs `forward` once with symbolic sizes. Each Python decision that depends on a size (a
branch on the batch, a table of 64 positions, a convolution that needs 3 steps) is frozen into the graph
and recorded as a guard (`ptx.export.guards`). A file of any format is known to be right only at sizes
for which all guards are true. So every export is traced, also TorchScript, and the guards give the
limits of the axes.
"""

from __future__ import annotations

import copy
import functools
import logging
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.fx.experimental._config as symbolic_config
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, ShapesCollection
from torch.utils._pytree import tree_leaves
from torch.utils._sympy.value_ranges import ValueRanges

from ptx.export.free_sizes import suggest_by_tracing
from ptx.export.guards import (
    MAX_EXCEPTIONS,
    TRACED,
    Guard,
    Ranges,
    Sizes,
    find_end,
    input_symbols,
    read_guards,
    size_dependence_error,
)
from ptx.export.quiet_loggers import quiet_loggers
from ptx.export.recurrent_shapes import recurrent_shapes
from ptx.infer.backends.pytorch.device import to_tensors
from ptx.infer.backends.pytorch.outputs import find_outputs, has_names
from ptx.infer.errors import ArtifactError
from ptx.infer.limits import NO_LIMITS, Limits
from ptx.infer.signature import BATCH, Signature

_SMALL = (2, 3, 4, 5, 6)
_MAX_ELEMENTS = 2**20  # elements of the inputs at one of the further sizes
_MAX_RUN_ELEMENTS = 2**23  # elements of inputs on which a network and its program are compared
_MAX_TRACED_ELEMENTS = 2**27  # elements of the inputs of another trace, which does not read them
_MAX_TRACES = 4  # further traces of a network
_LONGEST_TABLE = 2**14  # positions
# Further sizes at which a network is checked if torch.export cannot trace it.
_FAR_BATCHES, _FAR_LENGTHS = (128, 1000), (64, 200, 1000)

_LOOKUPS = (  # operators that take rows of a table, and their arguments: table, indices
    torch.ops.aten.embedding.default,
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_select.default,
)


@dataclass(frozen=True)
class Traced:
    """A network that is ready to be converted.

    Attributes:
        network: In eval mode; it returns its outputs in the signature's order.
        signature: With the limits of its axes.
        further_sizes: Sizes that the equivalence check must add to its matrix.
        program: None if torch.export cannot trace the network.
        guards: The decisions that depend on sizes, as text.
        failure: Why torch.export cannot trace it.
        decomposed: By opset, the program that the last conversion to ONNX was translated from; kept to
            name the node at which a file differs.
    """

    network: nn.Module
    signature: Signature
    further_sizes: tuple[Sizes, ...]
    program: ExportedProgram | None = None
    guards: frozenset[str] = frozenset()
    failure: Exception | None = None
    decomposed: dict[int, ExportedProgram] = field(default_factory=dict, repr=False)

    def require_program(self) -> ExportedProgram:
        """The program; raises the failure if there is none."""
        if self.program is None:
            assert self.failure is not None
            raise self.failure
        return self.program


def trace(network: nn.Module, signature: Signature) -> Traced:
    """Trace a network in eval mode, which the result then owns, and find the limits of its axes.

    If torch.export cannot trace it, none of its decisions are known. A file of such a network is also
    checked at sizes far beyond the test matrix: TorchScript records one run, so that another decision
    shows as another output. A decision that differs only at a few sizes between these, or beyond all of
    them, is not found.

    Raises:
        ArtifactError: E-ROWS: the output depends on the number of rows. E-EXPORT-AXES: a graph is not
            right at the sizes of the signature, or not for one range of each axis.
    """
    try:
        return _trace(network, signature)
    except ArtifactError as error:
        if error.code != "E-EXPORT-AXES":
            raise

        def traces(limited: Signature) -> bool:
            try:
                return _trace(network, limited).program is not None
            except ArtifactError:
                return False

        raise suggest_by_tracing(error, signature, traces) from error


def _trace(network: nn.Module, signature: Signature) -> Traced:
    examples = example_tensors(signature)
    try:
        with torch.no_grad():
            if has_names(network(*examples)):
                return_in_order(network, signature)
        program = _capture(network, signature, examples)
    except Exception as error:  # whatever a forward method raises, or torch.export
        return _probe(network, signature, error)
    decisions = _find_decisions(network, signature, program)
    limited, further = _find_limits(network, signature, program, decisions.guards)
    return Traced(network, limited, (*further, *decisions.run), program, decisions.seen)


def require_limits(program: ExportedProgram, traced: Traced) -> None:
    """Check that an exporter added no guard that excludes sizes within the limits of the axes.

    Torch's decompositions are Python too: that of an adaptive pool is right only for the traced length.

    Raises:
        ArtifactError: E-EXPORT-AXES, E-ROWS: as `trace`.
    """
    signature = traced.signature
    guards = [g for g in read_guards(program, signature) if g.text not in traced.guards]
    ranges = Ranges(guards, signature)
    for axis in signature.dynamic_axes:
        limits = ranges.find_limits(axis)
        if limits != signature.limits.get(axis, NO_LIMITS):
            raise size_dependence_error([axis], ranges.describe_end(axis, limits))
    ranges.check_combinations()


def with_limits(program: ExportedProgram, signature: Signature) -> ExportedProgram:
    """A program that checks the limits of the axes instead of its guards.

    Guards also exclude single sizes at which torch would have traced in another way
    (`(1 + time) // 2 != 1` for `x[:, ::2]`): the equivalence check runs the file there.
    """
    limited = copy.copy(program)
    limited._guards_code = []
    limited._range_constraints = dict(program.range_constraints)
    for symbol, axis in input_symbols(program, signature).items():
        minimum, maximum, _ = signature.limits.get(axis, NO_LIMITS)
        limited._range_constraints[symbol] = ValueRanges(
            0 if minimum == 1 else minimum, math.inf if maximum is None else maximum
        )
    return limited


def example_tensors(signature: Signature) -> tuple[Tensor, ...]:
    """Example inputs for tracing, in the order of the forward method."""
    inputs = signature.example(signature.distinct_sizes(TRACED))
    return tuple(to_tensors(signature, inputs, "cpu"))


def return_in_order(network: nn.Module, signature: Signature) -> None:
    """Have a network that returns a dict or named tuple return a tuple in the signature's order.

    Its class is replaced by a subclass, so that its weights keep their names.
    """
    original = type(network)
    forward = original.forward

    @functools.wraps(forward)
    def in_order(self: nn.Module, *inputs: Any) -> tuple[Tensor, ...]:
        return find_outputs(signature, forward(self, *inputs))

    members = {"forward": in_order, "__module__": original.__module__}
    network.__class__ = type(original.__name__, (original,), members)


def _capture(
    network: nn.Module, signature: Signature, examples: tuple[Tensor, ...]
) -> ExportedProgram:
    """The program, captured by dynamo (strict mode) if running `forward` with symbols fails."""
    try:
        return _run_export(network, signature, examples, strict=False)
    except Exception as error:
        try:
            return _run_export(network, signature, examples, strict=True)
        except Exception:
            raise error from None


def _run_export(
    network: nn.Module, signature: Signature, examples: tuple[Tensor, ...], *, strict: bool
) -> ExportedProgram:
    # By tensor, so that it does not matter how `forward` takes its arguments: `forward(self, *x)`.
    # DYNAMIC, since a named dimension would have to be unlimited.
    shapes = ShapesCollection()  # type: ignore[no-untyped-call]
    for spec, example in zip(signature.inputs, examples, strict=True):
        shapes[example] = {
            position: Dim.DYNAMIC
            for position, axis in enumerate(spec.axes)
            if isinstance(axis, str)
        }
    # Size-oblivious, as torch.onnx traces: no decision relies on sizes being above 1.
    with (
        torch.no_grad(),
        warnings.catch_warnings(),
        recurrent_shapes(network),
        quiet_loggers("torch", level=logging.CRITICAL),  # torch also raises what it logs
        symbolic_config.patch(backed_size_oblivious=True),  # type: ignore[attr-defined]
    ):
        # torch.export warns of its own internals: that it will rename `_check_is_size`, and that an
        # LSTM's list of its own weights (`_flat_weights`) was assigned while they were faked.
        warnings.simplefilter("ignore")
        return torch.export.export(network, examples, dynamic_shapes=shapes, strict=strict)


@dataclass(frozen=True)
class _Decisions:
    """The decisions that depend on sizes.

    Attributes:
        guards: The guards that limit the sizes.
        seen: All guards, as text.
        run: Sizes at which a violated guard has no effect on the outputs for random inputs.
    """

    guards: list[Guard]
    seen: frozenset[str]
    run: list[Sizes]


def _find_decisions(
    network: nn.Module, signature: Signature, program: ExportedProgram
) -> _Decisions:
    """Trace the network again at sizes that violate a rule: with an equal graph the rule is dropped.

    Torch decides by sizes in ways that the graph does not show, such as the kernel of a convolution. A
    network may choose between two ways to the same result by the number of elements, as kornia's filters
    do. Such a rule binds several axes and cannot be a limit, so the outputs at the smallest sizes beyond
    it are compared, here and in the equivalence check.
    """
    guards = read_guards(program, signature)
    seen = {guard.text for guard in guards}
    tried: set[str] = set()
    run = []
    for _ in range(_MAX_TRACES):
        sizes = Ranges(guards, signature).find_beyond(tried)
        if sizes is None:
            break
        violated = [guard for guard in guards if not guard.stated and not guard.is_satisfied(sizes)]
        more: list[Guard] = []
        other = _trace_again(network, signature, sizes)
        if other is not None and _graph_text(other) == _graph_text(program):
            first = signature.distinct_sizes(TRACED)
            new = [guard for guard in read_guards(other, signature) if guard.text not in seen]
            seen |= {guard.text for guard in new}
            more = [guard for guard in new if guard.is_satisfied(first)]
        elif all(len(set(guard.names.values())) > 1 for guard in violated) and _same_outputs(
            network, program, signature, sizes
        ):
            run.append(sizes)
        else:
            tried |= {guard.text for guard in violated}
            continue
        guards = [guard for guard in guards if guard not in violated] + more
    return _Decisions(guards, frozenset(seen), run)


def _trace_again(network: nn.Module, signature: Signature, sizes: Sizes) -> ExportedProgram | None:
    """The program traced at other sizes; None if that fails, or would take much memory."""
    if _count_elements(signature, sizes) > _MAX_TRACED_ELEMENTS:
        return None
    dtypes = [example.dtype for example in example_tensors(signature)]
    examples = tuple(
        torch.zeros(spec.shape(sizes), dtype=dtype)
        for spec, dtype in zip(signature.inputs, dtypes, strict=True)
    )
    try:
        return _run_export(network, signature, examples, strict=False)
    except Exception:  # as in `trace`
        return None


def _graph_text(program: ExportedProgram) -> list[str]:
    """The graph and its subgraphs as code, and the constants of the trace."""
    graphs = [m for m in program.graph_module.modules() if isinstance(m, torch.fx.GraphModule)]
    numbers = {
        name: value.tolist() if isinstance(value, Tensor) else value
        for name, value in program.constants.items()
    }
    return [*(str(graph.code) for graph in graphs), repr(numbers)]


def _find_limits(
    network: nn.Module, signature: Signature, program: ExportedProgram, guards: Sequence[Guard]
) -> tuple[Signature, tuple[Sizes, ...]]:
    """The signature with its limits, and the sizes that must be added to the test matrix.

    Raises:
        ArtifactError: as `trace` does.
    """
    ranges = Ranges(guards, signature)
    small = signature.distinct_sizes(_SMALL)
    limits, further = {}, []
    for axis in signature.dynamic_axes:
        minimum, maximum, step = ranges.find_limits(axis)
        first = signature.clamp(axis, 1)
        # For example `time > 1`: an attention over a single word needs no mask.
        while first < minimum <= MAX_EXCEPTIONS * step and _same_outputs(
            network, program, signature, {**small, axis: minimum - step}
        ):
            minimum -= step
            further.append({**small, axis: minimum})
        limits[axis] = Limits(minimum, maximum, step)
    if limits[BATCH] != NO_LIMITS:
        raise size_dependence_error([BATCH], ranges.describe_end(BATCH, limits[BATCH]))
    _limit_by_tables(network, signature, program, limits)
    limited = signature.limit(limits)
    ranges, small = Ranges(guards, limited), limited.distinct_sizes(_SMALL)
    further += [{**small, **sizes} for sizes in ranges.check_combinations()]
    for axis in limited.dynamic_axes:
        for size in ranges.find_exceptions(axis):
            if axis == BATCH or _runs_at(network, limited, small, axis, size):
                further.append({**small, axis: size})
            else:
                limits[axis] = _exclude_end(axis, limits[axis], size)
    limited = signature.limit(limits)
    for axis, ends in limited.limits.items():
        stated = signature.limits.get(axis, ends)
        if ends != stated:
            raise ArtifactError(
                f"the signature says {axis} {stated}; the network is right only for {axis} {ends}: give"
                " these limits, or none",
                code="E-EXPORT-AXES",
            )
        further += [{**small, axis: end} for end in ends[:2] if end is not None]
    return limited, _select_runnable(limited, further)


def _same_outputs(
    network: nn.Module, program: ExportedProgram, signature: Signature, sizes: Sizes
) -> bool:
    """Whether the program's outputs equal the network's at sizes that its guards exclude."""
    if _count_elements(signature, sizes) > _MAX_RUN_ELEMENTS:
        return False
    inputs = signature.example(sizes)
    try:
        unlimited = with_limits(program, replace(signature, limits={})).module()
        with torch.no_grad():
            actual, expected = (
                tree_leaves(run(*to_tensors(signature, inputs, "cpu")))
                for run in (unlimited, network)
            )
    except Exception:  # whatever a forward method raises
        return False
    return all(
        one.shape == other.shape and torch.allclose(one, other, 1e-3, 1e-5, equal_nan=True)
        for one, other in zip(actual, expected, strict=True)
    )


def _limit_by_tables(
    network: nn.Module, signature: Signature, program: ExportedProgram, limits: dict[str, Limits]
) -> None:
    """Limit the axes whose sizes are indices into a table, such as a position embedding.

    torch.export does not check indices. Runtimes differ in what they do with an index beyond the table;
    OpenVINO 2026.2 reads the memory after it.
    """
    small = signature.distinct_sizes(_SMALL)
    for axis in signature.dynamic_axes[1:]:
        for rows in sorted(_find_tables(program)):
            known = limits[axis]
            last = rows // known.multiple * known.multiple
            beyond = last + known.multiple
            if not known.accepts(last) or not known.accepts(beyond):
                continue
            runs_at = functools.partial(_runs_at, network, signature, small, axis)
            if runs_at(last) and not runs_at(beyond):
                limits[axis] = known._replace(maximum=last)


def _find_tables(program: ExportedProgram) -> set[int]:
    """The number of rows of each table whose indices depend on sizes only, not on an input's values."""
    values = set(program.graph_signature.user_inputs)
    data_dependent: set[torch.fx.Node] = set()
    tables = set()
    for node in program.graph.nodes:
        is_size = node.target is torch.ops.aten.sym_size.int
        if node.name in values or (
            not is_size and data_dependent.intersection(node.all_input_nodes)
        ):
            data_dependent.add(node)
        elif node.target in _LOOKUPS:
            # int() of a symbolic size would bind the symbol.
            rows = node.all_input_nodes[0].meta["val"].shape[0]
            tables.add(rows if isinstance(rows, int) else 0)
    return {rows for rows in tables if 0 < rows <= _LONGEST_TABLE}


def _exclude_end(axis: str, limits: Limits, size: int) -> Limits:
    """The limits without a size at which the network itself fails."""
    if size == limits.minimum:
        return limits._replace(minimum=size + limits.multiple)
    if size == limits.maximum:
        return limits._replace(maximum=size - limits.multiple)
    raise size_dependence_error([axis], f"{axis} other than {size}")


def _probe(network: nn.Module, signature: Signature, failure: Exception) -> Traced:
    """The sizes to check for a network without a program; its limits are the sizes at which it runs."""
    small = signature.distinct_sizes(_SMALL)
    if not _runs_at(network, signature, small, BATCH, small[BATCH]):
        # The equivalence check reports why.
        return Traced(network, signature, (), failure=failure)
    limits, further = dict(signature.limits), [{**small, BATCH: size} for size in _FAR_BATCHES]
    for axis in signature.dynamic_axes[1:]:
        passed = functools.partial(_runs_at, network, signature, small, axis)
        right = small[axis]
        for size in dict.fromkeys(signature.clamp(axis, length) for length in _FAR_LENGTHS):
            if not _select_runnable(signature, [{**small, axis: size}]):
                break
            if axis not in signature.limits and not passed(size):
                limits[axis] = Limits(1, find_end(right, size, passed))
                break
            right = size
            further.append({**small, axis: size})
    limited = signature.limit(limits)
    for axis, ends in limited.limits.items():
        further += [{**small, axis: end} for end in ends[:2] if end is not None]
    return Traced(network, limited, _select_runnable(limited, further), failure=failure)


def _runs_at(network: nn.Module, signature: Signature, others: Sizes, axis: str, size: int) -> bool:
    """Whether the network runs at this size of an axis."""
    inputs = signature.example({**others, axis: size})
    try:
        with torch.no_grad():
            network(*to_tensors(signature, inputs, "cpu"))
    except Exception:  # whatever a forward method raises
        return False
    return True


def _select_runnable(signature: Signature, candidates: Sequence[Sizes]) -> tuple[Sizes, ...]:
    """The sizes within the limits that are not too large for the check, without repetition."""
    selected: list[Sizes] = []
    for sizes in candidates:
        inside = all(
            signature.limits.get(axis, NO_LIMITS).accepts(size) for axis, size in sizes.items()
        )
        if inside and _count_elements(signature, sizes) <= _MAX_ELEMENTS and sizes not in selected:
            selected.append(sizes)
    return tuple(selected)


def _count_elements(signature: Signature, sizes: Sizes) -> int:
    """The number of elements of the inputs at these sizes."""
    return sum(math.prod(spec.shape(sizes)) for spec in signature.inputs)
