"""A case of the proof, and that each of its rows is answered as it is alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ptx.export.grid import ALONE, take_rows
from ptx.export.tolerance import distance, largest_by_column
from ptx.infer.artifact.golden import Level
from ptx.infer.errors import ArtifactError
from ptx.infer.replay import wrong_integers
from ptx.infer.signature import BATCH, Array, Signature, TensorSpec


@dataclass(frozen=True)
class Case:
    """One input of the grid with what the network answers in float64."""

    fill: str  # real, random, zeros, ones, extremes
    sizes: dict[str, int]
    inputs: dict[str, Array]
    exact: dict[str, Array]  # float64; integers and bools in their own type
    level: dict[str, Level]  # by output, the integers that rounding decides

    @property
    def title(self) -> str:
        """`real input, time 14, batch 7`."""
        sizes = ", ".join(f"{axis} {size}" for axis, size in self.sizes.items())
        return f"{self.fill} input, {sizes}"


def check_rows(
    signature: Signature,
    cases: Iterable[Case],
    exact: Callable[[Mapping[str, Array]], dict[str, Array]],
    allowed: Mapping[tuple[str, str], Array],
    apart: Sequence[Sequence[int]],
) -> None:
    """The network, asked for the rows of a few cases apart from each other.

    Args:
        allowed: The largest errors in each column, by case and output.
        apart: Which rows of a batch are asked for together.

    Raises:
        ArtifactError: E-ROWS: a row apart from the others gets another answer than within its batch.
    """
    for case in cases:
        if case.fill not in ("random", "real") or case.sizes[BATCH] != ALONE:
            continue
        for rows in apart:
            answers = exact(take_rows(signature.inputs, case.inputs, rows))
            for spec in signature.outputs:
                off = _row_errors(case, spec, rows, answers[spec.name])
                if (off > (allowed[case.fill, spec.name] if spec.is_float else 0.0)).any():
                    raise _depends_on_others(case, spec.name, rows, float(off.max()))


def _row_errors(case: Case, spec: TensorSpec, rows: Sequence[int], answers: Array) -> Array:
    """How far some rows are from what they are within their batch, the largest of each column.

    Of integers only what rounding does not decide.
    """
    exact = case.exact[spec.name]
    whole = exact.copy()
    np.moveaxis(whole, spec.batch_axis, 0)[list(rows)] = np.moveaxis(answers, spec.batch_axis, 0)
    errors = distance(whole, exact)
    if not spec.is_float:
        errors *= wrong_integers(whole, exact, case.level.get(spec.name))
    return largest_by_column(spec, errors)


def _depends_on_others(case: Case, name: str, rows: Sequence[int], off: float) -> ArtifactError:
    which = f"row {rows[0]} alone" if len(rows) == 1 else f"rows {rows[0]} to {rows[-1]} alone"
    return ArtifactError(
        f"the network answers a row by what else is in its batch, at {case.title}: output {name!r} of"
        f" {which} is off by {off:.3g}: look for a batch normalisation that eval() leaves in"
        " training mode, or a mean over the batch: an answer must not depend on what is asked beside it",
        code="E-ROWS",
    )
