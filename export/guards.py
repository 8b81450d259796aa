"""The guards of torch.export: decisions that depend on sizes, and the sizes at which they stay the same.

There are two kinds of guards:

- A rule, `time <= 64` or `time % 2 == 0`, says for which sizes the graph is right. It becomes a limit of
  its axis. If that is impossible, the network is rejected: a batch size has no limits, and the limits of
  an axis are one range.
- An inequality, `time != 1`, usually comes from torch itself: an axis of size 1 is broadcast, or has
  other strides. The graph may still be right there. Such sizes are few, and the equivalence check runs
  the file at each of them.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType

import sympy
import torch
from torch.export import ExportedProgram
from torch.utils._sympy.printers import PythonPrinter

from ptx.infer.errors import ArtifactError
from ptx.infer.limits import NO_LIMITS, Limits, parse_derived
from ptx.infer.signature import BATCH, Signature

Sizes = dict[str, int]

MAX_EXCEPTIONS = 8  # sizes that an inequality may exclude; with more it counts as a rule
# Sizes at which guards are evaluated: all small ones, and powers of two with their neighbours. Sizes
# around the constants of the guards, where a decision changes, are added.
_SCANNED = {*range(1, 513), *(2**power + by for power in range(10, 21) for by in (-1, 0, 1))}
_MAX_SIZE = 2**20  # guards on larger sizes are ignored
# Sizes at which networks are traced: all different, and none of them in the test matrix.
TRACED = (5, 11, 13, 17, 19)
# Sizes of the other axes while one is evaluated.
_OTHERS = (TRACED, (2, 3, 7, 6, 9), (64, 40, 38, 34, 33))
# Sizes of several axes together. The test matrix combines the sizes 1 and 2 with all others.
_COMBINED = (3, 5, 7, 16, 63, 100, 257, 1000, 4096)


@dataclass(frozen=True)
class Guard:
    """One decision that depends on sizes.

    Attributes:
        text: The condition, with the names of the axes.
        names: Name in the code → axis.
        constants: The integers in the condition.
        differs: Whether it is an inequality; see above.
        stated: Whether it comes from the signature's statement about an output, not from a decision.
    """

    text: str
    code: CodeType
    names: Mapping[str, str]
    constants: frozenset[int]
    differs: bool
    stated: bool

    def is_satisfied(self, sizes: Mapping[str, int]) -> bool:
        """Whether the guard is true at these sizes."""
        known = {name: sizes[axis] for name, axis in self.names.items()}
        try:
            # torch generated this code from its own expression; nothing in it comes from a file.
            return bool(eval(self.code, {"math": math}, known))  # noqa: S307
        except ArithmeticError:  # division by 0 at these sizes
            return False


def input_symbols(program: ExportedProgram, signature: Signature) -> dict[sympy.Symbol, str]:
    """The symbols of the sizes of a program's inputs, with their axes."""
    symbols: dict[sympy.Symbol, str] = {}
    for size, axis in _dynamic_sizes(program, signature):
        if isinstance(size, sympy.Symbol):
            symbols.setdefault(size, axis)
    return symbols


def read_guards(program: ExportedProgram, signature: Signature) -> list[Guard]:
    """The guards of a program, and the equations between its outputs' sizes and the signature's axes.

    Guards on the values of an input, such as the number of its nonzeros, are omitted.
    """
    names = {axis: sympy.Symbol(f"size{at}") for at, axis in enumerate(signature.dynamic_axes)}
    symbols = input_symbols(program, signature)
    known = {symbol: names[axis] for symbol, axis in symbols.items()}
    expressions = [
        _equation(size, axis, names) for size, axis in _dynamic_sizes(program, signature)
    ]
    stated = {expression.xreplace(known) for expression in expressions}
    for symbol, values in program.range_constraints.items():
        if values.lower > 2:  # 2 is torch's default, and means 1
            expressions.append(sympy.Ge(symbol, int(values.lower)))
        if values.upper < _MAX_SIZE:
            expressions.append(sympy.Le(symbol, int(values.upper)))
    (environment,) = {
        id(shape_env): shape_env
        for node in program.graph.nodes
        if (
            shape_env := getattr(
                getattr(node.meta.get("val"), "fake_mode", None), "shape_env", None
            )
        )
    }.values()
    expressions += [environment.replace(guard.expr) for guard in environment.guards]
    size_expressions = dict.fromkeys(expression.xreplace(known) for expression in expressions)
    inputs = set(names.values())
    return [
        _make_guard(expression, {str(symbol): axis for axis, symbol in names.items()}, stated)
        for expression in size_expressions
        if expression.free_symbols and expression.free_symbols <= inputs
    ]


def _equation(size: sympy.Expr, axis: str, names: Mapping[str, sympy.Symbol]) -> sympy.Expr:
    """That the size equals that of the axis."""
    if axis in names:
        return sympy.Eq(size, names[axis])
    derived = parse_derived(axis)
    assert derived is not None, "the signature has no other axes"
    return sympy.Eq(size * derived.divisor, names[derived.axis] * derived.factor)


def _dynamic_sizes(
    program: ExportedProgram, signature: Signature
) -> Iterator[tuple[sympy.Expr, str]]:
    """The size of each dynamic axis, inputs first, without sizes that the graph has frozen.

    Outputs that differ from the signature are found by the equivalence check.
    """
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    known = program.graph_signature
    for specs, names in (
        (signature.inputs, known.user_inputs),
        (signature.outputs, known.user_outputs),
    ):
        for spec, name in zip(specs, names, strict=False):
            shape = getattr(values.get(name), "shape", ())
            for axis, size in zip(spec.axes, shape, strict=False):
                if isinstance(axis, str) and isinstance(size, torch.SymInt):
                    yield size.node.expr, axis


def _make_guard(
    expression: sympy.Expr, axes: Mapping[str, str], stated: Collection[sympy.Expr]
) -> Guard:
    code = PythonPrinter().doprint(expression)
    names = {str(symbol): axes[str(symbol)] for symbol in expression.free_symbols}
    return Guard(
        text=re.sub(r"\bsize\d+\b", lambda match: axes[match[0]], code),
        code=compile(code, "<guard>", "eval"),
        names=names,
        constants=frozenset(abs(int(number)) for number in expression.atoms(sympy.Integer)),
        differs=isinstance(expression, sympy.Ne),
        stated=expression in stated,
    )


class Ranges:
    """The sizes at which the guards are true, within the limits of a signature."""

    def __init__(self, guards: Sequence[Guard], signature: Signature) -> None:
        self._signature = signature
        constants = {number for guard in guards for number in guard.constants}
        near = {number * by + off for number in constants for by in (1, 2) for off in (-1, 0, 1)}
        self._scanned = sorted(_SCANNED | {size for size in near if 0 < size <= _MAX_SIZE})
        self._others = [signature.distinct_sizes(others) for others in _OTHERS]
        self._rules = [guard for guard in guards if not self._excludes_few(guard)]
        self._exceptions = [guard for guard in guards if guard not in self._rules]

    def find_limits(self, axis: str) -> Limits:
        """The sizes of an axis at which all rules are true.

        Raises:
            ArtifactError: E-EXPORT-AXES, E-ROWS: they are not one range.
        """
        scanned = self._scan(axis)
        right = [size for size in scanned if self._first_violated(self._rules, axis, size) is None]
        for size in scanned:
            between = not right or right[0] < size < right[-1]
            if between and (rule := self._first_violated(self._rules, axis, size)):
                raise size_dependence_error([axis], rule.text)

        def passed(size: int) -> bool:
            return self._first_violated(self._rules, axis, size) is None

        minimum, maximum, step = self._limits(axis)
        if right[0] > scanned[0]:
            minimum = find_end(right[0], scanned[scanned.index(right[0]) - 1], passed, step)
        if right[-1] < scanned[-1]:
            maximum = find_end(right[-1], scanned[scanned.index(right[-1]) + 1], passed, step)
        return Limits(minimum, maximum, step)

    def describe_end(self, axis: str, limits: Limits) -> str:
        """The rule that limits an axis to this range."""
        minimum, maximum, step = limits
        rule = self._first_violated(
            self._rules, axis, minimum - step if maximum is None else maximum + step
        )
        return rule.text if rule else f"{axis} {limits}"

    def find_exceptions(self, axis: str) -> list[int]:
        """The few sizes of an axis that a guard excludes."""
        scanned = self._scan(axis)
        return [size for size in scanned if self._first_violated(self._exceptions, axis, size)]

    def check_combinations(self) -> list[Sizes]:
        """Combined sizes of several axes that guards exclude, one combination for each guard.

        Raises:
            ArtifactError: E-EXPORT-AXES, E-ROWS: a rule binds the axes to each other.
        """
        excluded = []
        for guard in (*self._rules, *self._exceptions):
            sizes = self._find_combination(guard)
            if sizes and guard in self._rules:
                raise size_dependence_error(sorted(sizes), guard.text)
            if sizes:
                excluded.append(sizes)
        return excluded

    def find_beyond(self, known: Collection[str]) -> Sizes | None:
        """Sizes above the traced ones at which a rule fails that is not in `known`."""
        for rule in self._rules:
            if rule.stated or rule.text in known:
                continue
            axes = set(rule.names.values())
            sizes = self._find_combination(rule) if len(axes) > 1 else None
            for axis in axes if len(axes) == 1 else ():
                above = (size for size in self._scan(axis) if size > self._others[0][axis])
                violating = next(
                    (size for size in above if not self._can_be_satisfied(rule, axis, size)), None
                )
                sizes = None if violating is None else {axis: violating}
            if sizes:
                return {**self._others[0], **sizes}
        return None

    def _find_combination(self, guard: Guard) -> Sizes | None:
        """The smallest combined sizes of several axes at which the guard fails."""
        axes = sorted(set(guard.names.values()))
        if len(axes) < 2:
            return None
        for combination in sorted(itertools.product(*map(self._choose, axes)), key=math.prod):
            sizes = dict(zip(axes, combination, strict=True))
            if not guard.is_satisfied(sizes):
                return sizes
        return None

    def _choose(self, axis: str) -> list[int]:
        """Some sizes of an axis, to combine with others."""
        limits = self._limits(axis)
        exceptions = set(self.find_exceptions(axis))
        sizes = {*map(limits.nearest, _COMBINED), limits.maximum or limits.minimum}
        return [size for size in sorted(sizes - exceptions) if size > 2]

    def _scan(self, axis: str) -> list[int]:
        limits = self._limits(axis)
        sizes = {*self._scanned, limits.minimum, limits.maximum or limits.minimum}
        return [size for size in sorted(sizes) if limits.accepts(size)]

    def _limits(self, axis: str) -> Limits:
        return self._signature.limits.get(axis, NO_LIMITS)

    def _excludes_few(self, guard: Guard) -> bool:
        excluded = {
            axis: sum(not self._can_be_satisfied(guard, axis, size) for size in self._scan(axis))
            for axis in (guard.names.values() if guard.differs else ())
        }
        return guard.differs and max(excluded.values()) <= MAX_EXCEPTIONS

    def _first_violated(self, guards: Sequence[Guard], axis: str, size: int) -> Guard | None:
        """The first guard that fails at this size of the axis, whatever the sizes of the others."""
        return next(
            (guard for guard in guards if not self._can_be_satisfied(guard, axis, size)), None
        )

    def _can_be_satisfied(self, guard: Guard, axis: str, size: int) -> bool:
        if axis not in guard.names.values():
            return True
        return any(guard.is_satisfied({**others, axis: size}) for others in self._others)


def size_dependence_error(axes: Sequence[str], text: str) -> ArtifactError:
    """The error for a graph that is not right for a single range of these axes."""
    if BATCH in axes:
        return ArtifactError(
            "the network's outputs depend on the batch size, and an exported graph is right only for"
            f" {text}: remove decisions that depend on the batch size from forward",
            code="E-ROWS",
        )
    named = " and ".join(axes)
    return ArtifactError(
        f"the exported graph is right only for {text}, which is not one range of {named}: remove"
        f" decisions that depend on that size from forward, or make {named} a number in the signature;"
        " give axes that are always equal one name there",
        code="E-EXPORT-AXES",
    )


def find_end(right: int, wrong: int, passed: Callable[[int], bool], step: int = 1) -> int:
    """The last number from `right` towards `wrong` for which `passed` is true (binary search).

    `step`: both are multiples of it, and so is the result.
    """
    while abs(wrong - right) > step:
        middle = (right + wrong) // 2 // step * step
        right, wrong = (middle, wrong) if passed(middle) else (right, middle)
    return right
