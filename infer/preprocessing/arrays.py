"""Arrays that already are the model's inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ptx.infer.artifact.golden import RawInput
from ptx.infer.errors import InputError
from ptx.infer.signature import Array, Signature, TensorSpec


class ArraysPreprocessing:
    """No preprocessing: a value is one sample of the input, an array without the batch axis.

    For a model whose preprocessing ptx does not know, or with several inputs (use `Predictor.run`).
    """

    plural = "arrays"
    extensions = feature_names = ()
    variable_length = False
    image_spec = row_spec = None

    def __init__(self, signature: Signature) -> None:
        self.specs = signature.inputs
        # the first output if an external model has no inputs
        self.spec: TensorSpec = next(iter(signature))
        self.dimensions = len(self.spec.sample_axes)

    @property
    def input_description(self) -> str:
        axes = ", ".join(str(axis) for axis in self.spec.sample_axes)
        return f"one sample of {self.spec.name!r}: a {self.spec.dtype} array ({axes})"

    def transform(self, value: Any) -> Array:
        """The array unchanged; dtype and values are checked with the batch."""
        if len(self.specs) != 1:
            raise InputError(
                f"the model has {len(self.specs)} inputs and no preprocessing: pass their arrays to"
                " `ptx run` or Predictor.run()",
                code="E-TYPE",
            )
        if not isinstance(value, np.ndarray):
            raise InputError(
                f"the input is a {type(value).__name__}, and the model has no preprocessing; expected"
                f" {self.input_description}",
                code="E-TYPE",
            )
        if not self.spec.fits_sample(value.shape):
            raise InputError(
                f"the array has shape {value.shape}; expected {self.input_description}",
                code="E-SHAPE",
            )
        return value

    def transform_rows(self, rows: Array, names: Sequence[str] = ()) -> Sequence[Array]:
        return list(rows)

    def to_raw(self, row: Any, names: Sequence[str] = ()) -> RawInput:
        return tuple(np.ravel(row).tolist())

    def collate(self, samples: Sequence[Array]) -> dict[str, Array]:
        return {self.spec.name: np.stack(samples, axis=self.spec.batch_axis)}

    def probe_inputs(self) -> tuple[RawInput, ...]:
        return ()  # the golden samples already contain such arrays
