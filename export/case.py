"""A case of the proof, and that each of its rows is answered as it is alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ptx.export.grid import ALONE, one_row
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
) -> None:
    """The network, asked for the rows of a few cases one by one.

    `allowed`: the largest errors in each column, by case and output.

    Raises:
        ArtifactError: E-ROWS: a row alone gets another answer than within its batch.
    """
    for case in cases:
        if case.fill not in ("random", "real") or case.sizes[BATCH] != ALONE:
            continue
        for row in range(ALONE):
            alone = exact(one_row(signature.inputs, case.inputs, row))
            for spec in signature.outputs:
                off = _row_errors(case, spec, row, alone[spec.name])
                if (off > (allowed[case.fill, spec.name] if spec.is_float else 0.0)).any():
                    raise _depends_on_others(case, spec.name, row, float(off.max()))


def _row_errors(case: Case, spec: TensorSpec, row: int, alone: Array) -> Array:
    """How far one row alone is from what it is within its batch, the largest of each column.

    Of integers only what rounding does not decide.
    """
    exact = case.exact[spec.name]
    whole = exact.copy()
    np.moveaxis(whole, spec.batch_axis, 0)[row] = np.take(alone, 0, spec.batch_axis)
    errors = distance(whole, exact)
    if not spec.is_float:
        errors *= wrong_integers(whole, exact, case.level.get(spec.name))
    return largest_by_column(spec, errors)


def _depends_on_others(case: Case, name: str, row: int, off: float) -> ArtifactError:
    return ArtifactError(
        f"the network answers a row by what else is in its batch, at {case.title}: output {name!r} of"
        f" row {row} alone is off by {off:.3g}: look for a batch normalisation that eval() leaves in"
        " training mode, or a mean over the batch: an answer must not depend on what is asked beside it",
        code="E-ROWS",
    )
