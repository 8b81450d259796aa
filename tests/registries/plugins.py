"""A preprocessing, a task, a kind of file with its exporter, and a backend, from outside of ptx."""

from __future__ import annotations

import hashlib
import json
import types
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, final

import numpy as np

from ptx.export import formats as exporting
from ptx.infer import backends, preprocessing, tasks
from ptx.infer.artifact import formats
from ptx.infer.artifact.artifact import Artifact
from ptx.infer.artifact.formats import Content, FileFormat
from ptx.infer.artifact.golden import RawInput
from ptx.infer.backends import BackendEntry, Options
from ptx.infer.errors import InputError
from ptx.infer.signature import Array, Signature
from ptx.models import CATALOG

MAGIC = b"TOY1"
MODEL = "hours-by-text"


class MinutesPreprocessing:
    """`90 min` becomes 1.5 hours."""

    input_description, plural = "a number of minutes", "durations"
    dimensions = 0
    extensions = feature_names = ()
    variable_length = False
    image_spec = None
    row_spec = "columns", (1,)

    def __init__(self, signature: Signature) -> None:
        self.specs = signature.inputs

    def transform(self, value: Any) -> Array:
        number, _, unit = str(value).partition(" ")
        if unit != "min":
            raise InputError(f"{value!r} is not {self.input_description}", code="E-TYPE")
        return np.asarray([float(number) / 60], np.float32)

    def transform_rows(self, rows: Array, names: Sequence[str] = ()) -> Sequence[Array]:
        return [self.transform(self.to_raw(row)) for row in rows]

    def to_raw(self, row: Any, names: Sequence[str] = ()) -> RawInput:
        return f"{60 * float(row[0]):g} min"

    def collate(self, samples: Sequence[Array]) -> dict[str, Array]:
        return {self.specs[0].name: np.stack(samples)}

    def probe_inputs(self) -> tuple[RawInput, ...]:
        return "30 min", "150 min"


VERDICT = tasks.TASKS["binary"]._replace(any_labels=False)


def read_content(data: bytes, *, name: str) -> Content | None:
    if not data.startswith(MAGIC):
        return None
    said, append_digest = json.loads(data[len(MAGIC) : -64]), data[-64:]
    digest_ok = hashlib.sha256(data[:-64]).hexdigest().encode() == append_digest
    return Content(said["manifest"].encode(), digest_ok)


def convert(traced: Any, *, opset: int | None) -> bytes:
    network, signature = traced.network, traced.signature
    weights = {name: float(tensor) for name, tensor in network.state_dict().items()}
    names = [signature.inputs[0].name, signature.outputs[0].name]
    squashes = type(network).__name__ == "LogisticRegression"
    return json.dumps({"weights": weights, "names": names, "squashes": squashes}).encode()


def embed_manifest(content: bytes, manifest: str) -> bytes:
    whole = MAGIC + json.dumps({**json.loads(content), "manifest": manifest}).encode()
    return whole + hashlib.sha256(whole).hexdigest().encode()


def runtime() -> types.ModuleType:
    return np


@final
class ToyBackend:
    """One neuron in NumPy."""

    name, device = "toy-numpy", "cpu"

    def __init__(self, artifact: Artifact, options: Options) -> None:
        self.said = json.loads(artifact.data[len(MAGIC) : -64])

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        weights, (given, gives) = self.said["weights"], self.said["names"]
        y = inputs[given] * np.float64(weights["linear.weight"]) + weights["linear.bias"]
        return {gives: (1 / (1 + np.exp(-y)) if self.said["squashes"] else y).astype(np.float32)}

    def close(self) -> None: ...


LINES: list[tuple[dict[str, Any], str, Any]] = [
    (preprocessing.KINDS, "minutes", "plugins:MinutesPreprocessing"),
    (tasks.TASKS, "verdict", VERDICT),
    (formats.FORMATS, "toy", FileFormat("a toy file", ".toy", "plugins")),
    (exporting.EXPORTERS, "toy", exporting.Exporter(convert, embed_manifest, "toy-numpy")),
    (
        backends.BACKENDS,
        "toy-numpy",
        BackendEntry("toy", "plugins:ToyBackend", "plugins:runtime", devices=("cpu",)),
    ),
    (
        CATALOG,
        MODEL,
        replace(CATALOG["logistic-regression"], preprocessing={"kind": "minutes"}, task="verdict"),
    ),
]
"""(table, name, its line)."""


def add() -> None:
    """Into the tables of this process, for good."""
    for table, name, line in LINES:
        table[name] = line
