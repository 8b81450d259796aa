"""The proof that an exported file computes what the network computes.

The reference is the unmodified eager network in float64. What eager float32 itself shows against it,
over the same inputs, gives the tolerance: a backend may be FACTOR times as far away, no more. The
inputs are those of `ptx.export.grid`.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from ptx.export.grid import grid, sample_size
from ptx.infer.backends.pytorch.device import to_arrays
from ptx.infer.checks import is_finite
from ptx.infer.errors import AgreementError, ArtifactError, PtxError
from ptx.infer.signature import Array, Signature

FACTOR = 8.0  # times eager float32's own largest error: twice the worst seen, 4.2 of a trained RNN
ROUNDING = 4 * float(
    np.finfo(np.float32).eps
)  # relative to the largest output: never less than this

# Where all positions of an input are alike, the roundings of a sum over them all go one way: n equal
# numbers that are added in turn, in LANES sums side by side, are off by up to n/LANES/2 units of
# rounding. Eager's own error does not show it, since torch adds in pairs; ONNX Runtime adds in turn.
ALIKE = ("zeros", "ones", "extremes")
LANES = 8
UNIT = float(np.finfo(np.float32).eps) / 2

Runner = Callable[[Mapping[str, Array]], dict[str, Array]]


@dataclass(frozen=True)
class Case:
    """One input of the grid with what the network answers in float64."""

    kind: str  # real, random, zeros, ones, extremes
    sizes: dict[str, int]
    inputs: dict[str, Array]
    exact: dict[str, Array]  # float64

    @property
    def title(self) -> str:
        """`real input, time 14, batch 7`."""
        sizes = ", ".join(f"{axis} {size}" for axis, size in self.sizes.items())
        return f"{self.kind} input, {sizes}"


class Reference:
    """The network in float64 and the tolerance that eager float32 gives against it.

    Both are copies in eval mode, made here: what an exporter does to the network does not reach them.
    """

    def __init__(
        self,
        network: nn.Module,
        signature: Signature,
        samples: Mapping[str, Array],
    ) -> None:
        self.signature = signature
        self._network = copy.deepcopy(network).eval()
        self._exact = copy.deepcopy(network).double().eval()
        self.samples = dict(samples)
        self._progress: Callable[[int, int], None] | None = None
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
        try:
            with torch.inference_mode():
                outputs = to_arrays(self.signature, network(*tensors))
        except PtxError:
            raise
        except Exception as error:  # whatever somebody's forward method raises
            text = " ".join(str(error).split()) or type(error).__name__
            shapes = [tuple(tensor.shape) for tensor in tensors]
            raise ArtifactError(
                f"the network fails in eager {precision} on inputs of {shapes}: {text[:300]}",
                code="E-NETWORK",
            ) from error
        for name, array in outputs.items():
            if not is_finite(array):
                raise ArtifactError(
                    f"output {name!r} of eager {precision} is not finite: the network's numbers"
                    " overflow or its weights are damaged",
                    code="E-NONFINITE",
                )
        return outputs

    def check_signature(self) -> None:
        """One small batch through the network: it returns what the signature says.

        Raises:
            ArtifactError: it fails, or gives other outputs.
        """
        sizes = dict(zip(self.signature.dynamic_axes, itertools.count(2)))
        outputs = self.eager(self.signature.example(sizes))
        for spec in self.signature.outputs:
            got = outputs[spec.name]
            if got.shape != spec.shape(sizes) or got.dtype != np.float32 or spec.dtype != "float32":
                raise ArtifactError(
                    f"output {spec.name!r} is {got.dtype} {got.shape} for {sizes}; the signature says"
                    f" {spec.dtype} {spec.describe()}, and every output is float32",
                    code="E-OUTPUT",
                )

    def tell(self, progress: Callable[[int, int], None] | None) -> None:
        """Tell `progress` from now on how many runs of the grid are done, and of how many.

        In float64, in float32 and by one backend; the first two are done once for all backends.
        """
        self._progress = progress
        self._done = 2 * len(self.cases) if "tolerances" in vars(self) else 0

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
        found: dict[tuple[str, str], float] = {}
        sum_of_alike = sample_size(self.signature) / LANES / 2 * UNIT
        for case in self.cases:
            eager = self.eager(case.inputs)
            self._advance(len(self.cases))
            for name, exact in case.exact.items():
                magnitude = _magnitude(exact)
                own = max(largest_error(eager[name], exact), ROUNDING * magnitude)
                allowed = FACTOR * own
                if case.kind in ALIKE:
                    allowed = max(allowed, sum_of_alike * magnitude)
                found[case.kind, name] = max(found.get((case.kind, name), 0.0), allowed)
        return found

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
            for name, exact in case.exact.items():
                tolerance = self.tolerances[case.kind, name]
                largest = _checked_error(backend, case, name, outputs.get(name), exact, tolerance)
                if largest >= found[name]["error"]:
                    found[name] = {"error": largest, "tolerance": tolerance}
        return found


def largest_error(got: Array, exact: Array) -> float:
    """The largest absolute difference in float64; NaN where either has one."""
    if not got.size:
        return 0.0
    return float(np.abs(got.astype(np.float64) - exact).max())


def _checked_error(
    backend: str, case: Case, name: str, got: Array | None, exact: Array, tolerance: float
) -> float:
    where = f"{backend} disagrees with eager float64 at {case.title}: output {name!r}"
    if got is None:
        raise AgreementError(f"{where} is missing")
    if got.shape != exact.shape:
        raise AgreementError(f"{where} has shape {got.shape}; expected {exact.shape}")
    if got.dtype != np.float32:
        raise AgreementError(f"{where} is {got.dtype}; expected float32")
    if not is_finite(got):
        raise AgreementError(f"{where} is not finite")
    error = largest_error(got, exact)
    if not error <= tolerance:
        raise AgreementError(f"{where} is off by {error:.3g}; allowed are {tolerance:.3g}")
    return error


def _magnitude(array: Array) -> float:
    return float(np.abs(array).max(initial=0.0))
