"""The unmodified network in eager PyTorch: what every file is held against, and in which precision."""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cached_property

import numpy as np
import torch
from torch import nn

from ptx.infer.backends.pytorch.device import to_arrays, to_tensors
from ptx.infer.checks import is_finite
from ptx.infer.errors import ArtifactError, PtxError
from ptx.infer.signature import Array, Signature

# What a reference is called in messages and in the card.
FLOAT64 = "eager float64"
SWITCHED = "eager float64 (default dtype float64)"
FLOAT32 = "eager float32"

_SWITCHING = threading.Lock()  # the default dtype is the whole process's


class Reference:
    """Two copies of the network in eval mode, in float64 and in float32.

    What an exporter does to the network does not reach them, and a network that works in place reaches
    neither its inputs nor the answers that it gave before.
    """

    def __init__(self, network: nn.Module, signature: Signature) -> None:
        self._signature = signature
        self._network = copy.deepcopy(network).eval()
        self._double = copy.deepcopy(network).double().eval()

    @cached_property
    def name(self) -> str:
        """The first of FLOAT64, SWITCHED and FLOAT32 in which the network runs.

        A forward method that makes float32 tensors of its own (`h0 = torch.zeros(...)`) may fail among
        weights of float64. With the default dtype switched it makes float64 ones; where it names float32
        the reference is what it computes in float32.
        """
        inputs = self._signature.example(self.small_sizes())
        for name in (FLOAT64, SWITCHED):
            try:
                outputs = self._in_double(inputs, name)
            except ArtifactError as error:
                if error.code != "E-NETWORK":
                    raise
                continue
            if self._is_double(outputs, inputs):
                return name
        self.eager(inputs)  # raises where the network fails in any precision
        return FLOAT32

    def small_sizes(self) -> dict[str, int]:
        """Sizes of a small batch, each another one."""
        return dict(zip(self._signature.dynamic_axes, itertools.count(2)))

    def exact(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs that every file is held against, in float64 if the name does not say otherwise.

        Raises:
            ArtifactError: the network fails, or an output is not finite.
        """
        if self.name == FLOAT32:
            outputs = self.eager(inputs)
            return {name: array.astype(np.float64) for name, array in outputs.items()}
        return self._in_double(inputs, self.name)

    def eager(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs of the unmodified network in float32.

        Raises:
            ArtifactError: the network fails, or an output is not finite.
        """
        tensors = to_tensors(self._signature, inputs, "cpu")
        return self._answer(self._network, tensors, FLOAT32)

    def _in_double(self, inputs: Mapping[str, Array], name: str) -> dict[str, Array]:
        tensors = to_tensors(self._signature, inputs, "cpu")
        tensors = [t.double() if t.is_floating_point() else t for t in tensors]
        with _float64_by_default() if name == SWITCHED else nullcontext():
            return self._answer(self._double, tensors, FLOAT64)

    def _is_double(self, outputs: Mapping[str, Array], inputs: Mapping[str, Array]) -> bool:
        """Not where forward turns its inputs into float32 and then computes what eager float32 does."""
        if all(array.dtype == np.float64 for array in outputs.values()):
            return True
        return not same_bits(outputs, self.eager(inputs))

    def _answer(
        self, network: nn.Module, tensors: list[torch.Tensor], precision: str
    ) -> dict[str, Array]:
        shapes = [tuple(tensor.shape) for tensor in tensors]
        try:
            with torch.inference_mode():
                outputs = to_arrays(self._signature, network(*tensors))
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
                    " its weights are damaged",
                    code="E-NONFINITE",
                )
        return outputs


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
