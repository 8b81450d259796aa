"""The pages for all who read them: axe-core finds nothing, in light and dark, on a narrow telephone."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from ptx.export.formats.html import render
from ptx.infer.artifact.golden import array_from_data
from ptx.infer.artifact.html_page import MODEL, read_block
from ptx.infer.artifact.onnx_bytes import MANIFEST_KEY, embed_manifest, read_header

Export = Callable[[str, str], Path]
Show = Callable[..., Any]
Axe = Callable[[Any], list[str]]
WIDTHS = (320, 1280)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("model", ["convnet", "name-classifier", "diabetes"])
def test_axe_finds_nothing_on_a_page(
    model: str, scheme: str, axe: Axe, show: Show, artifact: Export
) -> None:
    for width in WIDTHS:
        size = {"width": width, "height": 700}
        page = show(artifact(model, "html"), color_scheme=scheme, viewport=size)
        page.locator("#examples button").first.click()
        page.locator("#label").wait_for()
        page.wait_for_timeout(100)  # the picture of what was seen
        assert axe(page) == []
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_axe_finds_what_is_wrong(axe: Axe, show: Show, tmp_path: Path) -> None:
    path = tmp_path / "wrong.html"
    path.write_text("<!doctype html><html><title>x</title><main><h1>x</h1><input></main></html>")
    assert [line.partition(":")[0] for line in axe(show(path))] == ["html-has-lang", "label"]


@pytest.mark.parametrize("model", ["convnet", "name-classifier", "diabetes", "char-rnn-cell"])
def test_a_page_in_chinese_says_nothing_in_english(
    model: str, show: Show, artifact: Export
) -> None:
    page = show(artifact(model, "html"), locale="zh-CN")
    page.locator("#examples button").first.click()
    page.locator("#label").wait_for()
    assert page.evaluate("() => document.documentElement.lang") == "zh"
    words = json.loads(page.locator("#data").text_content())["words"]
    texts = {text for said in words["en"].values() for text in re.split(r"\{\d\}", said)}
    shown = page.locator("body").inner_text()
    shown = shown.partition(words["zh"]["manifest"])[0]  # a manifest's facts are names
    assert [text for text in texts if len(text.strip()) > 2 and text.strip() in shown] == []
    assert words["zh"]["expects"].replace("{0}", "") in shown


def test_a_changed_sample_is_told_in_chinese(
    artifact: Export, browser: Any, tmp_path: Path
) -> None:
    path = artifact("linear-model", "html")
    header = read_header(read_block(path.read_bytes(), MODEL, name="it"), name="it")
    manifest = json.loads(header.metadata[MANIFEST_KEY])
    outputs = manifest["golden"][0]["outputs"]
    ((name, data),) = outputs.items()
    other = np.asarray(array_from_data(data)) + 1
    outputs[name] = {**data, "base64": base64.b64encode(other.tobytes()).decode()}
    bare = onnx.load_from_string(read_block(path.read_bytes(), MODEL, name="it"))
    del bare.metadata_props[:]
    changed = tmp_path / "changed.html"
    changed.write_bytes(render(embed_manifest(bare.SerializeToString(), json.dumps(manifest))))
    page = browser.new_context(locale="zh-CN").new_page()
    page.goto(changed.as_uri())
    told = page.locator("#changed")
    told.filter(has_text="一组标准样本中 y 的误差是 1.0e+0，允许").wait_for(timeout=30_000)
    assert page.locator("#fields").count() == 0
    page.context.close()
