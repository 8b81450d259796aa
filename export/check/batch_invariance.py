"""Whether a network computes each row independently of the rest of its batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from ptx.export.check.matrix import INVARIANCE_BATCH, Case, take_rows
from ptx.export.check.tolerance import distance, largest_by_column
from ptx.infer.errors import ArtifactError
from ptx.infer.replay import wrong_integers
from ptx.infer.signature import BATCH, Array, Signature, TensorSpec


def check_batch_invariance(
    signature: Signature,
    cases: Iterable[Case],
    exact: Callable[[Mapping[str, Array]], dict[str, Array]],
    tolerances: Mapping[tuple[str, str], Array],
    groups: Sequence[Sequence[int]],
) -> None:
    """Run some rows of a few cases without the others.

    Args:
        tolerances: The largest error in each column, by pattern and output.
        groups: Which rows of a batch are run together.

    Raises:
        ArtifactError: E-ROWS: without the others, a row's output is another one.
    """
    for case in cases:
        if case.pattern not in ("random", "real") or case.sizes[BATCH] != INVARIANCE_BATCH:
            continue
        for rows in groups:
            outputs = exact(take_rows(signature.inputs, case.inputs, rows))
            for spec in signature.outputs:
                errors = _row_errors(case, spec, rows, outputs[spec.name])
                limit = tolerances[case.pattern, spec.name] if spec.is_float else 0.0
                if (errors > limit).any():
                    raise _depends_on_batch(case, spec.name, rows, float(errors.max()))


def _row_errors(case: Case, spec: TensorSpec, rows: Sequence[int], output: Array) -> Array:
    """The largest difference in each column between rows alone and in their batch; ties do not count."""
    exact = case.exact[spec.name]
    replaced = exact.copy()
    np.moveaxis(replaced, spec.batch_axis, 0)[list(rows)] = np.moveaxis(output, spec.batch_axis, 0)
    errors = distance(replaced, exact)
    if not spec.is_float:
        errors *= wrong_integers(replaced, exact, case.ties.get(spec.name))
    return largest_by_column(spec, errors)


def _depends_on_batch(case: Case, name: str, rows: Sequence[int], error: float) -> ArtifactError:
    which = f"row {rows[0]} alone" if len(rows) == 1 else f"rows {rows[0]} to {rows[-1]} alone"
    return ArtifactError(
        f"the network's output for a row depends on the rest of its batch, at {case.title}: output"
        f" {name!r} of {which} is off by {error:.3g}: look for a batch normalization that eval() leaves"
        " in training mode, or a mean over the batch",
        code="E-ROWS",
    )
