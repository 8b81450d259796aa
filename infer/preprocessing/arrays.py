"""Arrays that are a model's inputs already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ptx.infer.artifact.golden import RawInput
from ptx.infer.errors import InputError
from ptx.infer.signature import Array, Signature, TensorSpec


class ArraysPreprocessing:
    """No preprocessing: a value is one sample of the input, an array without the batch axis.

    For a model whose own preprocessing ptx does not know, or that has several inputs, which `run` takes.
    """

    noun = "arrays"
    suffixes = columns = ()
    pads = False
    pictures = rows = None

    def __init__(self, signature: Signature) -> None:
        self.specs = signature.inputs
        # an output, where a file of others has no input
        self.spec: TensorSpec = next(iter(signature))
        self.dimensions = len(self.spec.sample_axes)

    @property
    def expects(self) -> str:
        axes = ", ".join(str(axis) for axis in self.spec.sample_axes)
        return f"one sample of {self.spec.name!r}: a {self.spec.dtype} array ({axes})"

    def read(self, value: Any) -> Array:
        """The array as it is; its dtype and values are checked with its batch."""
        if len(self.specs) != 1:
            raise InputError(
                f"the model has {len(self.specs)} inputs and no preprocessing that fills them: give"
                " their arrays to run()",
                code="E-TYPE",
            )
        if not isinstance(value, np.ndarray):
            raise InputError(
                f"the input is a {type(value).__name__}, and the model has no preprocessing; expected"
                f" {self.expects}",
                code="E-TYPE",
            )
        if not self.spec.fits_sample(value.shape):
            raise InputError(
                f"the array has shape {value.shape}; expected {self.expects}", code="E-SHAPE"
            )
        return value

    def read_rows(self, rows: Array, names: Sequence[str] = ()) -> Sequence[Array]:
        return list(rows)

    def raw(self, row: Any, names: Sequence[str] = ()) -> RawInput:
        return tuple(np.ravel(row).tolist())

    def collate(self, samples: Sequence[Array]) -> dict[str, Array]:
        return {self.spec.name: np.stack(samples, axis=self.spec.batch_axis)}

    def examples(self) -> tuple[RawInput, ...]:
        return ()  # an array is no raw form: the golden samples are such values already
