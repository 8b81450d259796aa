"""The proof that an exported file computes what the network computes.

The reference is the unmodified eager network in float64 (`ptx.export.reference`), the inputs are those
of `ptx.export.grid`, and how far a file may be off is told by `ptx.export.tolerance`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import nn

from ptx.export.grid import ALONE, grid, one_row, sample_size
from ptx.export.reference import Reference, same_bits
from ptx.export.tolerance import (
    ALIKE,
    LANES,
    UNIT,
    Seen,
    allowed_errors,
    check_ceiling,
    distance,
    largest_by_column,
    merge,
    name_column,
    nearest_column,
    see,
    share_of,
)
from ptx.infer.checks import is_finite
from ptx.infer.errors import AgreementError, ArtifactError, PtxError
from ptx.infer.signature import BATCH, Array, Signature, TensorSpec

Runner = Callable[[Mapping[str, Array]], dict[str, Array]]


@dataclass(frozen=True)
class Case:
    """One input of the grid with what the network answers in float64."""

    fill: str  # real, random, zeros, ones, extremes
    sizes: dict[str, int]
    inputs: dict[str, Array]
    exact: dict[str, Array]  # float64

    @property
    def title(self) -> str:
        """`real input, time 14, batch 7`."""
        sizes = ", ".join(f"{axis} {size}" for axis, size in self.sizes.items())
        return f"{self.fill} input, {sizes}"


class Proof:
    """What the network answers over the grid, and how far a file may be from it."""

    def __init__(
        self,
        network: nn.Module,
        signature: Signature,
        samples: Mapping[str, Array],
    ) -> None:
        self.signature = signature
        self.reference = Reference(network, signature)
        self.samples = dict(samples)
        self._progress: Callable[[int, int], None] | None = None
        self._done = 0

    @property
    def name(self) -> str:
        """What every file is held against: `eager float64`, or what stands in for it."""
        return self.reference.name

    def exact(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs in float64.

        Raises:
            ArtifactError: one is not finite; nothing can be held against it.
        """
        return self.reference.exact(inputs)

    def eager(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs of the unmodified network in float32.

        Raises:
            ArtifactError: one is not finite; as a tolerance it would let everything pass.
        """
        return self.reference.eager(inputs)

    def check_signature(self) -> None:
        """One small batch through the network: it returns what the signature says.

        Raises:
            ArtifactError: it fails, or gives other outputs.
        """
        sizes = self.reference.small_sizes()
        outputs = self.eager(self.signature.example(sizes))
        for spec in self.signature.outputs:
            got = outputs[spec.name]
            if got.shape != spec.shape(sizes) or got.dtype != np.float32 or spec.dtype != "float32":
                raise ArtifactError(
                    f"output {spec.name!r} is {got.dtype} {got.shape} for {sizes}; the signature says"
                    f" {spec.dtype} {spec.describe()}, and every output is float32",
                    code="E-OUTPUT",
                )

    def check_network(self) -> None:
        """The network over the whole grid, in both precisions: once for all formats.

        Raises:
            ArtifactError: it cannot be held to anything; see `allowed`.
        """
        _ = self.allowed

    def tell(self, progress: Callable[[int, int], None] | None) -> None:
        """Tell `progress` from now on how many runs of the grid are done, and of how many.

        In float64, in float32 and by one backend; the first two are done once for all backends.
        """
        self._progress = progress
        self._done = 2 * len(self.cases) if "allowed" in vars(self) else 0

    def _advance(self, cases: int) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, 3 * cases)

    @cached_property
    def cases(self) -> list[Case]:
        """The grid.

        Raises:
            ArtifactError: the network answers the same input in two ways.
        """
        cases = []
        planned = list(grid(self.signature, self.samples))
        for fill, sizes, inputs in planned:
            case = Case(fill, sizes, inputs, self.exact(inputs))
            self._check_repeats(self.exact, case, case.exact)
            cases.append(case)
            self._advance(len(planned))
        return cases

    @cached_property
    def allowed(self) -> dict[tuple[str, str], Array]:
        """(fill, output) → the largest absolute error that is accepted in each column.

        Raises:
            ArtifactError: the network cannot be held to anything: it answers the same input in two ways,
                a row by what else is in its batch, or too roughly in float32.
        """
        seen: dict[tuple[str, str], list[Seen]] = {}
        for case in self.cases:
            eager = self.eager(case.inputs)
            self._check_repeats(self.eager, case, eager)
            self._advance(len(self.cases))
            for spec in self.signature.outputs:
                found = see(spec, case.exact[spec.name], eager[spec.name])
                seen.setdefault((case.fill, spec.name), []).append(found)
        allowed = self._allowed({key: merge(parts) for key, parts in seen.items()})
        self._check_rows(allowed)
        return allowed

    def _allowed(self, seen: Mapping[tuple[str, str], Seen]) -> dict[tuple[str, str], Array]:
        sum_of_alike = sample_size(self.signature) / LANES / 2 * UNIT
        allowed = {}
        for spec in self.signature.outputs:
            fills = {fill: found for (fill, name), found in seen.items() if name == spec.name}
            overall = merge(fills.values())
            check_ceiling(spec, overall)
            for fill, found in fills.items():
                alike = sum_of_alike if fill in ALIKE else 0.0
                allowed[fill, spec.name] = allowed_errors(found, overall, alike=alike)
        return allowed

    @property
    def tolerances(self) -> dict[tuple[str, str], float]:
        """(fill, output) → the largest error that is accepted in any column."""
        return {key: float(columns.max()) for key, columns in self.allowed.items()}

    def check(self, run: Runner, backend: str) -> dict[str, dict[str, float]]:
        """Run the whole grid; returns for each output the error nearest to its tolerance, and that.

        Raises:
            AgreementError: at the first case that fails, saying at which size and by how much.
        """
        found: dict[str, dict[str, float]] = {
            spec.name: {"error": 0.0, "tolerance": 0.0} for spec in self.signature.outputs
        }
        allowed = self.allowed
        for case in self.cases:
            try:
                outputs, again = run(case.inputs), run(case.inputs)
            except PtxError as error:
                raise AgreementError(f"{backend} fails at {case.title}: {error}") from error
            self._advance(len(self.cases))
            for spec in self.signature.outputs:
                columns = allowed[case.fill, spec.name]
                nearest, tolerance = self._hold(
                    backend, case, spec, outputs.get(spec.name), columns
                )
                if share_of(nearest, tolerance) >= share_of(**found[spec.name]):
                    found[spec.name] = {"error": nearest, "tolerance": tolerance}
            if not same_bits(outputs, again):
                raise AgreementError(
                    f"{backend} gives two answers to one input, at {case.title}: the file draws random"
                    " numbers, or keeps a state",
                    code="E-RANDOM",
                )
        return found

    def _hold(
        self, backend: str, case: Case, spec: TensorSpec, got: Array | None, allowed: Array
    ) -> tuple[float, float]:
        """The error nearest to its tolerance, and that; AgreementError where it is beyond."""
        exact = case.exact[spec.name]
        where = f"{backend} disagrees with {self.name} at {case.title}:"
        title = f"{where} output {spec.name!r}"
        if got is None:
            raise AgreementError(f"{title} is missing")
        if got.shape != exact.shape:
            raise AgreementError(f"{title} has shape {got.shape}; expected {exact.shape}")
        if got.dtype != np.float32:
            raise AgreementError(f"{title} is {got.dtype}; expected float32")
        if not is_finite(got):
            raise AgreementError(f"{title} is not finite")
        errors = largest_by_column(spec, distance(got, exact))
        place = nearest_column(errors, allowed)
        error, tolerance = float(errors.flat[place]), float(allowed.flat[place])
        if not error <= tolerance:
            column = name_column(spec, allowed, place)
            raise AgreementError(
                f"{where} {column} is off by {error:.3g}; allowed are {tolerance:.3g}"
            )
        return error, tolerance

    def _check_repeats(self, answer: Runner, case: Case, first: Mapping[str, Array]) -> None:
        if not same_bits(first, answer(case.inputs)):
            raise ArtifactError(
                f"the network gives two answers to one input, at {case.title}: it draws random numbers"
                " in forward (F.dropout without training=self.training, noise) or keeps a state, and no"
                " file could agree with it: use nn.Dropout, which eval mode switches off",
                code="E-RANDOM",
            )

    def _check_rows(self, allowed: Mapping[tuple[str, str], Array]) -> None:
        """A row alone gets the answer that it gets within a batch."""
        for case in self.cases:
            if case.fill not in ("random", "real") or case.sizes[BATCH] != ALONE:
                continue
            for row in range(ALONE):
                alone = self.exact(one_row(self.signature.inputs, case.inputs, row))
                within = one_row(self.signature.outputs, case.exact, row)
                for spec in self.signature.outputs:
                    off = largest_by_column(spec, distance(alone[spec.name], within[spec.name]))
                    if (off > allowed[case.fill, spec.name]).any():
                        raise _depends_on_others(case, spec.name, row, float(off.max()))


def _depends_on_others(case: Case, name: str, row: int, off: float) -> ArtifactError:
    return ArtifactError(
        f"the network answers a row by what else is in its batch, at {case.title}: output {name!r} of"
        f" row {row} alone is off by {off:.3g}: look for a batch normalisation that eval() leaves in"
        " training mode, or a mean over the batch: an answer must not depend on what is asked beside it",
        code="E-ROWS",
    )
