"""The model spec: the user's description of a network, or of an ONNX file that ptx did not make.

The same few keys are used by `ptx export package.module:function`, for ONNX files without a manifest
and in the library. The file is TOML or JSON:

    name = "flowers"
    task = "classification"
    labels = "labels.txt"                                    # or a list

    [inputs]
    image = ["float32", ["batch", 3, 224, 224]]              # see `ptx.infer.signature`

    [axes]                                                   # limits: least, most, multiple of
    time = [1, 64]

    [outputs]
    logits = ["float32", ["batch", 5]]

    [boxes]                                                  # of the task boxes, see `ptx.infer.boxes`
    format = "cxcywh"
    units = "fraction"

    [preprocessing]
    kind = "rgb-image"                                           # see `ptx.infer.preprocessing`
    resize = 256
    size = [224, 224]

A preprocessing of texts names its `tokenizer_file`, a tokenizer.json.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ptx.infer.artifact.files import NAME, read_bytes
from ptx.infer.artifact.manifest import Manifest, parse_json
from ptx.infer.boxes import find_box_format
from ptx.infer.errors import ArtifactError, InputError, did_you_mean, quote
from ptx.infer.limits import Limits, limits_from_data, merge_limits, split_limits
from ptx.infer.preprocessing import (
    KINDS,
    PACKAGE_KINDS,
    kind_names,
    open_preprocessing,
    show_value,
    with_package,
)
from ptx.infer.signature import Signature, TensorSpec
from ptx.infer.tasks import TASKS, why_incompatible, why_labels_misfit

KEYS = ("name", "task", "inputs", "outputs", "axes", "preprocessing", "labels", "boxes")
TOKENIZER_FILE = "tokenizer_file"  # of a preprocessing; a manifest has the content, as `tokenizer`
SIZE_LIMIT = 8 * 2**20  # bytes of a model spec or of a file of labels


@dataclass(frozen=True)
class ModelSpec:
    """A description of a model. Most fields have a default, or are read from the file.

    Attributes:
        origin: Where the spec comes from, for messages: a file name in quotes.
        task: A key of `ptx.infer.tasks.TASKS`; with passthrough a predictor has only `run`.
        mean, std: Of a bare state dict, instead of a complete preprocessing: one number, or one for
            each channel of pixels on `scale`, or one for each column.
        scale: The value of a white pixel in training: 1, or 255 if pixels were not scaled.
        explicit_fields: The KEYS that were set.
    """

    origin: str = "the model spec"
    name: str | None = None
    task: str = "passthrough"
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    axes: dict[str, Limits] = field(default_factory=dict)
    preprocessing: dict[str, Any] = field(default_factory=lambda: {"kind": "none"})
    labels: tuple[str, ...] = ()
    boxes: dict[str, Any] = field(default_factory=dict)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    scale: float | None = None
    explicit_fields: tuple[str, ...] = ()

    @classmethod
    def from_data(
        cls, data: Mapping[str, Any], *, origin: str = "the model spec", folder: Path | None = None
    ) -> ModelSpec:
        """The model spec in a mapping of KEYS.

        Args:
            folder: In which a file of labels is searched.

        Raises:
            InputError: E-SPEC, with the key, its value and what was expected.
        """
        for key in data:
            if key not in KEYS:
                raise _key_error(origin, str(key), f"is unknown; {did_you_mean(str(key), KEYS)}")
        explicit = tuple(key for key in KEYS if data.get(key) is not None)
        values: dict[str, Any] = {"origin": origin, "explicit_fields": explicit}
        try:
            inputs, inline = split_limits(data.get("inputs"))
        except ValueError as error:
            raise _key_error(origin, "inputs", f"are not valid: {error}") from error
        for key, read in _READERS.items():
            value = inputs if key == "inputs" else data.get(key)
            if value is not None:
                values[key] = read(value, origin)
        try:
            values["axes"] = merge_limits(values.get("axes", {}), inline)
        except ValueError as error:
            raise _key_error(origin, "axes", f"do not match: {error}") from error
        if data.get("labels") is not None:
            values["labels"] = _labels(data["labels"], origin, folder)
        if TOKENIZER_FILE in values.get("preprocessing", {}):
            values["preprocessing"] = _pack_tokenizer(values["preprocessing"], origin, folder)
        return cls(**values)

    def signature(self) -> Signature:
        """The signature of the inputs and outputs.

        Raises:
            InputError: E-SPEC: there are none, or they do not match each other.
        """
        for key in ("inputs", "outputs"):
            if not getattr(self, key):
                raise _key_error(
                    self.origin, key, 'is missing; expected names with ["float32", ["batch", 3]]'
                )
        try:
            return Signature(self.inputs, self.outputs, self.axes)
        except ValueError as error:
            raise _key_error(self.origin, "inputs and outputs", f"do not match: {error}") from error

    def manifest(self, signature: Signature, *, name: str) -> Manifest:
        """The manifest of a model with this signature.

        Args:
            name: The name of the model, unless the model spec has one.

        Raises:
            InputError: E-SPEC: preprocessing, task or labels do not match the signature.
        """
        try:
            preprocessing = open_preprocessing(self.preprocessing, signature)
        except ArtifactError as error:
            raise _key_error(self.origin, "preprocessing", str(error.__cause__ or error)) from error
        why = why_incompatible(self.task, signature.outputs, len(self.labels))
        if why is not None:
            raise _key_error(self.origin, "task", f"does not match the model: {why}")
        misfit = why_labels_misfit(self.task, signature.outputs, len(self.labels))
        if misfit is not None:
            raise _key_error(self.origin, "labels", misfit)
        try:
            find_box_format(self.task, self.boxes, preprocessing)
        except ValueError as error:
            raise _key_error(self.origin, "boxes", f"are not valid: {error}") from error
        return Manifest(
            model=self.name or name,
            task=self.task,
            signature=signature,
            preprocessing=with_package(self.preprocessing),
            labels=self.labels,
            boxes=self.boxes,
        )


def read_spec(path: str | Path) -> ModelSpec:
    """Read a model spec from a TOML or JSON file.

    Raises:
        InputError: the file cannot be read, or is not a valid model spec.
    """
    content = read_bytes(path, limit=SIZE_LIMIT)
    origin = quote(path)
    if content.lstrip().startswith(b"{"):
        try:
            data = parse_json(content, name=origin, what="the model spec")
        except ArtifactError as error:
            raise InputError(str(error), code="E-SPEC") from error
    else:
        try:
            data = tomllib.loads(content.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{origin} is neither TOML nor a JSON object: {error}", code="E-SPEC"
            ) from error
    return ModelSpec.from_data(data, origin=origin, folder=Path(path).parent)


def _key_error(origin: str, key: str, what: str) -> InputError:
    return InputError(f"{origin}: {key} {what}", code="E-SPEC")


def _name(value: Any, origin: str) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise _key_error(
            origin,
            "name",
            f"is {show_value(value)}; expected up to 64 letters, digits, '.', '_' and '-'",
        )
    return value


def _task(value: Any, origin: str) -> str:
    if not isinstance(value, str) or value not in TASKS:
        raise _key_error(
            origin, "task", f"is {show_value(value)}; {did_you_mean(str(value), TASKS)}"
        )
    return value


def _inputs(value: Any, origin: str) -> tuple[TensorSpec, ...]:
    return _tensors("inputs", value, origin)


def _outputs(value: Any, origin: str) -> tuple[TensorSpec, ...]:
    return _tensors("outputs", value, origin)


def _tensors(key: str, value: Any, origin: str) -> tuple[TensorSpec, ...]:
    if not isinstance(value, Mapping) or not value:
        raise _key_error(
            origin, key, f'is {show_value(value)}; expected names with ["float32", ["batch", 3]]'
        )
    specs = []
    for name, data in value.items():
        try:
            specs.append(TensorSpec.from_data(str(name), data))
        except (TypeError, ValueError) as error:
            raise _key_error(origin, f"{key}.{name}", f"is {show_value(data)}: {error}") from error
    return tuple(specs)


def _axes(value: Any, origin: str) -> dict[str, Limits]:
    try:
        return limits_from_data(value)
    except ValueError as error:
        raise _key_error(origin, "axes", f"is {show_value(value)}: {error}") from error


def _preprocessing(value: Any, origin: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _key_error(
            origin, "preprocessing", f"is {show_value(value)}; expected a kind and its settings"
        )
    kind = value.get("kind")
    if not isinstance(kind, str) or (kind not in KINDS and PACKAGE_KINDS.find(kind) is None):
        known = did_you_mean(str(kind), kind_names())
        raise _key_error(origin, "preprocessing.kind", f"is {show_value(kind)}; {known}")
    try:
        settings: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise _key_error(
            origin, "preprocessing", f"cannot be stored in a manifest: {error}"
        ) from error
    return settings


def _boxes(value: Any, origin: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _key_error(origin, "boxes", f"is {show_value(value)}; expected format and units")
    return dict(value)


def _pack_tokenizer(
    settings: Mapping[str, Any], origin: str, folder: Path | None
) -> dict[str, Any]:
    """The settings of a preprocessing with the content of its tokenizer.json."""
    from ptx.infer.preprocessing.tokens import TOKENIZER_LIMIT, pack_tokenizer

    others = {key: value for key, value in settings.items() if key != TOKENIZER_FILE}
    file = settings[TOKENIZER_FILE]
    if not isinstance(file, str):
        raise _key_error(
            origin, f"preprocessing.{TOKENIZER_FILE}", f"is {show_value(file)}; expected a path"
        )
    path = (folder or Path()) / file
    content = read_bytes(path, limit=TOKENIZER_LIMIT)
    try:
        return {**others, "tokenizer": pack_tokenizer(content.decode())}
    except UnicodeDecodeError as error:
        raise _key_error(
            origin,
            f"preprocessing.{TOKENIZER_FILE}",
            f"is {quote(path)}, which is no UTF-8 text",
        ) from error


def _labels(value: Any, origin: str, folder: Path | None) -> tuple[str, ...]:
    if isinstance(value, str):
        path = (folder or Path()) / value
        content = read_bytes(path, limit=SIZE_LIMIT)
        try:
            value = content.decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise _key_error(
                origin, "labels", f"are in {quote(path)}, which is not UTF-8 text"
            ) from error
        origin = quote(path)
    if not isinstance(value, list | tuple):
        raise _key_error(
            origin,
            "labels",
            f"is {show_value(value)}; expected a list, or a file with one label per line",
        )
    for index, label in enumerate(value, 1):
        if not isinstance(label, str) or not label.strip():
            raise _key_error(origin, f"label {index}", f"is {show_value(label)}; expected text")
    return tuple(value)


_READERS = {
    "name": _name,
    "task": _task,
    "inputs": _inputs,
    "outputs": _outputs,
    "axes": _axes,
    "preprocessing": _preprocessing,
    "boxes": _boxes,
}
