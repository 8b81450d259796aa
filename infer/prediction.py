"""The result of a prediction: `Prediction`, or `Failure` for an unusable input among many."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ptx.infer.boxes import LabelledBox
from ptx.infer.errors import PtxError, UsageError
from ptx.infer.signature import Array
from ptx.infer.tasks import Ranking

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_ASCII_ENCODER = json.JSONEncoder(allow_nan=False)


Box = tuple[float, float, float, float]
"""Left, top, right and bottom, as fractions of the image's width and height."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction for one input: a label with its score, a value, a vector, a class map or boxes.

    Attributes:
        label: None if the task has no label for the input: regression, embedding, segmentation, boxes.
        score: Probability of the label, in [0, 1]; None without a label.
        top: (label, score) of the most probable labels, best first; of a segmentation (label, share of
            the pixels) of every label, largest first.
        value: The result of a regression, in the unit of its training data; else None.
        model: The model's name.
        backend: The backend's name.
        input: The path or text; None if the input has no name.
        box: Where the digit is, if the image was searched for several digits; else None.
        ignored_regions: Regions of the image that were not classified: they look handwritten, but are
            much smaller than its digits. Not in the JSON.
        compute_error_probability: Computes `error_probability`; None for a model that was not
            calibrated.
        vector: float32 (size,), of an embedding; else None.
        class_map: uint8 or uint16 (height, width), of a segmentation, the index of the label of each
            pixel of the network's output; else None. Not in the JSON.
        boxes: Of the task boxes, those with at least the threshold's score, best first; else None.
    """

    label: str | None
    score: float | None
    top: Ranking
    value: float | None
    model: str
    backend: str
    input: str | None = None
    box: Box | None = None
    compute_error_probability: Callable[[], float | None] | None = field(
        default=None, repr=False, compare=False
    )
    ignored_regions: tuple[Box, ...] = ()
    vector: Array | None = field(default=None, compare=False)
    class_map: Array | None = field(default=None, compare=False)
    boxes: tuple[LabelledBox, ...] | None = None

    @property
    def error_probability(self) -> float | None:
        """The probability that the label is wrong, computed on access; None if it is not known."""
        return None if self.compute_error_probability is None else self.compute_error_probability()

    @property
    def low_confidence(self) -> bool | None:
        """Whether the label is more probably wrong than right; None for a regression.

        False for a model that was not calibrated.
        """
        return None if self.label is None else (self.error_probability or 0.0) > 0.5

    @property
    def is_array(self) -> bool:
        """Whether it is a vector, a class map or boxes, which no column of a table takes."""
        return not (self.vector is None and self.class_map is None and self.boxes is None)

    @property
    def text(self) -> str:
        """The label, the value to six digits, the shares of labels, the first numbers, or the boxes."""
        if self.boxes is not None:
            return "; ".join(map(_box_text, self.boxes)) or "no box has the threshold's score"
        if self.vector is not None:
            first = ", ".join(f"{number:.4g}" for number in self.vector[:4])
            return f"{first}, … ({len(self.vector)} numbers)" if len(self.vector) > 4 else first
        if self.class_map is not None:
            present = [(label, share) for label, share in self.top if share]
            return ", ".join(f"{label} ({100 * share:.1f} %)" for label, share in present)
        return self.label or "" if self.value is None else f"{self.value:.6g}"

    def cosine(self, other: Prediction) -> float:
        """The cosine of the vectors of two embeddings, -1 to 1; 0 if one of them is 0.

        Raises:
            UsageError: one is not an embedding, or their sizes differ.
        """
        if self.vector is None or other.vector is None or len(self.vector) != len(other.vector):
            raise UsageError(
                "the cosine is of two vectors of the same size: use the task 'embedding'"
            )
        first, second = self.vector.astype("float64"), other.vector.astype("float64")
        length = math.sqrt(float(first @ first) * float(second @ second))
        return float(first @ second) / length if length else 0.0

    def to_data(self) -> dict[str, Any]:
        """The JSON object of the command line's `--json`.

        A label has `label`, `score`, `top` and `low_confidence`, a regression has `value`, an embedding
        `vector`, a segmentation `classes` with the share of every label, also of one without pixels, and
        `size` of the class map; the task boxes has `boxes`, a list of `label`, `score` and `box` in
        pixels.
        """
        if self.boxes is not None:
            found = [
                {
                    "label": each.label,
                    "score": each.score,
                    "box": [round(side, 2) for side in each.box],
                }
                for each in self.boxes
            ]
            result: dict[str, Any] = {"boxes": found}
        elif self.vector is not None:
            vector = [_finite(number) for number in self.vector.tolist()]
            result = {"vector": vector}
        elif self.class_map is not None:
            classes = [{"label": label, "share": share} for label, share in self.top]
            result = {"classes": classes, "size": list(self.class_map.shape)}
        elif self.value is not None:
            result = {"value": _finite(self.value)}
        else:
            top = [{"label": label, "score": score} for label, score in self.top]
            result = {"label": self.label, "score": self.score, "top": top}
            result["low_confidence"] = self.low_confidence
        box = {} if self.box is None else {"box": [round(side, 4) for side in self.box]}
        return {
            "input": self.input,
            **box,
            **result,
            "model": self.model,
            "backend": self.backend,
        }

    def to_json(self, *, ensure_ascii: bool = False) -> str:
        """`to_data` as one line of JSON."""
        return (_ASCII_ENCODER if ensure_ascii else _ENCODER).encode(self.to_data())


def _box_text(box: LabelledBox) -> str:
    """`cat (93.1 %) at 10 20 110 220`, in pixels."""
    sides = " ".join(f"{side:.0f}" for side in box.box)
    return f"{box.label} ({100 * box.score:.1f} %) at {sides}"


def _finite(number: float) -> float | None:
    """The number; None, which JSON has, instead of infinities and NaN."""
    return number if math.isfinite(number) else None


@dataclass(frozen=True, slots=True)
class NamedInput:
    """A value with the name that its prediction gets as `input`: `patients.csv, line 3`.

    If the value is an `InputError`, the result is a `Failure` with this name.

    Attributes:
        cells: Of the row of a table that it comes from, by title.
    """

    name: str
    value: Any
    cells: Mapping[str, str] | None = None


def split_name(value: Any) -> tuple[str | None, Any]:
    """The name for the prediction of an input, and the input itself."""
    return (
        (value.name, value.value) if isinstance(value, NamedInput) else (input_name(value), value)
    )


def input_name(value: Any) -> str | None:
    """The name of an input in its prediction: the path, text or number; None for other types."""
    if isinstance(value, str):
        return value
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**64):
        return str(value)
    return None


@dataclass(frozen=True, slots=True)
class Failure:
    """An input among many that could not be used."""

    error: PtxError
    input: str | None = None

    def to_data(self) -> dict[str, Any]:
        """The JSON object of the command line's `--json`."""
        return {"input": self.input, "error": str(self.error), "code": self.error.code}

    def to_json(self, *, ensure_ascii: bool = False) -> str:
        """`to_data` as one line of JSON."""
        return (_ASCII_ENCODER if ensure_ascii else _ENCODER).encode(self.to_data())
