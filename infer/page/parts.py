"""The parts of a page that stand beside this file, and what a page knows of a model."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from ptx.infer.artifact.manifest import Manifest
from ptx.infer.preprocessing import Preprocessing

_SHOWN = 12  # labels


def part(name: str) -> str:
    """The text of page.css, sections.html or common.js."""
    return files("ptx.infer.page").joinpath(name).read_text("utf-8")


def words(own: str) -> dict[str, dict[str, str]]:
    """What a page says, by language; `own`: the JSON text of those that it adds."""
    added: Mapping[str, Mapping[str, str]] = json.loads(own)
    return {tag: {**said, **added[tag]} for tag, said in json.loads(part("words.json")).items()}


def allow(text: str) -> str:
    """The source of a content security policy that allows this script or style alone."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def describe(manifest: Manifest, preprocessing: Preprocessing | None) -> dict[str, Any]:
    """What a page shows of a model. `preprocessing`: None where the page has no input for it."""
    return {
        "kind": "none" if preprocessing is None else _kind(preprocessing),
        "expects": [] if preprocessing is None else _expected(manifest, preprocessing),
        "paper": preprocessing is None or _is_drawn(preprocessing),
        "columns": [] if preprocessing is None else list(preprocessing.columns),
        "arrays": [
            f"{spec.name}: {spec.dtype} ({', '.join(map(str, spec.sample_axes))})"
            for spec in (
                preprocessing.specs if preprocessing and _takes_arrays(preprocessing) else ()
            )
        ],
        "facts": list(_facts(manifest)),
    }


def _takes_arrays(preprocessing: Preprocessing) -> bool:
    """Whether a value has no form but that of the model's own arrays."""
    return not (preprocessing.pictures or preprocessing.columns or preprocessing.examples())


def _expected(manifest: Manifest, preprocessing: Preprocessing) -> list[str]:
    """A key of words.json for what a person gives, and what stands in its gaps."""
    columns = preprocessing.columns
    if preprocessing.pictures is not None:
        return ["a-picture"]
    if len(columns) == 1:
        return ["a-number"]
    if columns:
        return ["a-row", str(len(columns)), ", ".join(columns)]
    if "alphabet" in manifest.preprocessing:
        return ["a-word", ", ".join(manifest.preprocessing["alphabet"])]
    return ["numbers" if _takes_arrays(preprocessing) else "a-text"]


def _is_drawn(preprocessing: Preprocessing) -> bool:
    """Whether a pen is enough for what the model takes."""
    return preprocessing.pictures is None or preprocessing.pictures.resize_mode is not None


def _kind(preprocessing: Preprocessing) -> str:
    if preprocessing.pictures is not None:
        return "picture"
    if _takes_arrays(preprocessing):
        return "array"
    return "row" if preprocessing.columns else "text"


def _facts(manifest: Manifest) -> Iterator[tuple[str, str | list[str]]]:
    """The manifest's lines: a key of words.json, and a text, or one more key and what fills its gaps."""
    yield "model", manifest.model
    yield "task", manifest.task
    for word, specs in (
        ("input-tensor", manifest.signature.inputs),
        ("output-tensor", manifest.signature.outputs),
    ):
        for spec in specs:
            yield word, f"{spec.name}: {spec.dtype} {spec.describe()}"
    if manifest.labels:
        more = f", … ({len(manifest.labels):,})" if len(manifest.labels) > _SHOWN else ""
        yield "labels", ", ".join(manifest.labels[:_SHOWN]) + more
    if data := manifest.training.get("data"):
        yield "trained", str(data.get("name"))
    if test := manifest.training.get("test"):
        figure = (
            f"{test['accuracy']:.2%}" if "accuracy" in test else f"RMSE {test.get('rmse', 0):.4g}"
        )
        yield "reached", ["rows-of", figure, f"{test['rows']:,}", str(test["data"])]
    for backend, outputs in manifest.verification.get("backends", {}).items():
        for name, found in outputs.items():
            yield "agreement", f"{backend}, {name}: {found['error']:.1e} ≤ {found['tolerance']:.1e}"
    if manifest.weights_sha256:
        yield "weights", manifest.weights_sha256
    if manifest.versions:
        yield (
            "versions",
            ", ".join(f"{name} {version}" for name, version in manifest.versions.items()),
        )
