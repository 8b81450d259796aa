"""The assets that the HTML pages share, and the data about a model that a page shows."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from ptx.infer.artifact.manifest import Manifest
from ptx.infer.preprocessing import Preprocessing

_SHOWN = 12  # maximum number of labels that a page lists


def load_asset(name: str) -> str:
    """The content of page.css, sections.html, common.js or words.json."""
    return files("ptx.infer.page").joinpath(name).read_text("utf-8")


def translations(extra: str) -> dict[str, dict[str, str]]:
    """The texts of a page, by language; `extra` is the JSON text of translations to add."""
    added: Mapping[str, Mapping[str, str]] = json.loads(extra)
    return {
        tag: {**texts, **added[tag]} for tag, texts in json.loads(load_asset("words.json")).items()
    }


def csp_hash(text: str) -> str:
    """The Content-Security-Policy source that allows exactly this inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def page_data(manifest: Manifest, preprocessing: Preprocessing | None) -> dict[str, Any]:
    """The data about a model that a page shows; `preprocessing` is None if the page has no input."""
    return {
        "kind": "none" if preprocessing is None else _kind(preprocessing),
        "expects": [] if preprocessing is None else _expected(manifest, preprocessing),
        "drawing": preprocessing is None or _is_drawn(preprocessing),
        "columns": [] if preprocessing is None else list(preprocessing.feature_names),
        "arrays": [
            f"{spec.name}: {spec.dtype} ({', '.join(map(str, spec.sample_axes))})"
            for spec in (
                preprocessing.specs if preprocessing and _takes_arrays(preprocessing) else ()
            )
        ],
        "facts": list(_facts(manifest)),
    }


def _takes_arrays(preprocessing: Preprocessing) -> bool:
    """Whether values can only be given as arrays of the model's input."""
    return not (
        preprocessing.image_spec or preprocessing.feature_names or preprocessing.probe_inputs()
    )


def _expected(manifest: Manifest, preprocessing: Preprocessing) -> list[str]:
    """Translation key of the expected input, and its format arguments."""
    columns = preprocessing.feature_names
    if preprocessing.image_spec is not None:
        return ["a-picture"]
    if len(columns) == 1:
        return ["a-number"]
    if columns:
        return ["a-row", str(len(columns)), ", ".join(columns)]
    if "alphabet" in manifest.preprocessing:
        return ["a-word", ", ".join(manifest.preprocessing["alphabet"])]
    return ["numbers" if _takes_arrays(preprocessing) else "a-text"]


def _is_drawn(preprocessing: Preprocessing) -> bool:
    """Whether a drawing is a suitable input."""
    return preprocessing.image_spec is None or preprocessing.image_spec.resize_mode is not None


def _kind(preprocessing: Preprocessing) -> str:
    if preprocessing.image_spec is not None:
        return "picture"
    if _takes_arrays(preprocessing):
        return "array"
    return "row" if preprocessing.feature_names else "text"


def _facts(manifest: Manifest) -> Iterator[tuple[str, str | list[str]]]:
    """Rows about the model: a translation key, and a text or another key with its arguments."""
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
        yield "training-data", str(data.get("name"))
    if test := manifest.training.get("test"):
        metric = (
            f"{test['accuracy']:.2%}" if "accuracy" in test else f"RMSE {test.get('rmse', 0):.4g}"
        )
        yield "test-result", ["rows-of", metric, f"{test['rows']:,}", str(test["data"])]
    for backend, outputs in manifest.verification.get("backends", {}).items():
        for name, result in outputs.items():
            yield (
                "verification",
                f"{backend}, {name}: {result['error']:.1e} ≤ {result['tolerance']:.1e}",
            )
    if manifest.weights_sha256:
        yield "weights", manifest.weights_sha256
    if manifest.versions:
        yield (
            "versions",
            ", ".join(f"{name} {version}" for name, version in manifest.versions.items()),
        )
