"""The card: the JSON that a file carries about itself.

It is data: parsed under limits of size and depth, checked field by field, never evaluated.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from ptx.infer.errors import ArtifactError, quoted
from ptx.infer.signature import Array, Signature

FORMAT = 1  # raised when a reader of an older ptx would misread the card
SIZE_LIMIT = 8 * 2**20  # bytes of JSON
DEPTH_LIMIT = 32  # of nested lists and objects

# The closing quote is optional: so a text that lacks it is walked once too.
_STRINGS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKETS = re.compile(r"[\[\]{}]")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")

T = TypeVar("T")


@dataclass(frozen=True)
class GoldenSample:
    """Inputs with the outputs that the model gives them in float64."""

    inputs: dict[str, Array]
    outputs: dict[str, Array]  # float64
    tolerance: dict[str, float]  # output name → largest absolute difference that is accepted


@dataclass(frozen=True)
class Card:
    """What an artifact or a checkpoint says about itself."""

    model: str  # name in the catalog
    task: str  # a key of `ptx.infer.tasks.TASKS`
    signature: Signature
    preprocessing: dict[str, Any]  # see `ptx.infer.preprocessing`
    labels: tuple[str, ...] = ()  # empty for a regression
    config: dict[str, Any] = field(default_factory=dict)  # keyword arguments of the network's class
    training: dict[str, Any] = field(default_factory=dict)  # data, recipe, seed, epochs, metrics
    weights_sha256: str = ""  # of the state dict, see `ptx.models.checkpoint.weights_digest`
    checkpoint_sha256: str = ""  # of the checkpoint file that was exported
    versions: dict[str, str] = field(default_factory=dict)  # of ptx, torch, onnx, the opset, ...
    agreement: dict[str, Any] = field(default_factory=dict)  # grid, tolerance, largest errors
    golden: tuple[GoldenSample, ...] = ()

    def to_json(self) -> str:
        """The JSON text that is stored in the file.

        Raises:
            ArtifactError: a label or the name holds a control character.
        """
        try:
            check_lines((self.model, *self.labels))
        except ValueError as error:
            raise ArtifactError(f"the card of {self.model!r}: {error}", code="E-CARD") from error
        data = {
            "format": FORMAT,
            "model": self.model,
            "task": self.task,
            "signature": self.signature.to_data(),
            "preprocessing": self.preprocessing,
            "labels": list(self.labels),
            "config": self.config,
            "training": self.training,
            "weights_sha256": self.weights_sha256,
            "checkpoint_sha256": self.checkpoint_sha256,
            "versions": self.versions,
            "agreement": self.agreement,
            "golden": [_sample_to_data(sample) for sample in self.golden],
        }
        return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: bytes, *, name: str) -> Card:
        """The card in `text`, which comes out of the file `name`.

        Raises:
            ArtifactError: it is not JSON, too large, too deep, of a newer format, or not a card.
        """
        data = parse_json(text, name=name)
        try:
            version = _take(data, "format", int)
            if version != FORMAT:
                raise ValueError(f"format is {version}; this ptx reads {FORMAT}")
            check_lines((_take(data, "model", str), *_strings(data, "labels")))
            return cls(
                model=_take(data, "model", str),
                task=_take(data, "task", str),
                signature=Signature.from_data(_take(data, "signature", dict)),
                preprocessing=_take(data, "preprocessing", dict),
                labels=tuple(_strings(data, "labels")),
                config=_take(data, "config", dict),
                training=_training(data),
                weights_sha256=_take(data, "weights_sha256", str),
                checkpoint_sha256=_take(data, "checkpoint_sha256", str),
                versions=_take(data, "versions", dict),
                agreement=_agreement(data),
                golden=tuple(_sample_from_data(item) for item in _take(data, "golden", list)),
            )
        except ValueError as error:
            raise ArtifactError(f"{name}: its card is not valid: {error}", code="E-CARD") from error


def parse_json(text: bytes, *, name: str, what: str = "its card") -> dict[str, Any]:
    """A JSON object under limits; NaN and duplicate keys are refused. `what`: it, in messages.

    Raises:
        ArtifactError: it is not such an object.
    """
    try:
        if len(text) > SIZE_LIMIT:
            raise ValueError(f"it has {len(text):,} bytes; at most {SIZE_LIMIT:,} are read")
        decoded = text.decode("utf-8")
        _check_depth(decoded)
        data = json.loads(
            decoded,
            parse_constant=_no_constant,
            parse_float=_finite,
            object_pairs_hook=_unique,
        )
        if not isinstance(data, dict):
            raise ValueError(f"it is a {type(data).__name__}; expected an object")
    except ValueError as error:
        raise ArtifactError(f"{name}: {what} is not valid JSON: {error}", code="E-CARD") from error
    return data


def _check_depth(text: str) -> None:
    """Refuse what is nested too deep before the parser recurses into it."""
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", text)):
        if bracket in "]}":
            depth -= 1
            continue
        depth += 1
        if depth > DEPTH_LIMIT:
            raise ValueError(f"it is nested more than {DEPTH_LIMIT} deep")


def _no_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large for a number")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return result


def _take(data: Mapping[str, Any], key: str, kind: type[T]) -> T:
    value = data.get(key)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        got = "missing" if key not in data else f"a {type(value).__name__}"
        raise ValueError(f"{key!r} is {got}; expected {kind.__name__}")
    return value


def _strings(data: Mapping[str, Any], key: str) -> list[str]:
    values = _take(data, key, list)
    if not all(isinstance(value, str) for value in values):
        raise ValueError(f"{key!r} holds something that is not text")
    return values


def check_lines(texts: Iterable[str]) -> None:
    """ValueError for what would do something to the terminal that shows it, or fill lines of its own."""
    for text in texts:
        if _CONTROL.search(text):
            raise ValueError(f"{quoted(text)} holds a control character; expected a line of text")


def _training(data: Mapping[str, Any]) -> dict[str, Any]:
    training = _take(data, "training", dict)
    for key in ("data", "recipe", "metrics"):
        if key in training:
            _take(training, key, dict)
    return training


def _agreement(data: Mapping[str, Any]) -> dict[str, Any]:
    agreement = _take(data, "agreement", dict)
    if agreement:
        _take(agreement, "cases", int)
        backends = _take(agreement, "backends", dict)
        for outputs in (_take(backends, name, dict) for name in backends):
            for found in (_take(outputs, name, dict) for name in outputs):
                _take(found, "error", float)
                _take(found, "tolerance", float)
    return agreement


def _sample_to_data(sample: GoldenSample) -> dict[str, Any]:
    return {
        "inputs": {name: _array_to_data(array) for name, array in sample.inputs.items()},
        "outputs": {name: _array_to_data(array) for name, array in sample.outputs.items()},
        "tolerance": sample.tolerance,
    }


def _sample_from_data(data: Any) -> GoldenSample:
    if not isinstance(data, dict):
        raise ValueError("a golden sample is not an object")
    tolerance = _take(data, "tolerance", dict)
    for value in tolerance.values():
        if type(value) not in (float, int) or not 0 <= value < math.inf:
            raise ValueError(f"a tolerance is {value!r}; expected a number of at least 0")
    return GoldenSample(
        {name: _array_from_data(item) for name, item in _take(data, "inputs", dict).items()},
        {name: _array_from_data(item) for name, item in _take(data, "outputs", dict).items()},
        tolerance,
    )


def _array_to_data(array: Array) -> dict[str, Any]:
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "base64": base64.b64encode(little.tobytes()).decode("ascii"),
    }


def _array_from_data(data: Any) -> Array:
    if not isinstance(data, dict):
        raise ValueError("an array is not an object")
    dtype = _take(data, "dtype", str)
    shape = _take(data, "shape", list)
    if dtype not in {"float32", "float64", "int64"}:
        raise ValueError(f"an array has dtype {dtype!r}")
    if not all(type(size) is int and 0 <= size < 2**31 for size in shape):
        raise ValueError(f"an array has shape {shape}")
    content = base64.b64decode(_take(data, "base64", str), validate=True)
    if len(content) != math.prod(shape) * np.dtype(dtype).itemsize:
        raise ValueError(f"an array of shape {shape} has {len(content)} bytes")
    array = np.frombuffer(content, dtype=np.dtype(dtype).newbyteorder("<")).reshape(shape)
    return array.astype(dtype)
