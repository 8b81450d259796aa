"""The unmodified network in eager PyTorch: the reference of every file, and its precision."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ptx.export.check.precision import float_types, network_precision
from ptx.export.check.rounding_noise import SEEDS, RoundingNoise
from ptx.export.check.ties import find_ties, perturbed_inputs, perturbed_networks
from ptx.export.check.tolerance import FACTOR, distance
from ptx.export.network_copy import copy_network
from ptx.infer.artifact.golden import Ties
from ptx.infer.backends.pytorch.device import to_arrays, to_tensors
from ptx.infer.backends.pytorch.outputs import has_names
from ptx.infer.checks import is_finite
from ptx.infer.errors import ArtifactError, PtxError
from ptx.infer.signature import Array, Signature

# Names of references in messages and in the manifest.
FLOAT64 = "eager float64"
SWITCHED = "eager float64 (default dtype float64)"

_DEFAULT_DTYPE = threading.Lock()  # the default dtype is process-wide


@dataclass(frozen=True)
class Expected:
    """The network's outputs for some inputs."""

    exact: dict[str, Array]  # float64; integers and bools in their own type
    eager: dict[str, Array]  # in the network's own precision
    errors: dict[str, Array]  # by float output, the absolute errors of `eager`
    ties: dict[str, Ties]  # by output, the integers that rounding decides


class Reference:
    """Two copies of the network in eval mode, in float64 and in its own precision.

    Nothing that an exporter does to the network affects them, and a network that works in place changes
    neither its inputs nor earlier outputs.
    """

    def __init__(self, network: nn.Module, signature: Signature) -> None:
        self._signature = signature
        self.precision = network_precision(network, signature)  # the network's own
        self._network = copy_network(network).eval()
        self._double = copy_network(network).double().eval()
        self.names_outputs = False  # whether it returns a dict or named tuple; known after a run

    @cached_property
    def name(self) -> str:
        """The first of FLOAT64, SWITCHED and the network's own precision in which it runs.

        A forward method that creates float32 tensors (`h0 = torch.zeros(...)`) may fail with float64
        weights. With the default dtype switched it creates float64 tensors. If it names float32, the
        reference is its output in its own precision.
        """
        inputs = self._signature.example(self.small_sizes())
        for name in (FLOAT64, SWITCHED):
            try:
                outputs = self._in_double(inputs, name)
                if self._is_double(outputs, inputs, name):
                    return name
            except ArtifactError as error:
                if error.code != "E-NETWORK":
                    raise
        self.eager(inputs)  # raises where the network fails in any precision
        return self.own_name

    @property
    def own_name(self) -> str:
        """`eager float32`: the network's own precision."""
        return f"eager {self.precision.name}"

    def small_sizes(self) -> dict[str, int]:
        """Sizes of a small batch, all different."""
        return self._signature.distinct_sizes(range(2, 2 + len(self._signature.dynamic_axes)))

    def exact(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The reference outputs, in float64 unless `name` says otherwise; integers in their own type.

        Raises:
            ArtifactError: the network fails, or an output is not finite.
        """
        if self.name == self.own_name:
            return _to_float64(self.eager(inputs))
        return self._in_double(inputs, self.name)

    def eager(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs of the unmodified network in its own precision.

        Raises:
            ArtifactError: the network fails, or an output is not finite.
        """
        tensors = to_tensors(self._signature, inputs, "cpu")
        return self._run(self._network, tensors, self.own_name)

    def ties(self, inputs: Mapping[str, Array], exact: Mapping[str, Array]) -> dict[str, Ties]:
        """By integer output, the positions that rounding decides; see `ptx.export.check.ties`.

        Raises:
            ArtifactError: the network fails, or an output is not finite.
        """
        names = [spec.name for spec in self._signature.outputs if not spec.is_float]
        if not names:
            return {}
        runs = [exact, self.eager(inputs), *self._run_perturbed(inputs)]
        found = {name: find_ties([run[name] for run in runs]) for name in names}
        return {name: ties for name, ties in found.items() if ties is not None}

    def expect(self, inputs: Mapping[str, Array]) -> Expected:
        """The outputs, errors and ties; raises as the others."""
        exact, eager = self.exact(inputs), self.eager(inputs)
        errors = self.errors(inputs, exact, eager)
        return Expected(exact, eager, errors, self.ties(inputs, exact))

    def errors(
        self, inputs: Mapping[str, Array], exact: Mapping[str, Array], eager: Mapping[str, Array]
    ) -> dict[str, Array]:
        """By float output, the absolute error of the network in its own precision.

        If the network runs only in its own precision, the effect of rounding replaces the error against
        float64. A network in float64 shows no error: it gets the smallest tolerance.

        Raises:
            ArtifactError: as the others.
        """
        if self.name == self.own_name != FLOAT64:
            return self.rounding_effect(inputs, exact, SEEDS[:1])
        names = [spec.name for spec in self._signature.outputs if spec.is_float]
        return {name: distance(eager[name], exact[name]) for name in names}

    def rounding_effect(
        self,
        inputs: Mapping[str, Array],
        exact: Mapping[str, Array],
        seeds: Sequence[int] = SEEDS,
    ) -> dict[str, Array]:
        """By float output, how much rounding each operator's result changes each element at most.

        Rounded to the network's own precision; see `ptx.export.check.rounding_noise`.

        Raises:
            ArtifactError: the network fails, or an output is not finite.
        """
        only_own = self.name == self.own_name
        network = self._network if only_own else self._double
        # In its own precision the reference is rounded as well, and adding half a step to 1 is lost.
        rounding = self.precision.eps if only_own else self.precision.eps / 2
        effect = {
            spec.name: np.zeros_like(exact[spec.name])
            for spec in self._signature.outputs
            if spec.is_float
        }
        for seed in seeds:
            tensors = self._tensors(inputs, self.name)
            with (
                _default_float64(self.name == SWITCHED),
                RoundingNoise(rounding, seed),
            ):
                outputs = self._run(network, tensors, self.name)
            for name, largest in effect.items():
                np.maximum(largest, distance(outputs[name], exact[name]), out=largest)
        return effect

    def count_operations(self, sizes: Mapping[str, int]) -> int:
        """The floating-point operations of matrix products and convolutions in a run of these sizes.

        0 if the network fails; the next run says why.
        """
        counter = FlopCounterMode(display=False)
        try:
            with counter:
                self.eager(self._signature.example(sizes))
        except ArtifactError:
            return 0
        return int(counter.get_total_flops())

    def _run_perturbed(self, inputs: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
        tensors = self._tensors(inputs, self.name)
        networks, by = self._perturbed
        with _default_float64(self.name == SWITCHED):
            for network, perturbed in zip(networks, perturbed_inputs(tensors, by), strict=True):
                yield self._run(network, perturbed, self.name)

    @cached_property
    def _perturbed(self) -> tuple[list[nn.Module], float]:
        """The perturbed networks, and the relative perturbation."""
        network = self._network if self.name == self.own_name else self._double
        by = FACTOR * self.precision.rounding
        return perturbed_networks(network, by), by

    def _tensors(self, inputs: Mapping[str, Array], name: str) -> list[torch.Tensor]:
        tensors = to_tensors(self._signature, inputs, "cpu")
        if name == self.own_name:
            return tensors
        return [t.double() if t.is_floating_point() else t for t in tensors]

    def _in_double(self, inputs: Mapping[str, Array], name: str) -> dict[str, Array]:
        tensors = self._tensors(inputs, name)
        with _default_float64(name == SWITCHED):
            return self._run(self._double, tensors, FLOAT64)

    def _is_double(
        self, outputs: Mapping[str, Array], inputs: Mapping[str, Array], name: str
    ) -> bool:
        """False if forward() casts to float32 internally."""
        floats = [outputs[spec.name] for spec in self._signature.outputs if spec.is_float]
        if not floats:  # integers do not show what they were computed in
            with _default_float64(name == SWITCHED):
                return float_types(self._double, self._tensors(inputs, name)) <= {torch.float64}
        if all(array.dtype == np.float64 for array in floats):
            return True
        return not same_bits(outputs, self.eager(inputs))

    def _run(
        self, network: nn.Module, tensors: list[torch.Tensor], precision: str
    ) -> dict[str, Array]:
        shapes = [tuple(tensor.shape) for tensor in tensors]
        try:
            with torch.inference_mode():
                result = network(*tensors)
                self.names_outputs = has_names(result)
                outputs = to_arrays(self._signature, result)
        except PtxError:
            raise
        except Exception as error:  # whatever a forward method raises
            text = " ".join(str(error).split()) or type(error).__name__
            raise ArtifactError(
                f"the network fails in {precision} on inputs of {shapes}: {text[:300]}",
                code="E-NETWORK",
            ) from error
        for name, array in outputs.items():
            if not is_finite(array):
                raise ArtifactError(
                    f"output {name!r} of {precision} is not finite: the network overflows or"
                    " its weights are damaged; where a mask is meant, fill it with -1e9: its"
                    " probability is 0, too",
                    code="E-NONFINITE",
                )
        return outputs


def _to_float64(outputs: Mapping[str, Array]) -> dict[str, Array]:
    return {
        name: array.astype(np.float64) if array.dtype.kind == "f" else array
        for name, array in outputs.items()
    }


def same_bits(first: Mapping[str, Array], second: Mapping[str, Array]) -> bool:
    """Whether two runs gave the same arrays, to the last bit."""
    return first.keys() == second.keys() and all(
        array.dtype == second[name].dtype
        and array.shape == second[name].shape
        and array.tobytes() == second[name].tobytes()
        for name, array in first.items()
    )


@contextmanager
def _default_float64(active: bool) -> Iterator[None]:
    """Tensors that are created without a dtype are float64, in all threads: torch has one default."""
    if not active:
        yield
        return
    with _DEFAULT_DTYPE:
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(before)
