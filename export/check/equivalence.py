"""The numerical equivalence check: an exported file computes what the network computes.

The reference is the unmodified eager network in float64 (`ptx.export.check.reference`), the inputs are
those of `ptx.export.check.matrix`, and `ptx.export.check.tolerance` says how far a file may be off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
from torch import nn

from ptx.export.check.batch_invariance import check_batch_invariance
from ptx.export.check.matrix import (
    INVARIANCE_BATCH,
    Case,
    batch_sizes,
    is_heavy,
    largest_row,
    make_matrix,
    row_groups,
    runs_twice,
    sample_size,
)
from ptx.export.check.precision import Precision, output_precision
from ptx.export.check.reference import Reference, same_bits
from ptx.export.check.rounding_noise import SEEDS
from ptx.export.check.ties import MAX_TIED_FRACTION, assert_integers
from ptx.export.check.tolerance import (
    CONSTANT_PATTERNS,
    FACTOR,
    SIMD_ACCUMULATORS,
    ErrorStats,
    check_ceiling,
    compute_tolerance,
    distance,
    has_small_columns,
    is_mostly_plain,
    largest_by_column,
    name_column,
    relative_error,
    worst_column,
)
from ptx.export.free_sizes import suggest_by_running
from ptx.infer.artifact.golden import input_digest
from ptx.infer.checks import is_finite
from ptx.infer.errors import AgreementError, ArtifactError, PtxError
from ptx.infer.limits import NO_LIMITS
from ptx.infer.signature import BATCH, Array, Signature, TensorSpec

Runner = Callable[[Mapping[str, Array]], dict[str, Array]]


class EquivalenceCheck:
    """The network's outputs over the test matrix, and how far a file may be from them."""

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
        # By the digest of the inputs. Errors and effects of rounding are kept only for the short matrix,
        # whose inputs are also those of the golden samples.
        self._exact: dict[str, dict[str, Array]] = {}
        self._errors: dict[str, dict[str, Array]] = {}
        self._effects: dict[str, dict[str, Array]] = {}
        # Cases of constant inputs that are not checked, since the network is ill-conditioned there, with
        # the reason.
        self.ill_conditioned: dict[str, str] = {}

    @property
    def name(self) -> str:
        """The name of the reference: `eager float64`, or what replaces it."""
        return self.reference.name

    @cached_property
    def _short(self) -> bool:
        """Whether the test matrix is the short one; see `ptx.export.check.matrix`."""
        operations = self.reference.count_operations(largest_row(self.signature))
        return is_heavy(self.signature, operations)

    @property
    def batches(self) -> tuple[int, ...]:
        """The batch sizes of the matrix."""
        return batch_sizes(self.signature, short=self._short)

    def exact(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """As `Reference.exact`, cached.

        Raises:
            ArtifactError: the network fails, or an output is not finite.
        """
        digest = input_digest(inputs)
        if digest not in self._exact:
            self._exact[digest] = self.reference.exact(inputs)
        return self._exact[digest]

    def precision(self, spec: TensorSpec) -> Precision:
        """The precision in which an output is computed or returned, whichever is coarser."""
        return output_precision(self.reference.precision, spec)

    def check_signature(self) -> None:
        """Run one small batch, and compare the outputs with the signature.

        Raises:
            ArtifactError: the network fails, or returns other outputs.
        """
        sizes = self.reference.small_sizes()
        try:
            outputs = self.reference.eager(self.signature.example(sizes))
        except ArtifactError as error:
            if error.code != "E-NETWORK":
                raise
            raise suggest_by_running(error, self.signature, self._runs) from error
        for spec in self.signature.outputs:
            got = outputs[spec.name]
            if got.shape != spec.shape(sizes) or got.dtype != spec.numpy_dtype:
                raise ArtifactError(
                    f"output {spec.name!r} is {got.dtype} {got.shape} for {sizes}; the signature says"
                    f" {spec.dtype} {spec.describe()}",
                    code="E-OUTPUT",
                )

    def _runs(self, limited: Signature) -> bool:
        """Whether the network runs at the smallest three sizes within these limits."""
        limits = {axis: limited.limits.get(axis, NO_LIMITS) for axis in limited.dynamic_axes}
        try:
            for start in range(3):
                sizes = {
                    axis: each.nearest(each.minimum + each.multiple * (start + place))
                    for place, (axis, each) in enumerate(limits.items())
                }
                self.reference.eager(limited.example(sizes))
        except ArtifactError:
            return False
        return True

    def check_network(self) -> None:
        """Run the network over the entire matrix in both precisions, once for all formats.

        Raises:
            ArtifactError: no file of it could be checked; see `column_tolerances`.
        """
        _ = self.column_tolerances

    def set_progress(self, progress: Callable[[int, int], None] | None) -> None:
        """From now on, `progress` gets how many runs of the matrix are done, and how many there are.

        The matrix runs in float64, in float32 and on one backend; the first two once for all backends.
        """
        self._progress = progress
        self._done = 2 * len(self.cases) if "_stats" in vars(self) else 0

    def _advance(self, cases: int) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, 3 * cases)

    @cached_property
    def cases(self) -> list[Case]:
        """The test matrix with the reference outputs.

        Raises:
            ArtifactError: the network fails, or an output is not finite.
        """
        cases = []
        matrix = list(
            make_matrix(self.signature, self.samples, self._further_sizes, short=self._short)
        )
        for pattern, sizes, inputs in matrix:
            exact = self.exact(inputs)
            cases.append(Case(pattern, sizes, inputs, exact, self.reference.ties(inputs, exact)))
            self._advance(len(matrix))
        return cases

    @cached_property
    def _stats(self) -> dict[tuple[str, str], ErrorStats]:
        """(pattern, output) → the errors of the network's own precision.

        Constant inputs at which the network is ill-conditioned are left out.

        Raises:
            ArtifactError: two runs over the same input differ.
        """
        collected: list[tuple[Case, dict[str, ErrorStats]]] = []
        for case in self.cases:
            eager = self.reference.eager(case.inputs)
            self._check_repeats(case, eager)
            self._advance(len(self.cases))
            errors = self._eager_errors(case.inputs, case.exact, eager)
            stats = {
                spec.name: ErrorStats.collect(spec, case.exact[spec.name], errors)
                for spec in self.signature.outputs
            }
            collected.append((case, stats))
        overall = {
            spec.name: ErrorStats.merge(stats[spec.name] for _, stats in collected)
            for spec in self.signature.outputs
        }
        by_pattern: dict[tuple[str, str], list[ErrorStats]] = {}
        for case, stats in collected:
            for spec in self.signature.outputs:
                ceiling = self.precision(spec).ceiling * overall[spec.name].scale
                self._is_ill_conditioned(case, spec, stats[spec.name].error, ceiling)
            if case.title in self.ill_conditioned:
                continue
            for name, part in stats.items():
                by_pattern.setdefault((case.pattern, name), []).append(part)
        return {key: ErrorStats.merge(parts) for key, parts in by_pattern.items()}

    def _eager_errors(
        self,
        inputs: Mapping[str, Array],
        exact: Mapping[str, Array],
        eager: Mapping[str, Array] | None = None,
    ) -> dict[str, Array]:
        """As `Reference.errors`; `eager`: the outputs of the network itself, if they are known."""
        digest = input_digest(inputs) if self._short else ""
        if digest in self._errors:
            return self._errors[digest]
        eager = self.reference.eager(inputs) if eager is None else eager
        errors = self.reference.errors(inputs, exact, eager)
        if self._short:
            self._errors[digest] = errors
        return errors

    def _is_ill_conditioned(
        self, case: Case, spec: TensorSpec, errors: Array, limit: Array
    ) -> bool:
        """Whether rounding alone explains each error beyond `limit` at a constant input; records it.

        `errors` and `limit` are by column. The effect of rounding gets FACTOR, as eager's errors do.
        """
        beyond = errors > limit
        if case.pattern not in CONSTANT_PATTERNS or not spec.is_float or not beyond.any():
            return False
        effect = self.reference.rounding_effect(case.inputs, case.exact)[spec.name]
        by_column = largest_by_column(spec, effect)
        if (errors[beyond] > FACTOR * by_column[beyond]).any():
            return False
        self.ill_conditioned[case.title] = (
            f"rounding each operator's result in {self.reference.precision.name} moves output"
            f" {spec.name!r} by {by_column[beyond].max():.3g} there"
        )
        return True

    @cached_property
    def _overall(self) -> dict[str, ErrorStats]:
        """Output → the errors of the network's own precision over the entire matrix."""
        return {
            spec.name: ErrorStats.merge(
                stats for (_, name), stats in self._stats.items() if name == spec.name
            )
            for spec in self.signature.outputs
        }

    @cached_property
    def _rounding(self) -> dict[str, Array]:
        """Output → how much rounding changes each column, over small batches of the matrix.

        0 for outputs without small columns, where the errors of the network itself say enough.
        """
        # One case for each pattern and length: more rows change the largest effect little.
        cases = {
            (case.pattern, *(size for axis, size in case.sizes.items() if axis != BATCH)): case
            for case in sorted(self.cases, key=lambda case: case.sizes[BATCH])
            if case.sizes[BATCH] <= INVARIANCE_BATCH and case.title not in self.ill_conditioned
        }
        overall = self._overall
        found = [self.rounding_on(case.inputs, case.exact, overall) for case in cases.values()]
        return {
            name: np.maximum.reduce([effect[name] for effect in found]) for name in self._overall
        }

    def rounding_on(
        self,
        inputs: Mapping[str, Array],
        exact: Mapping[str, Array],
        overall: Mapping[str, ErrorStats],
    ) -> dict[str, Array]:
        """Output → how much rounding changes each column at these inputs; 0 without small columns.

        `overall`: by output, the errors over all inputs so far, which show the small columns.
        """
        effect: Mapping[str, Array] = {}
        small = {
            spec.name
            for spec in self.signature.outputs
            if spec.is_float and has_small_columns(overall[spec.name])
        }
        if small:
            digest = input_digest(inputs) if self._short else ""
            effect = self._effects.get(digest) or self.reference.rounding_effect(
                inputs, exact, SEEDS
            )
            if self._short:
                self._effects[digest] = dict(effect)
        return {
            spec.name: largest_by_column(spec, effect[spec.name])
            if spec.name in small
            else np.zeros(())
            for spec in self.signature.outputs
        }

    @cached_property
    def column_tolerances(self) -> dict[tuple[str, str], Array]:
        """(pattern, output) → the largest accepted absolute error in each column.

        Raises:
            ArtifactError: no file could be checked: two runs of the network over the same input differ,
                a row depends on the rest of its batch, or its own precision is too coarse.
        """
        specs = {spec.name: spec for spec in self.signature.outputs}
        for name, spec in specs.items():
            check_ceiling(spec, self._overall[name], self.precision(spec), self._rounding[name])
        tolerances = {}
        for (pattern, name), stats in self._stats.items():
            precision = self.precision(specs[name])
            constant = self._constant_error(specs[name]) if pattern in CONSTANT_PATTERNS else 0.0
            tolerances[pattern, name] = compute_tolerance(
                stats,
                self._overall[name],
                precision,
                constant_error=constant,
                rounding=self._rounding[name],
            )
        self._check_ties()
        groups = row_groups(short=self._short)
        check_batch_invariance(self.signature, self.cases, self.exact, tolerances, groups)
        return tolerances

    def tolerances_on(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Output → the largest accepted absolute error by column, for inputs outside the matrix.

        Inputs that are mostly plain, as the background of an image, count as constant.
        """
        exact = self.exact(inputs)
        errors = self._eager_errors(inputs, exact)
        rounding = self.rounding_on(inputs, exact, self._overall)
        plain = is_mostly_plain(inputs)
        return {
            spec.name: compute_tolerance(
                ErrorStats.collect(spec, exact[spec.name], errors),
                self._overall[spec.name],
                self.precision(spec),
                constant_error=self._constant_error(spec) if plain else 0.0,
                rounding=rounding[spec.name],
            )
            for spec in self.signature.outputs
        }

    def _constant_error(self, spec: TensorSpec) -> float:
        """The error of sums over constant inputs, relative to the largest output."""
        correlated = sample_size(self.signature) / SIMD_ACCUMULATORS / 2  # ulp, eps/2
        return correlated * self.precision(spec).eps / 2

    @property
    def tolerances(self) -> dict[tuple[str, str], float]:
        """(pattern, output) → the largest accepted error in any column."""
        return {key: float(columns.max()) for key, columns in self.column_tolerances.items()}

    def check(self, run: Runner, backend: str) -> dict[str, dict[str, float]]:
        """Run the entire matrix on a backend.

        Returns:
            Output → {"error", "tolerance"}: the error that is largest relative to its tolerance.

        Raises:
            AgreementError: at the first case that fails, with its sizes and the error.
        """
        self.check_network()
        worst = {spec.name: {"error": 0.0, "tolerance": 0.0} for spec in self.signature.outputs}
        for case in self.cases:
            try:
                outputs = run(case.inputs)
                again = run(case.inputs) if self._runs_twice(case) else outputs
            except PtxError as error:
                raise AgreementError(f"{backend} fails at {case.title}: {error}") from error
            self._advance(len(self.cases))
            for spec in self.signature.outputs:
                distance, tolerance = self._assert_close(
                    backend, case, spec, outputs.get(spec.name)
                )
                if relative_error(distance, tolerance) >= relative_error(**worst[spec.name]):
                    worst[spec.name] = {"error": distance, "tolerance": tolerance}
            if not same_bits(outputs, again):
                raise AgreementError(
                    f"two runs of {backend} over the same input differ, at {case.title}: the file draws"
                    " random numbers, or keeps a state",
                    code="E-RANDOM",
                )
        return worst

    def _assert_close(
        self, backend: str, case: Case, spec: TensorSpec, got: Array | None
    ) -> tuple[float, float]:
        """The error that is largest relative to its tolerance, and that; AgreementError beyond it.

        At ill-conditioned inputs only shape, type and finiteness are checked.
        """
        exact = case.exact[spec.name]
        prefix = f"{backend} disagrees with {self.name} at {case.title}:"
        title = f"{prefix} output {spec.name!r}"
        if got is None:
            raise AgreementError(f"{title} is missing")
        if got.shape != exact.shape:
            raise AgreementError(f"{title} has shape {got.shape}; expected {exact.shape}")
        if got.dtype != spec.numpy_dtype:
            raise AgreementError(f"{title} is {got.dtype}; expected {spec.dtype}")
        if not is_finite(got):
            raise AgreementError(f"{title} is not finite")
        if not spec.is_float:
            assert_integers(title, got, exact, case.ties.get(spec.name))
            return 0.0, 0.0
        if case.title in self.ill_conditioned:
            return 0.0, 0.0
        errors = largest_by_column(spec, distance(got, exact))
        tolerances = self.column_tolerances[case.pattern, spec.name]
        if self._is_ill_conditioned(case, spec, errors, tolerances):
            return 0.0, 0.0
        place = worst_column(errors, tolerances)
        error, tolerance = float(errors.flat[place]), float(tolerances.flat[place])
        if not error <= tolerance:
            column = name_column(spec, tolerances, place)
            raise AgreementError(
                f"{prefix} {column} is off by {error:.3g}; allowed are {tolerance:.3g}"
            )
        return error, tolerance

    def _runs_twice(self, case: Case) -> bool:
        return runs_twice(case.pattern, case.sizes, short=self._short)

    def _check_repeats(self, case: Case, first: Mapping[str, Array]) -> None:
        if self._runs_twice(case) and not same_bits(first, self.reference.eager(case.inputs)):
            raise ArtifactError(
                f"two runs of the network over the same input differ, at {case.title}: it draws random"
                " numbers in forward (F.dropout without training=self.training, noise) or keeps a state,"
                " and no file could agree with it: use nn.Dropout, which eval mode switches off",
                code="E-RANDOM",
            )

    def _check_ties(self) -> None:
        """Refuse a network whose integer outputs are mostly decided by rounding."""
        cases = [case for case in self.cases if case.pattern in ("random", "real")]
        for spec in self.signature.outputs:
            tied = sum(
                case.ties[spec.name].indices.size for case in cases if spec.name in case.ties
            )
            positions = sum(case.exact[spec.name].size for case in cases)
            if tied > MAX_TIED_FRACTION * positions:
                raise ArtifactError(
                    f"rounding decides {tied:,} of {positions:,} numbers of output {spec.name!r}, so no"
                    " file can be verified: look for equal scores, an untrained network, or a precision"
                    f" that is too coarse ({self.precision(spec).name})",
                    code="E-PRECISION",
                )
