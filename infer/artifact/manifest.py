"""The manifest: JSON metadata that is stored in a model file.

It is parsed with limits on size and depth, and every field is checked.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ptx.infer.artifact.golden import (
    EndToEndSample,
    GoldenSample,
    end_to_end_to_data,
    golden_to_data,
    require_field,
    samples_digest,
    samples_from_data,
)
from ptx.infer.errors import ArtifactError, quote
from ptx.infer.signature import Signature

if TYPE_CHECKING:
    from ptx.infer.artifact.accuracy import AccuracyComparison

FORMAT = 1  # version of the JSON; other versions are rejected
SIZE_LIMIT = 8 * 2**20  # bytes of JSON
DEPTH_LIMIT = 32  # nesting of lists and objects
COMPUTES = ("int8",)  # arithmetic other than the native precision of the network

# The closing quote is optional, so that an unterminated string is scanned only once.
_STRINGS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKETS = re.compile(r"[\[\]{}]")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class Manifest:
    """The metadata of an artifact or a checkpoint.

    Attributes:
        model: Name in the catalog.
        task: A key of `ptx.infer.tasks.TASKS`.
        preprocessing: See `ptx.infer.preprocessing`.
        labels: Class names; empty for a regression.
        config: Keyword arguments of the network's class.
        training: Data, recipe, seed, epochs, metrics.
        weights_sha256: Digest of the state dict, see `ptx.models.checkpoint.weights_digest`.
        checkpoint_sha256: Digest of the exported checkpoint file.
        versions: Versions of ptx, torch, onnx, the opset, ...
        verification: Test cases, tolerances and largest errors of the equivalence check.
        end_to_end: Empty if the model has no preprocessing, or its inputs are too large to store.
        weights: The dtype of quantized weights, `float16` or `int8`; empty if not quantized.
        compute: One of COMPUTES if the file computes in it and is accepted by accuracy; else empty.
        calibration: See `ptx.infer.calibration`; empty if the model was not calibrated.
        boxes: See `ptx.infer.boxes`; empty for another task.
    """

    model: str
    task: str
    signature: Signature
    preprocessing: dict[str, Any]
    labels: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""
    checkpoint_sha256: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    verification: dict[str, Any] = field(default_factory=dict)
    golden: tuple[GoldenSample, ...] = ()
    end_to_end: tuple[EndToEndSample, ...] = ()
    weights: str = ""
    compute: str = ""
    calibration: dict[str, Any] = field(default_factory=dict)
    boxes: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The JSON text that is stored in the file.

        Raises:
            ArtifactError: a label or the name contains a control character.
        """
        try:
            check_lines((self.model, self.weights, *self.labels))
        except ValueError as error:
            raise ArtifactError(
                f"the manifest of {self.model!r}: {error}", code="E-MANIFEST"
            ) from error
        data = {
            "format": FORMAT,
            **self.defining_fields(),
            "training": self.training,
            "checkpoint_sha256": self.checkpoint_sha256,
            "versions": self.versions,
            "verification": self.verification,
            "golden": [golden_to_data(sample) for sample in self.golden],
            "end_to_end": [end_to_end_to_data(sample) for sample in self.end_to_end],
            **({"calibration": self.calibration} if self.calibration else {}),
            **({"weights": self.weights} if self.weights else {}),
        }
        return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    def defining_fields(self) -> dict[str, Any]:
        """The fields, as JSON data, that determine the predictions."""
        return {
            "model": self.model,
            "task": self.task,
            "signature": self.signature.to_data(),
            "preprocessing": self.preprocessing,
            "labels": list(self.labels),
            "config": self.config,
            "weights_sha256": self.weights_sha256,
            **({"compute": self.compute} if self.compute else {}),
            **({"boxes": self.boxes} if self.boxes else {}),
        }

    @property
    def quantization(self) -> AccuracyComparison | None:
        """How int8 changed the predictions; None if the file does not compute in int8."""
        return _read_accuracy(self.verification) if self.compute else None

    @property
    def fingerprint(self) -> str:
        """The sha256 of `defining_fields`; stored as `verification.fingerprint`."""
        text = json.dumps(self.defining_fields(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def samples_sha256(self) -> str:
        """The sha256 of all golden samples; stored as `verification.samples`."""
        return samples_digest(self.golden, self.end_to_end)

    @classmethod
    def from_json(cls, text: bytes, *, name: str) -> Manifest:
        """Parse the manifest `text` of the file `name`.

        Raises:
            ArtifactError: it is not JSON, too large, too deep, of a newer format, or not a manifest.
        """
        data = parse_json(text, name=name)
        try:
            version = require_field(data, "format", int)
            if version != FORMAT:
                raise ValueError(f"format is {version}; this ptx reads {FORMAT}")
            optional = {"weights": "", "compute": "", "calibration": {}, "boxes": {}}
            data = {**optional, **data}
            names = (require_field(data, "model", str), require_field(data, "weights", str))
            _check_compute(data)
            check_lines((*names, *_strings(data, "labels")))
            golden, end_to_end = samples_from_data(data)
            return cls(
                model=require_field(data, "model", str),
                task=require_field(data, "task", str),
                signature=Signature.from_data(require_field(data, "signature", dict)),
                preprocessing=require_field(data, "preprocessing", dict),
                labels=tuple(_strings(data, "labels")),
                config=require_field(data, "config", dict),
                training=_training(data),
                weights_sha256=require_field(data, "weights_sha256", str),
                checkpoint_sha256=require_field(data, "checkpoint_sha256", str),
                versions=require_field(data, "versions", dict),
                verification=_verification(data),
                golden=golden,
                end_to_end=end_to_end,
                weights=require_field(data, "weights", str),
                compute=require_field(data, "compute", str),
                calibration=require_field(data, "calibration", dict),
                boxes=require_field(data, "boxes", dict),
            )
        except ValueError as error:
            raise ArtifactError(
                f"{name}: its manifest is not valid: {error}", code="E-MANIFEST"
            ) from error


def parse_json(text: bytes, *, name: str, what: str = "its manifest") -> dict[str, Any]:
    """Parse a JSON object with limits; NaN and duplicate keys are errors. `what`: its name in messages.

    Raises:
        ArtifactError: it is not valid.
    """
    try:
        if len(text) > SIZE_LIMIT:
            raise ValueError(f"it has {len(text):,} bytes; expected at most {SIZE_LIMIT:,}")
        decoded = text.decode("utf-8")
        _check_depth(decoded)
        data = json.loads(
            decoded,
            parse_constant=_no_constant,
            parse_float=_parse_finite,
            object_pairs_hook=_make_unique,
        )
        if not isinstance(data, dict):
            raise ValueError(f"it is a {type(data).__name__}; expected an object")
    except ValueError as error:
        raise ArtifactError(
            f"{name}: {what} is not valid JSON: {error}", code="E-MANIFEST"
        ) from error
    return data


def _check_depth(text: str) -> None:
    """Reject deep nesting before the parser recurses into it."""
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", text)):
        if bracket in "]}":
            depth -= 1
            continue
        depth += 1
        if depth > DEPTH_LIMIT:
            raise ValueError(f"it is nested more than {DEPTH_LIMIT} deep")


def _no_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not valid JSON")


def _parse_finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large for a number")
    return number


def _make_unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object contains a key twice")
    return result


def _strings(data: Mapping[str, Any], key: str) -> list[str]:
    values = require_field(data, key, list)
    if not all(isinstance(value, str) for value in values):
        raise ValueError(f"{key!r} contains a value that is not text")
    return values


def check_lines(texts: Iterable[str]) -> None:
    """ValueError for control characters and line breaks: the texts are shown in a terminal."""
    for text in texts:
        if _CONTROL.search(text):
            raise ValueError(f"{quote(text)} contains a control character; expected a line of text")


def _check_compute(data: Mapping[str, Any]) -> None:
    """ValueError unless `compute` is known and comes with an accuracy comparison."""
    compute, verification = (
        require_field(data, "compute", str),
        require_field(data, "verification", dict),
    )
    if compute not in ("", *COMPUTES):
        raise ValueError(f"it computes in {quote(compute)}; expected {', '.join(COMPUTES)}")
    if bool(compute) != ("quantization" in verification):
        raise ValueError(
            "'verification' must have 'quantization' if and only if the file computes in int8"
        )
    if compute:
        _read_accuracy(verification)


def _read_accuracy(verification: Mapping[str, Any]) -> AccuracyComparison:
    """Parse the accuracy comparison; its module is imported only if needed."""
    from ptx.infer.artifact.accuracy import AccuracyComparison

    return AccuracyComparison.from_data(require_field(verification, "quantization", dict))


def _training(data: Mapping[str, Any]) -> dict[str, Any]:
    training = require_field(data, "training", dict)
    for key in ("data", "recipe", "metrics"):
        if key in training:
            require_field(training, key, dict)
    if "test" in training:
        _check_test(require_field(training, "test", dict))
    if "selected" in training:  # how the settings of a bare state dict were found
        require_field(require_field(training, "selected", dict), "data", str)
    return training


def _check_test(test: Mapping[str, Any]) -> None:
    """ValueError unless `test` has the form of `ptx.trainers.recorded_metrics`."""
    for key in ("data", "sha256"):
        require_field(test, key, str)
    require_field(test, "rows", int)
    for key in ("accuracy", "rmse"):
        if key in test:
            require_field(test, key, float)


def _verification(data: Mapping[str, Any]) -> dict[str, Any]:
    verification = require_field(data, "verification", dict)
    if verification:
        require_field(verification, "cases", int)
        require_field({"examples_omitted": 0, **verification}, "examples_omitted", int)
        for key in ("fingerprint", "samples"):
            require_field(verification, key, str)
        backends = require_field(verification, "backends", dict)
        for outputs in (require_field(backends, name, dict) for name in backends):
            for result in (require_field(outputs, name, dict) for name in outputs):
                require_field(result, "error", float)
                require_field(result, "tolerance", float)
    return verification
