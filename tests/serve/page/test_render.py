"""The page as text, and what the model sees of an input."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ptx.infer import InputError, Manifest, read_artifact
from ptx.infer.page import translations as all_words
from ptx.infer.preprocessing import open_preprocessing
from ptx.serve.page import preview, render

Export = Callable[[str, str], Path]
PAGE = Path(__file__).parents[3] / "serve" / "page"
SHARED = Path(__file__).parents[3] / "infer" / "page"  # with the page that is an export


class Parts(html.parser.HTMLParser):
    """What stands in `<style>` and `<script>`, and the page's own policy."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.policy = ""
        self.addresses: list[str] = []
        self.attributes: set[str] = set()
        self._open = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.attributes |= given.keys()
        self._open = f"{tag} {given.get('type', '')}".strip() if tag in ("style", "script") else ""
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        self.addresses += [str(value) for key, value in attrs if key in ("src", "href", "action")]

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[self._open] = self.texts.get(self._open, "") + data

    def handle_endtag(self, tag: str) -> None:
        self._open = ""


def manifest_of(artifact: Export, name: str) -> Manifest:
    return read_artifact(artifact(name, "onnx")).require_manifest()


def test_the_policy_allows_what_the_page_carries_and_nothing_else(artifact: Export) -> None:
    parts = Parts(render([("digits", manifest_of(artifact, "convnet"))]))
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(parts.texts[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in parts.policy
    assert "default-src 'none'" in parts.policy
    assert "unsafe" not in parts.policy
    assert all(address.startswith("data:") for address in parts.addresses)
    assert not {name for name in parts.attributes if name.startswith("on") or name == "style"}


def test_the_page_knows_its_models(artifact: Export) -> None:
    names = ("convnet", "name-classifier", "diabetes", "linear-model")
    page = render([(f"my-{name}", manifest_of(artifact, name)) for name in names])
    digits, words, rows, line = json.loads(Parts(page).texts["script application/json"])["models"]
    assert [digits["name"], digits["kind"], digits["input"], digits["output"]] == [
        "my-convnet",
        "picture",
        "picture",
        "label",
    ]
    assert digits["examples"][0].startswith("data:image/png;base64,")
    assert [words["kind"], words["input"]] == ["text", "text"]
    assert [rows["kind"], len(rows["columns"]), rows["input"]] == ["row", 8, "row"]
    assert line["output"] == "value"
    facts = [word for word, _ in digits["facts"]]
    assert {"model", "task", "labels", "verification", "weights", "versions"} <= set(facts)


def test_a_name_never_becomes_a_part_of_the_page(artifact: Export) -> None:
    evil = "</script><img src=x onerror=alert(1)>{{script}}"
    manifest = replace(manifest_of(artifact, "convnet"), labels=(evil,) * 10)
    parts = Parts(render([("digits", manifest)]))
    assert parts.addresses == Parts(render([])).addresses
    (model,) = json.loads(parts.texts["script application/json"])["models"]
    assert evil in dict(model["facts"])["labels"]


def test_both_languages_have_all_words() -> None:
    words = all_words((PAGE / "words.json").read_text("utf-8"))
    markup = (PAGE / "page.html").read_text("utf-8") + (SHARED / "sections.html").read_text("utf-8")
    scripts = (PAGE / "page.js").read_text("utf-8") + (SHARED / "common.js").read_text("utf-8")
    used = re.findall(r'data-(?:word|label|alt)="([^"]+)"', markup)
    used += re.findall(r'\btranslated\("([^"]+)"', scripts)
    used += re.findall(r'yield "([a-z-]+)"', (SHARED / "parts.py").read_text("utf-8"))
    assert set(used) <= set(words["en"])
    assert words["en"].keys() == words["zh"].keys()
    same = {key for key, text in words["zh"].items() if text == words["en"][key]}
    assert same == set()


@pytest.mark.parametrize("scheme", [0, 1])
def test_text_stands_out_from_its_ground(scheme: int) -> None:
    blocks = re.findall(r":root \{(.*?)\}", (SHARED / "page.css").read_text("utf-8"), re.DOTALL)
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", blocks[scheme]))
    pairs = [
        ("ink", "ground"),
        ("quiet", "ground"),
        ("accent", "ground"),
        ("alarm", "ground"),
        ("ink", "raised"),
        ("on-accent", "accent"),
    ]
    for front, back in pairs:
        high, low = sorted((luminance(colours[name]) for name in (front, back)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, (front, back)


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_preview_is_what_the_network_gets(artifact: Export, seven: Path) -> None:
    manifest = manifest_of(artifact, "convnet")
    preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
    body, kind = preview(preprocessing, seven.read_bytes())
    assert kind == "image/png"
    pixels = np.asarray(Image.open(io.BytesIO(body)))
    np.testing.assert_array_equal(pixels, preprocessing.transform(seven))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("name-classifier", "Müller ☃", "Muller □"),
        ("linear-model", "4", "4"),
        ("char-rnn", "hello", "1 0 2 2 3"),
    ],
)
def test_a_preview_of_others_is_text(artifact: Export, name: str, value: str, text: str) -> None:
    manifest = manifest_of(artifact, name)
    body, kind = preview(open_preprocessing(manifest.preprocessing, manifest.signature), value)
    assert kind == "application/json"
    assert json.loads(body) == {"preview": text}


def test_a_preview_refuses_as_the_answer_does(artifact: Export) -> None:
    manifest = manifest_of(artifact, "convnet")
    preprocessing: Any = open_preprocessing(manifest.preprocessing, manifest.signature)
    with pytest.raises(InputError, match="the image"):
        preview(preprocessing, b"no picture")
