"""From texts to padded character codes and lengths."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

from ptx.infer.artifact.golden import RawInput
from ptx.infer.errors import InputError
from ptx.infer.signature import Array, Signature

LENGTH_LIMIT = 1000  # characters


class TextPreprocessing:
    """A text as ASCII codes, padded on the right to the longest text of the batch.

    Accents are removed (NFKD without combining marks: `Müller` → `Muller`). Characters that are
    still not ASCII become `unknown`.

    Args:
        unknown: The code of characters outside ASCII.
        padding: The code after the end of a text; the lengths are a second input.
    """

    input_description, plural = "a text", "texts"
    dimensions = 1
    extensions = feature_names = ()
    variable_length = True
    image_spec = None
    row_spec = "text", ()

    def __init__(
        self, signature: Signature, *, normalise: str, unknown: int, padding: int = 0
    ) -> None:
        if normalise != "NFKD":
            raise ValueError(f"normalise is {normalise!r}; known: NFKD")
        self.specs = signature.inputs
        self.characters, self.lengths = (spec.name for spec in signature.inputs)
        self.unknown, self.padding = int(unknown), int(padding)

    def transform(self, value: Any) -> Array:
        """int64 (length,): the code of each character."""
        if isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.ndim == 1:
            return self._codes(value)
        if not isinstance(value, str):
            raise InputError(f"the input is a {type(value).__name__}; expected text", code="E-TYPE")
        if len(value) > LENGTH_LIMIT:
            raise InputError(
                f"the text has {len(value):,} characters; expected at most {LENGTH_LIMIT:,}",
                code="E-RANGE",
            )
        decomposed = unicodedata.normalize("NFKD", value.strip())
        codes = [
            ord(char) if 32 <= ord(char) < 127 else self.unknown
            for char in decomposed
            if not unicodedata.combining(char)
        ]
        if not codes:
            raise InputError("the text is empty; expected at least one character", code="E-EMPTY")
        return np.asarray(codes, np.int64)

    def _codes(self, value: Array) -> Array:
        """Codes that the caller computed, without the padding at their end."""
        used = np.flatnonzero(value != self.padding)
        if not used.size:
            raise InputError("the row of codes is empty; expected characters", code="E-EMPTY")
        return value[: used[-1] + 1].astype(np.int64)

    def transform_rows(self, rows: Array, names: Sequence[str] = ()) -> Sequence[Array]:
        return [self.transform(text) for text in rows.tolist()]

    def to_raw(self, row: Any, names: Sequence[str] = ()) -> RawInput:
        return str(row)

    def collate(self, samples: Sequence[Array]) -> dict[str, Array]:
        lengths = np.asarray([len(sample) for sample in samples], np.int64)
        codes = np.full((len(samples), int(lengths.max())), self.padding, np.int64)
        for row, sample in zip(codes, samples, strict=True):
            row[: len(sample)] = sample
        return {self.characters: codes, self.lengths: lengths}

    def probe_inputs(self) -> tuple[RawInput, ...]:
        """Texts of several lengths, with accents and with characters that become `unknown`."""
        return "Zoë", "Łukasiewicz ☃", " O'Neill-Müller "
