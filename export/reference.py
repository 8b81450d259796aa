"""The unmodified network in eager PyTorch: what every file is held against, and in which precision."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ptx.export.integers import find_level, nudged_inputs, nudged_networks
from ptx.export.network_copy import copy_network
from ptx.export.precision import float_types, network_precision
from ptx.export.rounding_noise import SEEDS, RoundingNoise
from ptx.export.tolerance import FACTOR, distance
from ptx.infer.artifact.golden import Level
from ptx.infer.backends.pytorch.device import to_arrays, to_tensors
from ptx.infer.backends.pytorch.outputs import has_names
from ptx.infer.checks import is_finite
from ptx.infer.errors import ArtifactError, PtxError
from ptx.infer.signature import Array, Signature

# What a reference is called in messages and in the card.
FLOAT64 = "eager float64"
SWITCHED = "eager float64 (default dtype float64)"

_SWITCHING = threading.Lock()  # the default dtype is the whole process's


@dataclass(frozen=True)
class Expected:
    """What the network answers to some inputs."""

    exact: dict[str, Array]  # float64; integers and bools in their own type
    eager: dict[str, Array]  # in its own precision
    errors: dict[str, Array]  # by float output, how far its own precision is off
    level: dict[str, Level]  # by output, the integers that rounding decides


class Reference:
    """Two copies of the network in eval mode, in float64 and in its own precision.

    What an exporter does to the network does not reach them, and a network that works in place reaches
    neither its inputs nor the answers that it gave before.
    """

    def __init__(self, network: nn.Module, signature: Signature) -> None:
        self._signature = signature
        self.precision = network_precision(network, signature)  # its own
        self._network = copy_network(network).eval()
        self._double = copy_network(network).double().eval()
        self.names_outputs = False  # it returns names, which were seen once it has been run

    @cached_property
    def name(self) -> str:
        """The first of FLOAT64, SWITCHED and its own precision in which the network runs.

        A forward method that makes float32 tensors of its own (`h0 = torch.zeros(...)`) may fail among
        weights of float64. With the default dtype switched it makes float64 ones; where it names float32
        the reference is what it computes in its own precision.
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
        """`eager float32`: the network as it is."""
        return f"eager {self.precision.name}"

    def small_sizes(self) -> dict[str, int]:
        """Sizes of a small batch, each another one."""
        return self._signature.distinct_sizes(range(2, 2 + len(self._signature.dynamic_axes)))

    def exact(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs that every file is held against, in float64 if the name does not say otherwise.

        Integers and bools have their own type.

        Raises:
            ArtifactError: the network fails, or an output is not finite.
        """
        if self.name == self.own_name:
            return _widened(self.eager(inputs))
        return self._in_double(inputs, self.name)

    def eager(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs of the unmodified network in its own precision.

        Raises:
            ArtifactError: the network fails, or an output is not finite.
        """
        tensors = to_tensors(self._signature, inputs, "cpu")
        return self._answer(self._network, tensors, self.own_name)

    def level(self, inputs: Mapping[str, Array], exact: Mapping[str, Array]) -> dict[str, Level]:
        """By integer output, where rounding decides; see `ptx.export.integers`.

        Raises:
            ArtifactError: the network fails, or an output is not finite.
        """
        names = [spec.name for spec in self._signature.outputs if not spec.is_float]
        if not names:
            return {}
        answers = [exact, self.eager(inputs), *self._nudged_answers(inputs)]
        found = {name: find_level([answer[name] for answer in answers]) for name in names}
        return {name: level for name, level in found.items() if level is not None}

    def expect(self, inputs: Mapping[str, Array]) -> Expected:
        """All that is known of the answers; raises as the others."""
        exact, eager = self.exact(inputs), self.eager(inputs)
        errors = self.errors(inputs, exact, eager)
        return Expected(exact, eager, errors, self.level(inputs, exact))

    def errors(
        self, inputs: Mapping[str, Array], exact: Mapping[str, Array], eager: Mapping[str, Array]
    ) -> dict[str, Array]:
        """By float output, how far the network in its own precision is off at each number.

        Where float64 does not tell, since the network runs in its own precision alone, what rounding
        moves is taken in its place. A network in float64 shows nothing: its tolerance is the least.

        Raises:
            ArtifactError: as the others.
        """
        if self.name == self.own_name != FLOAT64:
            return self.moved_by_rounding(inputs, exact, SEEDS[:1])
        names = [spec.name for spec in self._signature.outputs if spec.is_float]
        return {name: distance(eager[name], exact[name]) for name in names}

    def moved_by_rounding(
        self,
        inputs: Mapping[str, Array],
        exact: Mapping[str, Array],
        seeds: Sequence[int] = SEEDS,
    ) -> dict[str, Array]:
        """By float output, how far one rounding in each operator moves each number at most.

        The roundings are those of the network's own precision; see `ptx.export.rounding_noise`.

        Raises:
            ArtifactError: the network fails, or an output is not finite.
        """
        in_own = self.name == self.own_name
        network = self._network if in_own else self._double
        # In its own precision the reference is rounded as well, and half a step added to 1 is lost.
        rounding = self.precision.eps if in_own else self.precision.eps / 2
        moved = {
            spec.name: np.zeros_like(exact[spec.name])
            for spec in self._signature.outputs
            if spec.is_float
        }
        for seed in seeds:
            tensors = self._tensors(inputs, self.name)
            with (
                _float64_by_default() if self.name == SWITCHED else nullcontext(),
                RoundingNoise(rounding, seed),
            ):
                answer = self._answer(network, tensors, self.name)
            for name, most in moved.items():
                np.maximum(most, distance(answer[name], exact[name]), out=most)
        return moved

    def count_operations(self, sizes: Mapping[str, int]) -> int:
        """The additions and multiplications of matrices and convolutions in a run of these sizes.

        0 where the network fails; whatever runs it next says why.
        """
        counter = FlopCounterMode(display=False)
        try:
            with counter:
                self.eager(self._signature.example(sizes))
        except ArtifactError:
            return 0
        return int(counter.get_total_flops())

    def _nudged_answers(self, inputs: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
        tensors = self._tensors(inputs, self.name)
        networks, by = self._nudged
        with _float64_by_default() if self.name == SWITCHED else nullcontext():
            for network, nudged in zip(networks, nudged_inputs(tensors, by), strict=True):
                yield self._answer(network, nudged, self.name)

    @cached_property
    def _nudged(self) -> tuple[list[nn.Module], float]:
        """The nudged networks, and by what share they are."""
        network = self._network if self.name == self.own_name else self._double
        by = FACTOR * self.precision.rounding
        return nudged_networks(network, by), by

    def _tensors(self, inputs: Mapping[str, Array], name: str) -> list[torch.Tensor]:
        tensors = to_tensors(self._signature, inputs, "cpu")
        if name == self.own_name:
            return tensors
        return [t.double() if t.is_floating_point() else t for t in tensors]

    def _in_double(self, inputs: Mapping[str, Array], name: str) -> dict[str, Array]:
        tensors = self._tensors(inputs, name)
        with _float64_by_default() if name == SWITCHED else nullcontext():
            return self._answer(self._double, tensors, FLOAT64)

    def _is_double(
        self, outputs: Mapping[str, Array], inputs: Mapping[str, Array], name: str
    ) -> bool:
        """Not where forward turns its inputs into float32 and then computes what eager float32 does."""
        floats = [outputs[spec.name] for spec in self._signature.outputs if spec.is_float]
        if not floats:  # integers do not show what they were computed in
            with _float64_by_default() if name == SWITCHED else nullcontext():
                return float_types(self._double, self._tensors(inputs, name)) <= {torch.float64}
        if all(array.dtype == np.float64 for array in floats):
            return True
        return not same_bits(outputs, self.eager(inputs))

    def _answer(
        self, network: nn.Module, tensors: list[torch.Tensor], precision: str
    ) -> dict[str, Array]:
        shapes = [tuple(tensor.shape) for tensor in tensors]
        try:
            with torch.inference_mode():
                answer = network(*tensors)
                self.names_outputs = has_names(answer)
                outputs = to_arrays(self._signature, answer)
        except PtxError:
            raise
        except Exception as error:  # whatever somebody's forward method raises
            text = " ".join(str(error).split()) or type(error).__name__
            raise ArtifactError(
                f"the network fails in {precision} on inputs of {shapes}: {text[:300]}",
                code="E-NETWORK",
            ) from error
        for name, array in outputs.items():
            if not is_finite(array):
                raise ArtifactError(
                    f"output {name!r} of {precision} is not finite: the network's numbers overflow or"
                    " its weights are damaged; where a mask is meant, fill it with -1e9: its"
                    " probability is 0, too",
                    code="E-NONFINITE",
                )
        return outputs


def _widened(outputs: Mapping[str, Array]) -> dict[str, Array]:
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
def _float64_by_default() -> Iterator[None]:
    """What is made without a dtype is float64: for all threads, since torch knows one default."""
    with _SWITCHING:
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(before)
