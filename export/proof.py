"""The proof that an exported file computes what the network computes.

The reference is the unmodified eager network in float64 (`ptx.export.reference`), the inputs are those
of `ptx.export.grid`, and how far a file may be off is told by `ptx.export.tolerance`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from torch import nn

from ptx.export.case import Case, check_rows
from ptx.export.grid import grid, sample_size
from ptx.export.integers import MOST_LEVEL, check_integers
from ptx.export.precision import Precision, output_precision
from ptx.export.reference import Reference, same_bits
from ptx.export.tolerance import (
    ALIKE,
    LANES,
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
from ptx.infer.signature import Array, Signature, TensorSpec

Runner = Callable[[Mapping[str, Array]], dict[str, Array]]


class Proof:
    """What the network answers over the grid, and how far a file may be from it."""

    def __init__(
        self,
        network: nn.Module,
        signature: Signature,
        samples: Mapping[str, Array],
        further_sizes: Sequence[Mapping[str, int]] = (),
    ) -> None:
        self.signature = signature
        self.reference = Reference(network, signature)
        self.samples = dict(samples)
        self._further_sizes = further_sizes
        self._progress: Callable[[int, int], None] | None = None
        self._done = 0

    @property
    def name(self) -> str:
        """What every file is held against: `eager float64`, or what stands in for it."""
        return self.reference.name

    def precision(self, spec: TensorSpec) -> Precision:
        """That of an output: how coarse its numbers are computed or returned."""
        return output_precision(self.reference.precision, spec)

    def check_signature(self) -> None:
        """One small batch through the network: it returns what the signature says.

        Raises:
            ArtifactError: it fails, or gives other outputs.
        """
        sizes = self.reference.small_sizes()
        outputs = self.reference.eager(self.signature.example(sizes))
        for spec in self.signature.outputs:
            got = outputs[spec.name]
            if got.shape != spec.shape(sizes) or got.dtype != spec.numpy_dtype:
                raise ArtifactError(
                    f"output {spec.name!r} is {got.dtype} {got.shape} for {sizes}; the signature says"
                    f" {spec.dtype} {spec.describe()}",
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
        self._done = 2 * len(self.cases) if "_seen" in vars(self) else 0

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
        planned = list(grid(self.signature, self.samples, self._further_sizes))
        for fill, sizes, inputs in planned:
            exact = self.reference.exact(inputs)
            case = Case(fill, sizes, inputs, exact, self.reference.level(inputs, exact))
            self._check_repeats(self.reference.exact, case, case.exact)
            cases.append(case)
            self._advance(len(planned))
        return cases

    @cached_property
    def _seen(self) -> dict[tuple[str, str], Seen]:
        """(fill, output) → what float32 shows over the inputs of a fill.

        Raises:
            ArtifactError: the network answers the same input in two ways.
        """
        seen: dict[tuple[str, str], list[Seen]] = {}
        for case in self.cases:
            eager = self.reference.eager(case.inputs)
            self._check_repeats(self.reference.eager, case, eager)
            self._advance(len(self.cases))
            for spec in self.signature.outputs:
                found = see(spec, case.exact[spec.name], eager[spec.name])
                seen.setdefault((case.fill, spec.name), []).append(found)
        return {key: merge(parts) for key, parts in seen.items()}

    @cached_property
    def _overall(self) -> dict[str, Seen]:
        """Output → what the eager network shows over the whole grid."""
        return {
            spec.name: merge(found for (_, name), found in self._seen.items() if name == spec.name)
            for spec in self.signature.outputs
        }

    @cached_property
    def allowed(self) -> dict[tuple[str, str], Array]:
        """(fill, output) → the largest absolute error that is accepted in each column.

        Raises:
            ArtifactError: the network cannot be held to anything: it answers the same input in two ways,
                a row by what else is in its batch, or too roughly in its own precision.
        """
        specs = {spec.name: spec for spec in self.signature.outputs}
        for name, spec in specs.items():
            check_ceiling(spec, self._overall[name], self.precision(spec))
        sums_of_alike = sample_size(self.signature) / LANES / 2  # units of rounding, eps/2
        allowed = {}
        for (fill, name), found in self._seen.items():
            precision = self.precision(specs[name])
            alike = sums_of_alike * precision.eps / 2 if fill in ALIKE else 0.0
            allowed[fill, name] = allowed_errors(found, self._overall[name], precision, alike=alike)
        self._check_level()
        check_rows(self.signature, self.cases, self.reference.exact, allowed)
        return allowed

    def allowed_on(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Output → the largest absolute error that is accepted on inputs beside the grid, by column."""
        exact, eager = self.reference.exact(inputs), self.reference.eager(inputs)
        return {
            spec.name: allowed_errors(
                see(spec, exact[spec.name], eager[spec.name]),
                self._overall[spec.name],
                self.precision(spec),
            )
            for spec in self.signature.outputs
        }

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
        if got.dtype != spec.numpy_dtype:
            raise AgreementError(f"{title} is {got.dtype}; expected {spec.dtype}")
        if not is_finite(got):
            raise AgreementError(f"{title} is not finite")
        if not spec.is_float:
            check_integers(title, got, exact, case.level.get(spec.name))
            return 0.0, 0.0
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

    def _check_level(self) -> None:
        """Enough integers are left that a file can be held to."""
        cases = [case for case in self.cases if case.fill in ("random", "real")]
        for spec in self.signature.outputs:
            found = [case.level[spec.name] for case in cases if spec.name in case.level]
            level = sum(part.places.size for part in found)
            places = sum(case.exact[spec.name].size for case in cases)
            if level > MOST_LEVEL * places:
                raise ArtifactError(
                    f"of output {spec.name!r} rounding decides {level:,} of {places:,} numbers, so no"
                    " file can be proved: look for scores that are level, an untrained network, or for a"
                    f" precision that is too rough ({self.precision(spec).name})",
                    code="E-PRECISION",
                )
