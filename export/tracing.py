"""The network's graph from torch.export, and the sizes at which that graph is the network.

torch.export runs `forward` once with symbols in the place of sizes. Each decision that Python takes by
a size (a branch on the batch, a table of 64 positions, a convolution that needs 3 steps) goes into the
graph as it was taken, and is noted as a guard (`ptx.export.guards`). A file of any format is known to be
right where all guards hold, and only there. So every export is traced, TorchScript too, and the guards
give the limits of the axes.
"""

from __future__ import annotations

import copy
import functools
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.fx.experimental._config as symbolic_config
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, ShapesCollection
from torch.utils._pytree import tree_leaves
from torch.utils._sympy.value_ranges import ValueRanges

from ptx.export.formats.recurrent import recurrent_shapes
from ptx.export.guards import (
    EXCEPTIONS,
    TRACED,
    Guard,
    Ranges,
    Sizes,
    find_end,
    input_symbols,
    other_sizes,
    read_guards,
)
from ptx.infer.backends.pytorch.device import to_tensors
from ptx.infer.backends.pytorch.outputs import find_outputs, has_names
from ptx.infer.errors import ArtifactError
from ptx.infer.signature import (
    BATCH,
    NO_LIMITS,
    Limits,
    Signature,
    describe_limits,
    within,
)

_SMALL = (2, 3, 4, 5, 6)
_NUMBERS = 2**20  # of the inputs at one of the further sizes, at most
_RUN_NUMBERS = 2**23  # of those at which the network itself decides otherwise
_TRACED_NUMBERS = 2**27  # of the inputs of another trace, which reads none of them
_TRACES = 4  # of one network beside the first, at most
_LONGEST_TABLE = 2**14  # positions
# Of a network that torch.export cannot trace.
_FAR_BATCHES, _FAR_LENGTHS = (128, 1000), (64, 200, 1000)

_PATHS = ("stack_trace", "nn_module_stack", "source_fn_stack")  # metadata that names source files
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
        further_sizes: At which the check must run, beside its grid.
        program: None where torch.export cannot trace the network.
        guards: Its decisions by sizes, as text.
        failure: Why it cannot.
    """

    network: nn.Module
    signature: Signature
    further_sizes: tuple[Sizes, ...]
    program: ExportedProgram | None = None
    guards: frozenset[str] = frozenset()
    failure: Exception | None = None

    def require_program(self) -> ExportedProgram:
        """The program; raises why there is none."""
        if self.program is None:
            assert self.failure is not None
            raise self.failure
        return self.program


def trace(network: nn.Module, signature: Signature) -> Traced:
    """Trace a network in eval mode, which becomes the trace's own, and find the limits of its axes.

    Where torch.export cannot trace it, no decision in it is known. A file of such a network is checked
    at sizes far beyond the grid as well: TorchScript and the older ONNX exporter write down one run, so
    that a decision that is another one there shows as another answer. One that is another at a few sizes
    between these, or beyond all of them, is not found.

    Raises:
        ArtifactError: E-ROWS: what it computes depends on the number of rows. E-EXPORT-AXES: a graph of
            it is not right at the sizes that the signature states, or not for one range of each axis.
    """
    examples = example_tensors(signature)
    try:
        with torch.no_grad():
            if has_names(network(*examples)):
                return_in_order(network, signature)
        program = _capture(network, signature, examples)
    except Exception as error:  # whatever somebody's forward method raises, or torch.export
        return _probe(network, signature, error)
    decisions = _find_decisions(network, signature, program)
    limited, further = _find_limits(network, signature, program, decisions.guards)
    return Traced(network, limited, (*further, *decisions.run), program, decisions.seen)


def require_limits(program: ExportedProgram, traced: Traced) -> None:
    """That an exporter has taken no decision by sizes which the limits of the axes do not hold to.

    Torch's decompositions are Python, too: the one of an adaptive pool is right for the traced length.

    Raises:
        ArtifactError: E-EXPORT-AXES, E-ROWS: as `trace`.
    """
    signature = traced.signature
    guards = [g for g in read_guards(program, signature) if g.text not in traced.guards]
    ranges = Ranges(guards, signature)
    for axis in signature.dynamic_axes:
        limits = ranges.find_limits(axis)
        if limits != signature.limits.get(axis, NO_LIMITS):
            raise other_sizes([axis], ranges.describe_end(axis, limits))
    ranges.check_together()


def with_limits(program: ExportedProgram, signature: Signature) -> ExportedProgram:
    """A program with the limits of the axes in the place of its guards, which its module would check.

    Guards also leave out single sizes at which torch would have traced in another way
    (`(1 + time) // 2 != 1` of `x[:, ::2]`): the check runs the file there.
    """
    limited = copy.copy(program)
    limited._guards_code = []
    limited._range_constraints = dict(program.range_constraints)
    for symbol, axis in input_symbols(program, signature).items():
        least, most = signature.limits.get(axis, NO_LIMITS)
        limited._range_constraints[symbol] = ValueRanges(
            0 if least == 1 else least, math.inf if most is None else most
        )
    return limited


def example_tensors(signature: Signature) -> tuple[Tensor, ...]:
    """Example inputs for tracing, in the order of the forward method."""
    inputs = signature.example(signature.distinct_sizes(TRACED))
    return tuple(to_tensors(signature, inputs, "cpu"))


def return_in_order(network: nn.Module, signature: Signature) -> None:
    """Have a network that returns names return a tuple in the signature's order; all exporters keep it.

    Its class is exchanged for one of its own, so that its weights keep their names.
    """
    own = type(network)
    forward = own.forward

    @functools.wraps(forward)
    def in_order(self: nn.Module, *inputs: Any) -> tuple[Tensor, ...]:
        return find_outputs(signature, forward(self, *inputs))

    members = {"forward": in_order, "__module__": own.__module__}
    network.__class__ = type(own.__name__, (own,), members)


def _capture(
    network: nn.Module, signature: Signature, examples: tuple[Tensor, ...]
) -> ExportedProgram:
    """The program; dynamo's tracer is asked where running `forward` with symbols fails."""
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
    # DYNAMIC: a named dimension would have to be free without end.
    shapes = ShapesCollection()  # type: ignore[no-untyped-call]
    for spec, example in zip(signature.inputs, examples, strict=True):
        shapes[example] = {
            place: Dim.DYNAMIC for place, axis in enumerate(spec.axes) if isinstance(axis, str)
        }
    # Oblivious, as torch.onnx traces too: no decision is taken by what is true of sizes above 1 alone.
    with (
        torch.no_grad(),
        warnings.catch_warnings(),
        recurrent_shapes(),
        _quiet_torch(),
        symbolic_config.patch(backed_size_oblivious=True),  # type: ignore[attr-defined]
    ):
        # torch.export warns of its own internals: that it will rename `_check_is_size`, and that an
        # LSTM's list of its own weights (`_flat_weights`) was assigned while they were faked.
        warnings.simplefilter("ignore")
        program = torch.export.export(network, examples, dynamic_shapes=shapes, strict=strict)
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                for key in _PATHS:
                    node.meta.pop(key, None)
    return program


@contextmanager
def _quiet_torch() -> Iterator[None]:
    """What torch logs of a trace that fails, it raises too."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@dataclass(frozen=True)
class _Decisions:
    """What was decided by sizes.

    Attributes:
        guards: Those that matter.
        seen: All, as text.
        run: Sizes at which one does not matter, as far as the network's answers to random inputs show.
    """

    guards: list[Guard]
    seen: frozenset[str]
    run: list[Sizes]


def _find_decisions(
    network: nn.Module, signature: Signature, program: ExportedProgram
) -> _Decisions:
    """Where a rule fails, the network is traced again: if it gives the same graph, the rule is none.

    Torch itself decides by sizes in ways that a graph does not show, such as which kernel a convolution
    takes. A network may choose between two ways to the same numbers by how many there are, as kornia's
    filters do. Such a rule binds several axes and cannot be a limit, so the answers at the least sizes
    beyond it are looked at, there and in the check.
    """
    guards = read_guards(program, signature)
    seen = {guard.text for guard in guards}
    tried: set[str] = set()
    run = []
    for _ in range(_TRACES):
        sizes = Ranges(guards, signature).find_beyond(tried)
        if sizes is None:
            break
        broken = [guard for guard in guards if not guard.stated and not guard.holds(sizes)]
        more: list[Guard] = []
        other = _trace_again(network, signature, sizes)
        if other is not None and _graph_text(other) == _graph_text(program):
            first = signature.distinct_sizes(TRACED)
            found = [g for g in read_guards(other, signature) if g.text not in seen]
            seen |= {guard.text for guard in found}
            more = [guard for guard in found if guard.holds(first)]
        elif all(len(set(guard.names.values())) > 1 for guard in broken) and _alike(
            network, program, signature, sizes
        ):
            run.append(sizes)
        else:
            tried |= {guard.text for guard in broken}
            continue
        guards = [guard for guard in guards if guard not in broken] + more
    return _Decisions(guards, frozenset(seen), run)


def _trace_again(network: nn.Module, signature: Signature, sizes: Sizes) -> ExportedProgram | None:
    """The program as it is traced at other sizes; None where that fails, or would take much memory."""
    if _count_numbers(signature, sizes) > _TRACED_NUMBERS:
        return None
    kinds = [example.dtype for example in example_tensors(signature)]
    examples = tuple(
        torch.zeros(spec.shape(sizes), dtype=kind)
        for spec, kind in zip(signature.inputs, kinds, strict=True)
    )
    try:
        return _run_export(network, signature, examples, strict=False)
    except Exception:  # as in `trace`
        return None


def _graph_text(program: ExportedProgram) -> list[str]:
    """The graph and its parts as code, and the numbers that were made while it was traced."""
    graphs = [m for m in program.graph_module.modules() if isinstance(m, torch.fx.GraphModule)]
    numbers = {
        name: value.tolist() if isinstance(value, Tensor) else value
        for name, value in program.constants.items()
    }
    return [*(str(graph.code) for graph in graphs), repr(numbers)]


def _find_limits(
    network: nn.Module, signature: Signature, program: ExportedProgram, guards: Sequence[Guard]
) -> tuple[Signature, tuple[Sizes, ...]]:
    """The signature with its limits, and the sizes that must be run beside the grid.

    Raises:
        ArtifactError: as `trace` does.
    """
    ranges = Ranges(guards, signature)
    small = signature.distinct_sizes(_SMALL)
    limits, further = {}, []
    for axis in signature.dynamic_axes:
        least, most = ranges.find_limits(axis)
        first = signature.clamp(axis, 1)
        # Such as `time > 1`, by which an attention that sees one word leaves out its mask.
        while first < least <= EXCEPTIONS and _alike(
            network, program, signature, {**small, axis: least - 1}
        ):
            least -= 1
            further.append({**small, axis: least})
        limits[axis] = least, most
    if limits[BATCH] != NO_LIMITS:
        raise other_sizes([BATCH], ranges.describe_end(BATCH, limits[BATCH]))
    _end_at_tables(network, signature, program, limits)
    limited = signature.limit(limits)
    ranges, small = Ranges(guards, limited), limited.distinct_sizes(_SMALL)
    further += [{**small, **sizes} for sizes in ranges.check_together()]
    for axis in limited.dynamic_axes:
        for size in ranges.find_exceptions(axis):
            if axis == BATCH or _runs_at(network, limited, small, axis, size):
                further.append({**small, axis: size})
            else:
                limits[axis] = _leave_out(axis, limits[axis], size)
    limited = signature.limit(limits)
    for axis, ends in limited.limits.items():
        stated = signature.limits.get(axis, ends)
        if ends != stated:
            raise ArtifactError(
                f"the signature says {axis} {describe_limits(stated)}; the network is right for"
                f" {axis} {describe_limits(ends)} alone: state that, or leave it out",
                code="E-EXPORT-AXES",
            )
        further += [{**small, axis: end} for end in ends if end is not None]
    return limited, _can_be_run(limited, further)


def _alike(
    network: nn.Module, program: ExportedProgram, signature: Signature, sizes: Sizes
) -> bool:
    """Whether the program answers as the network does at sizes that its guards leave out."""
    if _count_numbers(signature, sizes) > _RUN_NUMBERS:
        return False
    inputs = signature.example(sizes)
    try:
        free = with_limits(program, replace(signature, limits={})).module()
        with torch.no_grad():
            found, expected = (
                tree_leaves(run(*to_tensors(signature, inputs, "cpu"))) for run in (free, network)
            )
    except Exception:  # whatever somebody's forward method raises
        return False
    return all(
        one.shape == other.shape and torch.allclose(one, other, 1e-3, 1e-5, equal_nan=True)
        for one, other in zip(found, expected, strict=True)
    )


def _end_at_tables(
    network: nn.Module, signature: Signature, program: ExportedProgram, limits: dict[str, Limits]
) -> None:
    """End the axes whose sizes are places in a table, such as one of positions.

    torch.export does not look at what indices are. Runtimes differ in what they do with one beyond the
    table; OpenVINO 2026.2 reads what lies behind it.
    """
    small = signature.distinct_sizes(_SMALL)
    for axis in signature.dynamic_axes[1:]:
        for rows in sorted(_find_tables(program)):
            least, most = limits[axis]
            if not within(rows, (least, most)) or not within(rows + 1, (least, most)):
                continue
            at = functools.partial(_runs_at, network, signature, small, axis)
            if at(rows) and not at(rows + 1):
                limits[axis] = least, rows


def _find_tables(program: ExportedProgram) -> set[int]:
    """The rows of each table whose indices are made of sizes and not of an input's values."""
    values = set(program.graph_signature.user_inputs)
    of_values: set[torch.fx.Node] = set()
    tables = set()
    for node in program.graph.nodes:
        of_sizes = node.target is torch.ops.aten.sym_size.int
        if node.name in values or (not of_sizes and of_values.intersection(node.all_input_nodes)):
            of_values.add(node)
        elif node.target in _LOOKUPS:
            # A size that is a symbol must not be made an int: that would bind the symbol.
            rows = node.all_input_nodes[0].meta["val"].shape[0]
            tables.add(rows if isinstance(rows, int) else 0)
    return {rows for rows in tables if 0 < rows <= _LONGEST_TABLE}


def _leave_out(axis: str, limits: Limits, size: int) -> Limits:
    """The limits without a size, at which the network itself fails."""
    least, most = limits
    if size == least:
        return size + 1, most
    if size == most:
        return least, size - 1
    raise other_sizes([axis], f"{axis} other than {size}")


def _probe(network: nn.Module, signature: Signature, failure: Exception) -> Traced:
    """What is run of a network that has no program; its limits are where it fails itself."""
    small = signature.distinct_sizes(_SMALL)
    if not _runs_at(network, signature, small, BATCH, small[BATCH]):  # the check says why
        return Traced(network, signature, (), failure=failure)
    limits, further = dict(signature.limits), [{**small, BATCH: size} for size in _FAR_BATCHES]
    for axis in signature.dynamic_axes[1:]:
        holds = functools.partial(_runs_at, network, signature, small, axis)
        right = small[axis]
        for size in _FAR_LENGTHS:
            if not _can_be_run(signature, [{**small, axis: size}]):
                break
            if axis not in signature.limits and not holds(size):
                limits[axis] = 1, find_end(right, size, holds)
                break
            right = size
            further.append({**small, axis: size})
    limited = signature.limit(limits)
    for axis, ends in limited.limits.items():
        further += [{**small, axis: end} for end in ends if end is not None]
    return Traced(network, limited, _can_be_run(limited, further), failure=failure)


def _runs_at(network: nn.Module, signature: Signature, others: Sizes, axis: str, size: int) -> bool:
    """Whether the network computes at all at this size of an axis."""
    inputs = signature.example({**others, axis: size})
    try:
        with torch.no_grad():
            network(*to_tensors(signature, inputs, "cpu"))
    except Exception:  # whatever somebody's forward method raises
        return False
    return True


def _can_be_run(signature: Signature, wanted: Sequence[Sizes]) -> tuple[Sizes, ...]:
    """Each of these sizes once that lie within the limits, and are not too large for the check."""
    found: list[Sizes] = []
    for sizes in wanted:
        inside = all(
            within(size, signature.limits.get(axis, NO_LIMITS)) for axis, size in sizes.items()
        )
        if inside and _count_numbers(signature, sizes) <= _NUMBERS and sizes not in found:
            found.append(sizes)
    return tuple(found)


def _count_numbers(signature: Signature, sizes: Sizes) -> int:
    """Of the inputs of these sizes."""
    return sum(math.prod(spec.shape(sizes)) for spec in signature.inputs)
