"""What a person says about a network or a file that ptx did not make.

The same few keys serve `ptx export package.module:function`, an ONNX file without a card and the
library; a file of them is TOML or JSON:

    name = "flowers"
    task = "classification"
    labels = "labels.txt"                                    # or a list

    [inputs]
    image = ["float32", ["batch", 3, 224, 224]]              # see `ptx.infer.signature`

    [outputs]
    logits = ["float32", ["batch", 5]]

    [preprocess]
    kind = "photo"                                           # see `ptx.infer.preprocessing`
    resize = 256
    size = [224, 224]
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ptx.infer.artifact.card import Card, parse_json
from ptx.infer.artifact.files import NAME, read_bytes
from ptx.infer.errors import ArtifactError, InputError, nearest, quoted
from ptx.infer.preprocessing import KINDS, open_preprocessing, shown
from ptx.infer.signature import Signature, TensorSpec
from ptx.infer.tasks import TASKS, unreadable

KEYS = ("name", "task", "inputs", "outputs", "preprocess", "labels")
SIZE_LIMIT = 8 * 2**20  # bytes of a description or of a file of labels


@dataclass(frozen=True)
class Description:
    """What is known about a model; what is left out is found out, or not done."""

    source: str = "the description"  # it, in messages: a file, in quotes
    name: str | None = None
    task: str = "raw"  # a key of `ptx.infer.tasks.TASKS`; raw: `run` alone
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    preprocess: dict[str, Any] = field(default_factory=lambda: {"kind": "arrays"})
    labels: tuple[str, ...] = ()
    given: tuple[str, ...] = ()  # the KEYS that were there

    @classmethod
    def from_data(
        cls, data: Mapping[str, Any], *, source: str = "the description", folder: Path | None = None
    ) -> Description:
        """The description in a mapping of KEYS. `folder`: where a file of labels is looked for.

        Raises:
            InputError: E-DESCRIPTION, with the key, what it is and what was expected.
        """
        for key in data:
            if key not in KEYS:
                raise _wrong(source, str(key), f"is unknown; {nearest(str(key), KEYS)}")
        given = tuple(key for key in KEYS if data.get(key) is not None)
        found: dict[str, Any] = {"source": source, "given": given}
        for key, read in _READERS.items():
            if data.get(key) is not None:
                found[key] = read(data[key], source)
        if data.get("labels") is not None:
            found["labels"] = _labels(data["labels"], source, folder)
        return cls(**found)

    def signature(self) -> Signature:
        """Of the inputs and outputs.

        Raises:
            InputError: E-DESCRIPTION: there are none, or they do not fit together.
        """
        for key in ("inputs", "outputs"):
            if not getattr(self, key):
                raise _wrong(
                    self.source, key, 'is missing; expected names with ["float32", ["batch", 3]]'
                )
        try:
            return Signature(self.inputs, self.outputs)
        except ValueError as error:
            raise _wrong(self.source, "inputs and outputs", f"do not fit: {error}") from error

    def card(self, signature: Signature, *, name: str) -> Card:
        """The card of a model with this signature; `name` is used where the description has none.

        Raises:
            InputError: E-DESCRIPTION: preprocessing, task or labels do not fit the signature.
        """
        try:
            open_preprocessing(self.preprocess, signature)
        except ArtifactError as error:
            raise _wrong(self.source, "preprocess", str(error.__cause__ or error)) from error
        output = signature.outputs[0]
        why = unreadable(self.task, output)
        if why is not None:
            raise _wrong(self.source, "task", f"does not fit: {why}")
        if not TASKS[self.task].fits(output.sample_axes, len(self.labels)):
            raise _wrong(
                self.source, "labels",
                f"are {len(self.labels)}; with the output {output.name!r} {output.describe()} they do"
                f" not fit the task {self.task!r}",
            )  # fmt: skip
        return Card(
            model=self.name or name,
            task=self.task,
            signature=signature,
            preprocessing=dict(self.preprocess),
            labels=self.labels,
        )


def read_description(path: str | Path) -> Description:
    """The description in a TOML or JSON file.

    Raises:
        InputError: the file cannot be read, or something in it is not as it must be.
    """
    content = read_bytes(path, limit=SIZE_LIMIT)
    source = quoted(path)
    if content.lstrip().startswith(b"{"):
        try:
            data = parse_json(content, name=source, what="the description")
        except ArtifactError as error:
            raise InputError(str(error), code="E-DESCRIPTION") from error
    else:
        try:
            data = tomllib.loads(content.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{source} is neither TOML nor a JSON object: {error}", code="E-DESCRIPTION"
            ) from error
    return Description.from_data(data, source=source, folder=Path(path).parent)


def _wrong(source: str, key: str, what: str) -> InputError:
    return InputError(f"{source}: {key} {what}", code="E-DESCRIPTION")


def _name(value: Any, source: str) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise _wrong(
            source,
            "name",
            f"is {shown(value)}; expected up to 64 letters, digits, '.', '_' and '-'",
        )
    return value


def _task(value: Any, source: str) -> str:
    if not isinstance(value, str) or value not in TASKS:
        raise _wrong(source, "task", f"is {shown(value)}; {nearest(str(value), TASKS)}")
    return value


def _inputs(value: Any, source: str) -> tuple[TensorSpec, ...]:
    return _tensors("inputs", value, source)


def _outputs(value: Any, source: str) -> tuple[TensorSpec, ...]:
    return _tensors("outputs", value, source)


def _tensors(key: str, value: Any, source: str) -> tuple[TensorSpec, ...]:
    if not isinstance(value, Mapping) or not value:
        raise _wrong(
            source, key, f'is {shown(value)}; expected names with ["float32", ["batch", 3]]'
        )
    specs = []
    for name, data in value.items():
        try:
            specs.append(TensorSpec.from_data(str(name), data))
        except (TypeError, ValueError) as error:
            raise _wrong(source, f"{key}.{name}", f"is {shown(data)}: {error}") from error
    return tuple(specs)


def _preprocess(value: Any, source: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(source, "preprocess", f"is {shown(value)}; expected a kind and its settings")
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise _wrong(source, "preprocess.kind", f"is {shown(kind)}; {nearest(str(kind), KINDS)}")
    try:
        settings: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise _wrong(source, "preprocess", f"cannot be put into a card: {error}") from error
    return settings


def _labels(value: Any, source: str, folder: Path | None) -> tuple[str, ...]:
    if isinstance(value, str):
        path = (folder or Path()) / value
        content = read_bytes(path, limit=SIZE_LIMIT)
        try:
            value = content.decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise _wrong(
                source, "labels", f"are in {quoted(path)}, which is no UTF-8 text"
            ) from error
        source = quoted(path)
    if not isinstance(value, list | tuple):
        raise _wrong(
            source, "labels", f"is {shown(value)}; expected a list, or a file with one a line"
        )
    for index, label in enumerate(value, 1):
        if not isinstance(label, str) or not label.strip():
            raise _wrong(source, f"label {index}", f"is {shown(label)}; expected text")
    return tuple(value)


_READERS = {
    "name": _name,
    "task": _task,
    "inputs": _inputs,
    "outputs": _outputs,
    "preprocess": _preprocess,
}
