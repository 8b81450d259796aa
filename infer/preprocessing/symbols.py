"""From words over a small alphabet to indices or one-hot rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any

import numpy as np

from ptx.infer.artifact.golden import RawInput
from ptx.infer.errors import InputError
from ptx.infer.preprocessing import show_value
from ptx.infer.signature import Array, Signature, TensorSpec


class SymbolsPreprocessing:
    """Each character is a symbol of the alphabet: its index, or a one-hot row for a float input."""

    plural = "sequences"
    dimensions = 1
    extensions = feature_names = ()
    variable_length = False
    image_spec = None
    row_spec = "sequence", ()

    def __init__(self, signature: Signature, *, alphabet: Sequence[str]) -> None:
        self.specs = signature.inputs
        self.spec: TensorSpec = signature.inputs[0]
        self.alphabet = tuple(alphabet)
        if len(set(self.alphabet)) != len(self.alphabet):
            raise ValueError("the alphabet contains a symbol twice")
        if self.spec.dtype == "float32" and self.spec.axes[-1] != len(self.alphabet):
            raise ValueError(f"{len(self.alphabet)} symbols do not match {self.spec.describe()}")

    @property
    def input_description(self) -> str:
        return f"a word with the letters {', '.join(self.alphabet)}"

    def transform(self, value: Any) -> Array:
        """int64 (length,): the index of each symbol."""
        if (
            isinstance(value, np.ndarray)
            and value.dtype.kind in "iu"
            and value.ndim == 1
            and len(value)
        ):
            if value.min() < 0 or value.max() >= len(self.alphabet):
                raise InputError(
                    f"the row has an index outside 0 to {len(self.alphabet) - 1}", code="E-RANGE"
                )
            return value.astype(np.int64)
        if not isinstance(value, str) or not value:
            raise InputError(f"{show_value(value)} is not {self.input_description}", code="E-TYPE")
        try:
            return np.asarray([self.alphabet.index(char) for char in value], np.int64)
        except ValueError as error:
            raise InputError(
                f"{show_value(value)} is not {self.input_description}", code="E-RANGE"
            ) from error

    def transform_rows(self, rows: Array, names: Sequence[str] = ()) -> Sequence[Array]:
        """The rows are indices into `names` if given, else into the alphabet."""
        return [self.transform(self.to_raw(row, names)) for row in rows] if names else list(rows)

    def to_raw(self, row: Any, names: Sequence[str] = ()) -> RawInput:
        return "".join((names or self.alphabet)[index] for index in row)

    def collate(self, samples: Sequence[Array]) -> dict[str, Array]:
        batch = np.stack(samples)
        if self.spec.dtype == "float32":
            batch = np.eye(len(self.alphabet), dtype=np.float32)[batch]
        return {self.spec.name: self.spec.place_batch(batch)}

    def probe_inputs(self) -> tuple[RawInput, ...]:
        """The alphabet forwards and backwards, repeated or cut to a fixed length if there is one."""
        letters = [symbol for symbol in self.alphabet if len(symbol) == 1]
        length = self.spec.sample_axes[0] if self.spec.sample_axes else 0
        count = length if isinstance(length, int) else len(letters)
        words = ("".join(islice(cycle(order), count)) for order in (letters, letters[::-1]))
        return tuple(word for word in words if word)
