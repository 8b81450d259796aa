"""Puts the page together: its parts stand beside this file, what the models say goes into it as data."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Any

from ptx.infer import Card
from ptx.infer.preprocessing import Preprocessing, open_preprocessing
from ptx.serve.own_input import own_input
from ptx.serve.triton.config import TYPES

EXAMPLES, EXAMPLE_SIZE = 6, 32 * 2**10  # of a model; bytes of one
_MAGIC = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp"}
_SHOWN = 12  # labels


def render(models: Iterable[tuple[str, Card]]) -> bytes:
    """The page for these models, which are served under these names.

    It allows itself the script and the style that it carries, by their digests, and its own server.
    """
    parts = {name: _part(f"page.{name}") for name in ("html", "css", "js")}
    data = {
        "models": [_describe(*model) for model in models],
        "words": json.loads(_part("words.json")),
    }
    policy = (
        f"default-src 'none'; script-src '{_digest(parts['js'])}'; style-src '{_digest(parts['css'])}';"
        " img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'"
    )
    page = parts["html"].replace("{{policy}}", policy).replace("{{style}}", parts["css"])
    # `<` would end the data where a name holds `</script>`.
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    before, after = page.split("{{data}}")
    return f"{before}{text}{after.replace('{{script}}', parts['js'])}".encode()


def _part(name: str) -> str:
    return files("ptx.serve.page").joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _describe(name: str, card: Card) -> dict[str, Any]:
    """What the page knows of a model."""
    preprocessing = open_preprocessing(card.preprocessing, card.signature)
    given = own_input(card, preprocessing)
    kind = "none" if given is None else _kind(preprocessing)
    first = card.signature.outputs[0].name
    return {
        "name": name,
        "kind": kind,
        "input": given,
        "output": first if given is None else "label" if card.labels else "value",
        "expects": preprocessing.expects,
        "columns": list(preprocessing.columns),
        "tensors": [
            [spec.name, TYPES.get(spec.dtype, "TYPE_FP32").removeprefix("TYPE_"),
             [axis if isinstance(axis, int) else -1 for axis in spec.axes]]
            for spec in card.signature.inputs
        ],
        "examples": list(dict.fromkeys(_examples(card)))[:EXAMPLES] if given else [],
        "facts": list(_facts(card)),
    }  # fmt: skip


def _kind(preprocessing: Preprocessing) -> str:
    if preprocessing.pictures is not None:
        return "picture"
    return "row" if preprocessing.columns else "text"


def _examples(card: Card) -> Iterator[str]:
    """The raw samples that the card carries: addresses of pictures, texts, numbers."""
    for value in (value for sample in card.raw for value in sample.values):
        if isinstance(value, str):
            yield value
        elif isinstance(value, tuple):
            yield ",".join(f"{number:.4g}" for number in value)
        elif len(value) <= EXAMPLE_SIZE and (kind := _picture_kind(value)):
            yield f"data:image/{kind};base64,{base64.b64encode(value).decode()}"


def _picture_kind(content: bytes) -> str | None:
    return next((kind for magic, kind in _MAGIC.items() if content.startswith(magic)), None)


def _facts(card: Card) -> Iterator[tuple[str, str]]:
    """The card's lines: a key of words.json, and the text."""
    yield "model", card.model
    yield "task", card.task
    for word, specs in (
        ("input-tensor", card.signature.inputs),
        ("output-tensor", card.signature.outputs),
    ):
        for spec in specs:
            yield word, f"{spec.name}: {spec.dtype} {spec.describe()}"
    if card.labels:
        more = f", … ({len(card.labels):,})" if len(card.labels) > _SHOWN else ""
        yield "labels", ", ".join(card.labels[:_SHOWN]) + more
    if data := card.training.get("data"):
        yield "trained", str(data.get("name"))
    if test := card.training.get("test"):
        figure = (
            f"{test['accuracy']:.2%}" if "accuracy" in test else f"RMSE {test.get('rmse', 0):.4g}"
        )
        yield "reached", f"{figure} ({test['rows']:,} rows of {test['data']})"
    for backend, outputs in card.agreement.get("backends", {}).items():
        for name, found in outputs.items():
            yield "agreement", f"{backend}, {name}: {found['error']:.1e} ≤ {found['tolerance']:.1e}"
    if card.weights_sha256:
        yield "weights", card.weights_sha256
    if card.versions:
        yield "versions", ", ".join(f"{name} {version}" for name, version in card.versions.items())
