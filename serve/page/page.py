"""Renders the page from the files next to this one and data about the models."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Any

from ptx.infer import Manifest
from ptx.infer.page import csp_hash, load_asset, page_data, translations
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.raw_input import raw_input_name
from ptx.infer.tasks import find_task
from ptx.serve.tensors import DATATYPE_NAMES

EXAMPLES, EXAMPLE_SIZE = 6, 32 * 2**10  # maximum number for a model, and maximum bytes of each
_MAGIC = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp"}


def render(models: Iterable[tuple[str, Manifest]]) -> bytes:
    """The page for models, each with the name under which it is served.

    Its content security policy allows its own script and style, by their digests, and its own server.
    """
    style = load_asset("page.css")
    script = load_asset("common.js") + _load_file("page.js")
    data = {
        "models": [_describe(*model) for model in models],
        "words": translations(_load_file("words.json")),
    }
    policy = (
        f"default-src 'none'; script-src {csp_hash(script)}; style-src {csp_hash(style)};"
        " img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'"
    )
    page = _load_file("page.html").replace("{{policy}}", policy).replace("{{style}}", style)
    page = page.replace("{{sections}}", load_asset("sections.html"))
    # `<` would end the data if a name contained `</script>`.
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    before, after = page.split("{{data}}")
    return f"{before}{text}{after.replace('{{script}}', script)}".encode()


def _load_file(name: str) -> str:
    return files("ptx.serve.page").joinpath(name).read_text("utf-8")


def _describe(name: str, manifest: Manifest) -> dict[str, Any]:
    """The data of a model in the page."""
    preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
    raw_input = raw_input_name(manifest, preprocessing)
    if find_task(manifest.task).is_array:
        raw_input = None  # the page shows labels and values
    first = manifest.signature.outputs[0].name
    return {
        "name": name,
        **page_data(manifest, None if raw_input is None else preprocessing),
        "input": raw_input,
        "output": first if raw_input is None else "label" if manifest.labels else "value",
        "tensors": [
            [
                spec.name,
                DATATYPE_NAMES[spec.numpy_dtype],
                [axis if isinstance(axis, int) else -1 for axis in spec.axes],
            ]
            for spec in manifest.signature.inputs
        ],
        "examples": list(dict.fromkeys(_examples(manifest)))[:EXAMPLES] if raw_input else [],
    }


def _examples(manifest: Manifest) -> Iterator[str]:
    """Raw inputs of the end-to-end samples: data URLs of images, texts, numbers."""
    for value in (value for sample in manifest.end_to_end for value in sample.values):
        if isinstance(value, str):
            yield value
        elif isinstance(value, tuple):
            yield ",".join(f"{number:.4g}" for number in value)
        elif len(value) <= EXAMPLE_SIZE and (kind := _picture_kind(value)):
            yield f"data:image/{kind};base64,{base64.b64encode(value).decode()}"


def _picture_kind(content: bytes) -> str | None:
    return next((kind for magic, kind in _MAGIC.items() if content.startswith(magic)), None)
