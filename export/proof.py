"""The proof that an exported file computes what the network computes.

The reference is the unmodified eager network in float64 (`ptx.export.reference`), the inputs are those
of `ptx.export.grid`, and how far a file may be off is told by `ptx.export.tolerance`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from torch import nn

from ptx.export.case import Case, check_rows
from ptx.export.grid import (
    apart,
    grid,
    grid_batches,
    is_heavy,
    largest_row,
    runs_twice,
    sample_size,
)
from ptx.export.integers import MOST_LEVEL, check_integers
from ptx.export.precision import Precision, output_precision
from ptx.export.reference import Reference, same_bits
from ptx.export.tolerance import (
    ALIKE,
    FACTOR,
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
from ptx.infer.artifact.golden import input_digest
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
        self._exact: dict[str, dict[str, Array]] = {}  # by the digest of the inputs
        # Why constant inputs were left out of the demands, by the title of their case: the network is
        # ill-conditioned there.
        self.ill_conditioned: dict[str, str] = {}

    @property
    def name(self) -> str:
        """What every file is held against: `eager float64`, or what stands in for it."""
        return self.reference.name

    @cached_property
    def _short(self) -> bool:
        """Whether the test matrix is the short one; see `ptx.export.grid`."""
        operations = self.reference.count_operations(largest_row(self.signature))
        return is_heavy(self.signature, operations)

    @property
    def batches(self) -> tuple[int, ...]:
        """The batch sizes of the grid."""
        return grid_batches(self.signature, short=self._short)

    def exact(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """As `Reference.exact`; what was answered once is not computed again.

        Raises:
            ArtifactError: the network fails, or an output is not finite.
        """
        digest = input_digest(inputs)
        if digest not in self._exact:
            self._exact[digest] = self.reference.exact(inputs)
        return self._exact[digest]

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
            ArtifactError: the network fails, or an output is not finite.
        """
        cases = []
        planned = list(grid(self.signature, self.samples, self._further_sizes, short=self._short))
        for fill, sizes, inputs in planned:
            exact = self.exact(inputs)
            cases.append(Case(fill, sizes, inputs, exact, self.reference.level(inputs, exact)))
            self._advance(len(planned))
        return cases

    @cached_property
    def _seen(self) -> dict[tuple[str, str], Seen]:
        """(fill, output) → what the network's own precision shows over the inputs of a fill.

        Constant inputs at which the network is ill-conditioned are left out.

        Raises:
            ArtifactError: the network answers the same input in two ways.
        """
        shown: list[tuple[Case, dict[str, Seen]]] = []
        for case in self.cases:
            eager = self.reference.eager(case.inputs)
            self._check_repeats(case, eager)
            self._advance(len(self.cases))
            errors = self.reference.errors(case.inputs, case.exact, eager)
            outputs = self.signature.outputs
            found = {spec.name: see(spec, case.exact[spec.name], errors) for spec in outputs}
            shown.append((case, found))
        overall = {
            spec.name: merge(found[spec.name] for _, found in shown)
            for spec in self.signature.outputs
        }
        seen: dict[tuple[str, str], list[Seen]] = {}
        for case, found in shown:
            for spec in self.signature.outputs:
                ceiling = self.precision(spec).ceiling * overall[spec.name].scale
                self._may_leave_out(case, spec, found[spec.name].error, ceiling)
            if case.title in self.ill_conditioned:
                continue
            for name, part in found.items():
                seen.setdefault((case.fill, name), []).append(part)
        return {key: merge(parts) for key, parts in seen.items()}

    def _may_leave_out(self, case: Case, spec: TensorSpec, errors: Array, most: Array) -> bool:
        """Leave a constant input out of the demands if rounding alone explains each error beyond `most`.

        Errors and `most` by column. What rounding moves is given the factor that eager's own errors are.
        """
        beyond = errors > most
        if case.fill not in ALIKE or not spec.is_float or not beyond.any():
            return False
        moved = self.reference.moved_by_rounding(case.inputs, case.exact)[spec.name]
        by_column = largest_by_column(spec, moved)
        if (errors[beyond] > FACTOR * by_column[beyond]).any():
            return False
        self.ill_conditioned[case.title] = (
            f"rounding each operator's result in {self.reference.precision.name} moves output"
            f" {spec.name!r} by {by_column[beyond].max():.3g} there"
        )
        return True

    @cached_property
    def _overall(self) -> dict[str, Seen]:
        """Output → what the network's own precision shows over the whole grid."""
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
        check_rows(self.signature, self.cases, self.exact, allowed, apart(short=self._short))
        return allowed

    def allowed_on(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Output → the largest absolute error that is accepted on inputs beside the grid, by column."""
        exact = self.exact(inputs)
        errors = self.reference.errors(inputs, exact, self.reference.eager(inputs))
        return {
            spec.name: allowed_errors(
                see(spec, exact[spec.name], errors),
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
            twice = self._runs_twice(case)
            try:
                outputs = run(case.inputs)
                again = run(case.inputs) if twice else outputs
            except PtxError as error:
                raise AgreementError(f"{backend} fails at {case.title}: {error}") from error
            self._advance(len(self.cases))
            for spec in self.signature.outputs:
                demanded = case.title not in self.ill_conditioned
                columns = allowed[case.fill, spec.name] if demanded else None
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
        self, backend: str, case: Case, spec: TensorSpec, got: Array | None, allowed: Array | None
    ) -> tuple[float, float]:
        """The error nearest to its tolerance, and that; AgreementError where it is beyond.

        `allowed`: None of inputs that are left out: shape, type and finite numbers are demanded of them.
        """
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
        if allowed is None or self._may_leave_out(case, spec, errors, allowed):
            return 0.0, 0.0
        place = nearest_column(errors, allowed)
        error, tolerance = float(errors.flat[place]), float(allowed.flat[place])
        if not error <= tolerance:
            column = name_column(spec, allowed, place)
            raise AgreementError(
                f"{where} {column} is off by {error:.3g}; allowed are {tolerance:.3g}"
            )
        return error, tolerance

    def _runs_twice(self, case: Case) -> bool:
        return runs_twice(case.fill, case.sizes, short=self._short)

    def _check_repeats(self, case: Case, first: Mapping[str, Array]) -> None:
        if self._runs_twice(case) and not same_bits(first, self.reference.eager(case.inputs)):
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
