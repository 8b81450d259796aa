"""From rows of numbers to input arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ptx.infer.artifact.golden import RawInput
from ptx.infer.errors import InputError, pluralise
from ptx.infer.preprocessing import show_value
from ptx.infer.signature import Array, Signature, TensorSpec


class ColumnsPreprocessing:
    """A fixed number of columns, each standardised by its mean and standard deviation if given.

    A value is a number, a sequence or 1-D array with one number per column, or a text of numbers that
    are separated by commas.
    """

    plural = "rows"
    dimensions = 1
    variable_length = False
    extensions = ()
    image_spec = None

    def __init__(
        self,
        signature: Signature,
        *,
        names: Sequence[str],
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
    ) -> None:
        self.spec: TensorSpec = signature.inputs[0]
        self.specs = signature.inputs
        self.feature_names = tuple(names)
        self.row_spec = "columns", (len(names),)
        if self.spec.axes[1:] != (len(self.feature_names),) or self.spec.batch_axis != 0:
            raise ValueError(
                f"{len(self.feature_names)} columns do not match {self.spec.describe()}"
            )
        if len(mean) not in (0, len(names)) or len(std) != len(mean):
            raise ValueError("mean and std must have one number per column, or none")
        self.mean = np.asarray(mean or [0.0] * len(names), np.float64)
        self.std = np.asarray(std or [1.0] * len(names), np.float64)
        if not (self.std > 0).all():
            raise ValueError("std must be positive in every column")

    @property
    def input_description(self) -> str:
        count = len(self.feature_names)
        return "a number" if count == 1 else f"{count} numbers ({', '.join(self.feature_names)})"

    def transform(self, value: Any) -> Array:
        """float32 (columns,), standardised."""
        try:
            row = [float(item) for item in _items(value)]
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"{show_value(value)} is not {self.input_description}", code="E-TYPE"
            ) from error
        if len(row) != len(self.feature_names):
            raise InputError(
                f"the row has {pluralise(len(row), 'number')}; expected {self.input_description}",
                code="E-SHAPE",
            )
        for name, number in zip(self.feature_names, row, strict=True):
            if not math.isfinite(number):
                raise InputError(
                    f"{name} is {number}; expected a finite number", code="E-NONFINITE"
                )
        sample: Array = self.transform_rows(np.asarray([row], np.float64))[0]
        return sample

    def transform_rows(self, rows: Array, names: Sequence[str] = ()) -> Sequence[Array]:
        """float32 (rows, columns): `(rows − mean)/std`, computed in float64."""
        with np.errstate(over="ignore"):
            exact = (rows.astype(np.float64) - self.mean) / self.std
            result: Array = exact.astype(np.float32)
        if not np.isfinite(result).all():
            raise InputError("a number is too large for float32", code="E-RANGE")
        return list(result)

    def to_raw(self, row: Any, names: Sequence[str] = ()) -> RawInput:
        return tuple(map(float, row))

    def collate(self, samples: Sequence[Array]) -> dict[str, Array]:
        return {self.spec.name: np.stack(samples)}

    def probe_inputs(self) -> tuple[RawInput, ...]:
        """Rows around the mean; each column differs from its mean by another number of std."""
        steps = np.linspace(-1, 1, 2 * len(self.feature_names) + 1)[-len(self.feature_names) :]
        return tuple(
            tuple((self.mean + factor * steps * self.std).tolist()) for factor in (0.0, 1.0, -1.5)
        )


def _items(value: Any) -> Iterable[Any]:
    """The numbers of a row, of any type; TypeError for an array of several dimensions."""
    if isinstance(value, str):
        return value.split(",")
    dimensions = np.ndim(value)  # 0 for a dict, a set or bytes
    if dimensions > 1:
        raise TypeError(f"it has {dimensions} dimensions; expected 1")
    return list(value) if dimensions else [value]
