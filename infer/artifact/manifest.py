"""The manifest: the JSON that a file carries about itself.

It is data: parsed under limits of size and depth, checked field by field, never evaluated.
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
    samples_digest,
    samples_from_data,
    take,
)
from ptx.infer.errors import ArtifactError, quote
from ptx.infer.signature import Signature

if TYPE_CHECKING:
    from ptx.infer.artifact.accuracy import AccuracyComparison

FORMAT = 1  # of the JSON; any other is refused
SIZE_LIMIT = 8 * 2**20  # bytes of JSON
DEPTH_LIMIT = 32  # of nested lists and objects
COMPUTES = ("int8",)  # what a file may compute in beside its network's own precision

# The closing quote is optional: so a text that lacks it is walked once too.
_STRINGS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKETS = re.compile(r"[\[\]{}]")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class Manifest:
    """What an artifact or a checkpoint says about itself.

    Attributes:
        model: Name in the catalog.
        task: A key of `ptx.infer.tasks.TASKS`.
        preprocessing: See `ptx.infer.preprocessing`.
        labels: Empty for a regression.
        config: Keyword arguments of the network's class.
        training: Data, recipe, seed, epochs, metrics.
        weights_sha256: Of the state dict, see `ptx.models.checkpoint.weights_digest`.
        checkpoint_sha256: Of the checkpoint file that was exported.
        versions: Of ptx, torch, onnx, the opset, ...
        verification: Grid, tolerance, largest errors.
        raw: Empty if the model has no preprocessing, or its inputs are too large to be stored.
        weights: What they were rounded to: `float16`, `int8`; empty as they were trained.
        compute: A key of COMPUTES where the file computes so, and is held by its accuracy; else empty.
        calibration: See `ptx.infer.calibration`; empty if the model was not calibrated.
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

    def to_json(self) -> str:
        """The JSON text that is stored in the file.

        Raises:
            ArtifactError: a label or the name holds a control character.
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
        """What the manifest says of the model, as data: all that an answer depends on."""
        return {
            "model": self.model,
            "task": self.task,
            "signature": self.signature.to_data(),
            "preprocessing": self.preprocessing,
            "labels": list(self.labels),
            "config": self.config,
            "weights_sha256": self.weights_sha256,
            **({"compute": self.compute} if self.compute else {}),
        }

    @property
    def quantization(self) -> AccuracyComparison | None:
        """What int8 changed in the predictions; None if the file does not compute in int8."""
        return _read_accuracy(self.verification) if self.compute else None

    @property
    def fingerprint(self) -> str:
        """Of the statement as JSON with sorted keys; the proof notes it as
        `verification.fingerprint`.
        """
        text = json.dumps(self.defining_fields(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def samples_sha256(self) -> str:
        """Of the golden samples, raw ones too; the proof notes it as `verification.samples`."""
        return samples_digest(self.golden, self.end_to_end)

    @classmethod
    def from_json(cls, text: bytes, *, name: str) -> Manifest:
        """The manifest in `text`, which comes out of the file `name`.

        Raises:
            ArtifactError: it is not JSON, too large, too deep, of a newer format, or not a manifest.
        """
        data = parse_json(text, name=name)
        try:
            version = take(data, "format", int)
            if version != FORMAT:
                raise ValueError(f"format is {version}; this ptx reads {FORMAT}")
            data = {"weights": "", "compute": "", "calibration": {}, **data}  # optional fields
            names = (take(data, "model", str), take(data, "weights", str))
            _check_compute(data)
            check_lines((*names, *_strings(data, "labels")))
            golden, end_to_end = samples_from_data(data)
            return cls(
                model=take(data, "model", str),
                task=take(data, "task", str),
                signature=Signature.from_data(take(data, "signature", dict)),
                preprocessing=take(data, "preprocessing", dict),
                labels=tuple(_strings(data, "labels")),
                config=take(data, "config", dict),
                training=_training(data),
                weights_sha256=take(data, "weights_sha256", str),
                checkpoint_sha256=take(data, "checkpoint_sha256", str),
                versions=take(data, "versions", dict),
                verification=_verification(data),
                golden=golden,
                end_to_end=end_to_end,
                weights=take(data, "weights", str),
                compute=take(data, "compute", str),
                calibration=take(data, "calibration", dict),
            )
        except ValueError as error:
            raise ArtifactError(
                f"{name}: its manifest is not valid: {error}", code="E-MANIFEST"
            ) from error


def parse_json(text: bytes, *, name: str, what: str = "its manifest") -> dict[str, Any]:
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


def _parse_finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large for a number")
    return number


def _make_unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return result


def _strings(data: Mapping[str, Any], key: str) -> list[str]:
    values = take(data, key, list)
    if not all(isinstance(value, str) for value in values):
        raise ValueError(f"{key!r} holds something that is not text")
    return values


def check_lines(texts: Iterable[str]) -> None:
    """ValueError for what would do something to the terminal that shows it, or fill lines of its own."""
    for text in texts:
        if _CONTROL.search(text):
            raise ValueError(f"{quote(text)} holds a control character; expected a line of text")


def _check_compute(data: Mapping[str, Any]) -> None:
    """What the file computes in is known, and its proof says how its accuracy was found."""
    compute, verification = take(data, "compute", str), take(data, "verification", dict)
    if compute not in ("", *COMPUTES):
        raise ValueError(f"it computes in {quote(compute)}; this ptx knows {', '.join(COMPUTES)}")
    if bool(compute) != ("quantization" in verification):
        raise ValueError(
            "a file that computes in int8, and it alone, says its accuracy in 'verification'"
        )
    if compute:
        _read_accuracy(verification)


def _read_accuracy(verification: Mapping[str, Any]) -> AccuracyComparison:
    """Imported here, since few files need it."""
    from ptx.infer.artifact.accuracy import AccuracyComparison

    return AccuracyComparison.from_data(take(verification, "quantization", dict))


def _training(data: Mapping[str, Any]) -> dict[str, Any]:
    training = take(data, "training", dict)
    for key in ("data", "recipe", "metrics"):
        if key in training:
            take(training, key, dict)
    if "test" in training:
        _check_test(take(training, "test", dict))
    return training


def _check_test(test: Mapping[str, Any]) -> None:
    """The record of what the model reached on its test rows, see `ptx.trainers.recorded_metrics`."""
    for key in ("data", "sha256"):
        take(test, key, str)
    take(test, "rows", int)
    for key in ("accuracy", "rmse"):
        if key in test:
            take(test, key, float)


def _verification(data: Mapping[str, Any]) -> dict[str, Any]:
    verification = take(data, "verification", dict)
    if verification:
        take(verification, "cases", int)
        take({"examples_left_out": 0, **verification}, "examples_left_out", int)
        for key in ("fingerprint", "samples"):
            take(verification, key, str)
        backends = take(verification, "backends", dict)
        for outputs in (take(backends, name, dict) for name in backends):
            for found in (take(outputs, name, dict) for name in outputs):
                take(found, "error", float)
                take(found, "tolerance", float)
    return verification
