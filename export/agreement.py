"""The proof that an exported file computes what the network computes.

The yardstick is the unmodified eager network in float64. What eager float32 itself shows against it,
over the same inputs, gives the tolerance: a backend may be FACTOR times as far away, no more. The
inputs cross several batch sizes with several lengths, none of them only the traced one: real samples,
random numbers, zeros, ones and the extremes of what was seen.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from ptx.infer.backends.torch_device import to_arrays
from ptx.infer.errors import AgreementError, ArtifactError, PtxError
from ptx.infer.guard import is_finite
from ptx.infer.signature import BATCH, Array, Signature, bound

FACTOR = 8.0  # times eager float32's own largest error: twice the worst seen, 4.2 of a trained RNN
ROUNDING = 4 * float(
    np.finfo(np.float32).eps
)  # relative to the largest output: never less than this

BATCHES = (1, 2, 3, 7, 64)
LENGTHS = (1, 2, 14, 28, 40)

Runner = Callable[[Mapping[str, Array]], dict[str, Array]]


@dataclass(frozen=True)
class Case:
    """One input of the grid with what the network answers in float64."""

    kind: str  # real, random, zeros, ones, extremes
    sizes: dict[str, int]
    inputs: dict[str, Array]
    reference: dict[str, Array]  # float64

    @property
    def title(self) -> str:
        """`real input, time 14, batch 7`."""
        sizes = ", ".join(f"{axis} {size}" for axis, size in self.sizes.items())
        return f"{self.kind} input, {sizes}"


class Yardstick:
    """The network in float64 and the tolerance that eager float32 gives against it.

    Both are copies in eval mode, made here: what an exporter does to the network does not reach them.
    `progress` is told how many runs of the grid are done, and of how many: in float64, in float32 and by
    one backend.
    """

    def __init__(
        self,
        network: nn.Module,
        signature: Signature,
        samples: Mapping[str, Array],
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.signature = signature
        self._network = copy.deepcopy(network).eval()
        self._exact = copy.deepcopy(network).double().eval()
        self.samples = dict(samples)
        self._progress = progress
        self._done = 0

    def exact(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs in float64.

        Raises:
            ArtifactError: one is not finite; nothing can be held against it.
        """
        tensors = [torch.from_numpy(inputs[spec.name]) for spec in self.signature.inputs]
        tensors = [t.double() if t.is_floating_point() else t for t in tensors]
        return self._answer(self._exact, tensors, "float64")

    def eager(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs of the unmodified network in float32.

        Raises:
            ArtifactError: one is not finite; as a tolerance it would let everything pass.
        """
        tensors = [torch.from_numpy(inputs[spec.name]) for spec in self.signature.inputs]
        return self._answer(self._network, tensors, "float32")

    def _answer(
        self, network: nn.Module, tensors: list[torch.Tensor], precision: str
    ) -> dict[str, Array]:
        with torch.inference_mode():
            outputs = to_arrays(self.signature, network(*tensors))
        for name, array in outputs.items():
            if not is_finite(array):
                raise ArtifactError(
                    f"output {name!r} of eager {precision} is not finite: the network's numbers"
                    " overflow or its weights are damaged",
                    code="E-NONFINITE",
                )
        return outputs

    def _advance(self, cases: int) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, 3 * cases)

    @cached_property
    def cases(self) -> list[Case]:
        """The grid."""
        cases = []
        planned = list(grid(self.signature, self.samples))
        for kind, sizes, inputs in planned:
            cases.append(Case(kind, sizes, inputs, self.exact(inputs)))
            self._advance(len(planned))
        return cases

    @cached_property
    def tolerances(self) -> dict[tuple[str, str], float]:
        """(kind, output) → the largest absolute error that is accepted."""
        errors: dict[tuple[str, str], float] = {}
        for case in self.cases:
            eager = self.eager(case.inputs)
            self._advance(len(self.cases))
            for name, reference in case.reference.items():
                own = max(largest_error(eager[name], reference), ROUNDING * _magnitude(reference))
                errors[case.kind, name] = max(errors.get((case.kind, name), 0.0), own)
        return {key: FACTOR * error for key, error in errors.items()}

    def check(self, run: Runner, backend: str) -> dict[str, dict[str, float]]:
        """Run the whole grid; returns the largest error and the tolerance for each output.

        Raises:
            AgreementError: at the first case that fails, saying at which size and by how much.
        """
        found: dict[str, dict[str, float]] = {
            spec.name: {"error": 0.0, "tolerance": 0.0} for spec in self.signature.outputs
        }
        for case in self.cases:
            try:
                outputs = run(case.inputs)
            except PtxError as error:
                raise AgreementError(f"{backend} fails at {case.title}: {error}") from error
            self._advance(len(self.cases))
            for name, reference in case.reference.items():
                tolerance = self.tolerances[case.kind, name]
                largest = _checked_error(
                    backend, case, name, outputs.get(name), reference, tolerance
                )
                if largest >= found[name]["error"]:
                    found[name] = {"error": largest, "tolerance": tolerance}
        return found


def grid(
    signature: Signature, samples: Mapping[str, Array]
) -> Iterable[tuple[str, dict[str, int], dict[str, Array]]]:
    """(kind, sizes, inputs) for each case; the last one is all real samples at their own length."""
    axes = signature.dynamic_axes
    choices = [BATCHES if axis == BATCH else LENGTHS for axis in axes]
    low, high = _range(samples)
    for seed, sizes in enumerate(
        dict(zip(axes, c, strict=True)) for c in itertools.product(*choices)
    ):
        real = _cut(signature, samples, sizes)
        if real is not None:
            yield "real", sizes, real
        yield "random", sizes, signature.example(sizes, seed=seed)
        if sizes[BATCH] in BATCHES[1::2]:  # zeros and the like need no more than a few batches
            for kind, pair in (
                ("zeros", (0.0, 0.0)),
                ("ones", (1.0, 1.0)),
                ("extremes", (low, high)),
            ):
                yield kind, sizes, _constant(signature, sizes, *pair)
    if samples:
        yield "real", own_sizes(signature, samples), dict(samples)


def own_sizes(signature: Signature, samples: Mapping[str, Array]) -> dict[str, int]:
    """The sizes of the dynamic axes that the real samples have."""
    shapes = {
        axis: size
        for spec in signature.inputs
        for axis, size in zip(spec.axes, samples[spec.name].shape, strict=True)
    }
    return {axis: shapes[axis] for axis in signature.dynamic_axes}


def first_rows(
    signature: Signature, samples: Mapping[str, Array], rows: int
) -> dict[str, Array] | None:
    """The first real samples at their own length; None where there are fewer."""
    if not samples:
        return None
    return _cut(signature, samples, {**own_sizes(signature, samples), BATCH: rows})


def largest_error(got: Array, reference: Array) -> float:
    """The largest absolute difference in float64; NaN where either has one."""
    if not got.size:
        return 0.0
    return float(np.abs(got.astype(np.float64) - reference).max())


def _checked_error(
    backend: str, case: Case, name: str, got: Array | None, reference: Array, tolerance: float
) -> float:
    where = f"{backend} disagrees with eager float64 at {case.title}: output {name!r}"
    if got is None:
        raise AgreementError(f"{where} is missing")
    if got.shape != reference.shape:
        raise AgreementError(f"{where} has shape {got.shape}; expected {reference.shape}")
    if got.dtype != np.float32:
        raise AgreementError(f"{where} is {got.dtype}; expected float32")
    if not is_finite(got):
        raise AgreementError(f"{where} is not finite")
    error = largest_error(got, reference)
    if not error <= tolerance:
        raise AgreementError(f"{where} is off by {error:.3g}; allowed are {tolerance:.3g}")
    return error


def _magnitude(array: Array) -> float:
    return float(np.abs(array).max(initial=0.0))


def _range(samples: Mapping[str, Array]) -> tuple[float, float]:
    floats = [array for array in samples.values() if array.dtype.kind == "f" and array.size]
    if not floats:
        return -3.0, 3.0  # of standard normal numbers
    return min(float(a.min()) for a in floats), max(float(a.max()) for a in floats)


def _cut(
    signature: Signature, samples: Mapping[str, Array], sizes: Mapping[str, int]
) -> dict[str, Array] | None:
    """The first rows and steps of the real samples; None where they are not that many."""
    cut = {}
    for spec in signature.inputs:
        if not samples:
            return None
        shape = spec.shape(sizes)
        if any(size > have for size, have in zip(shape, samples[spec.name].shape, strict=True)):
            return None
        array = samples[spec.name][tuple(slice(size) for size in shape)]
        if spec.bounds is not None:
            array = np.clip(array, *bound(spec, sizes))  # a length is at most what is left
        cut[spec.name] = np.ascontiguousarray(array)
    return cut


def _constant(
    signature: Signature, sizes: Mapping[str, int], low: float, high: float
) -> dict[str, Array]:
    """`low` and `high` in turn; integers the ends of their range."""
    inputs: dict[str, Any] = {}
    for spec in signature.inputs:
        shape = spec.shape(sizes)
        ends = bound(spec, sizes) if spec.dtype == "int64" else (low, high)
        if low == high and spec.dtype == "int64":
            ends = (ends[0], ends[0]) if low == 0 else (ends[1], ends[1])
        flat = np.resize(np.asarray(ends, spec.numpy_dtype), int(np.prod(shape)))
        inputs[spec.name] = flat.reshape(shape)
    return inputs
