"""Rows of numbers to input arrays."""

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
    """A fixed number of columns, each standardised by its mean and standard deviation where given.

    A value is a number, a text that is one, a sequence or 1-D array of `count` of them, or for several
    columns a text of numbers with commas between them.
    """

    noun = "rows"
    dimensions = 1
    pads = False
    suffixes = ()
    pictures = None

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
        self.columns = tuple(names)
        self.rows = "columns", (len(names),)
        if self.spec.axes[1:] != (len(self.columns),) or self.spec.batch_axis != 0:
            raise ValueError(f"{len(self.columns)} columns do not fill {self.spec.describe()}")
        if len(mean) not in (0, len(names)) or len(std) != len(mean):
            raise ValueError("mean and std have a number for each column, or none")
        self.mean = np.asarray(mean or [0.0] * len(names), np.float64)
        self.std = np.asarray(std or [1.0] * len(names), np.float64)
        if not (self.std > 0).all():
            raise ValueError("std has a number that is not positive")

    @property
    def expects(self) -> str:
        count = len(self.columns)
        return "a number" if count == 1 else f"{count} numbers ({', '.join(self.columns)})"

    def read(self, value: Any) -> Array:
        """float32 (columns,), standardised."""
        try:
            row = [float(item) for item in _items(value)]
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{show_value(value)} is not {self.expects}", code="E-TYPE") from error
        if len(row) != len(self.columns):
            raise InputError(
                f"the row has {pluralise(len(row), 'number')}; expected {self.expects}",
                code="E-SHAPE",
            )
        for name, number in zip(self.columns, row, strict=True):
            if not math.isfinite(number):
                raise InputError(
                    f"{name} is {number}; expected a finite number", code="E-NONFINITE"
                )
        sample: Array = self.read_rows(np.asarray([row], np.float64))[0]
        return sample

    def read_rows(self, rows: Array, names: Sequence[str] = ()) -> Sequence[Array]:
        """float32 (rows, columns) of raw numbers in any float dtype: `(rows − mean)/std`."""
        with np.errstate(over="ignore"):
            exact = (rows.astype(np.float64) - self.mean) / self.std
            result: Array = exact.astype(np.float32)
        if not np.isfinite(result).all():
            raise InputError("a number is too large for float32", code="E-RANGE")
        return list(result)

    def raw(self, row: Any, names: Sequence[str] = ()) -> RawInput:
        return tuple(map(float, row))

    def collate(self, samples: Sequence[Array]) -> dict[str, Array]:
        return {self.spec.name: np.stack(samples)}

    def examples(self) -> tuple[RawInput, ...]:
        """Rows around the mean, each column a step of its own away from it."""
        steps = np.linspace(-1, 1, 2 * len(self.columns) + 1)[-len(self.columns) :]
        return tuple(
            tuple((self.mean + factor * steps * self.std).tolist()) for factor in (0.0, 1.0, -1.5)
        )


def _items(value: Any) -> Iterable[Any]:
    """The numbers of a row, still of any type; TypeError for what has none or no order."""
    if isinstance(value, str):
        return value.split(",")
    dimensions = np.ndim(value)  # of a dict, a set or bytes: 0
    if dimensions > 1:
        raise TypeError(f"it has {dimensions} dimensions; a row has one")
    return list(value) if dimensions else [value]
