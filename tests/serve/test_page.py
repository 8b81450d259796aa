"""The page at / of `ptx serve`, and what it asks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ptx.infer import Predictor, load
from ptx.serve import ModelSource
from ptx.serve.page import preview

from .conftest import Process, Serve, Served, until

CHROMIUM = os.environ.get("PTX_CHROMIUM") or shutil.which("chromium")
PREVIEW = "/v2/models/{}/preview"


def test_the_page_shows_the_models_and_is_in_no_frame(served: Served) -> None:
    answer = served.ask("GET", "/")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == "frame-ancestors 'none'"
    assert b'"name": "name-classifier"' in answer.body


def test_there_is_no_page_where_none_is_wanted(serve: Serve) -> None:
    assert serve(page=False).ask("GET", "/").status == 404


def test_the_page_shows_the_model_that_took_the_place(
    serve: Serve, artifact: Callable[[str, str], Path]
) -> None:
    opened: list[Predictor] = []

    def reopen() -> Predictor:
        predictor = load(artifact("linear-model", "onnx"), backend="ort-cpu")
        made = {"data": {"name": f"edition-{len(opened)}"}}
        predictor.manifest = replace(predictor.manifest, training=made)
        opened.append(predictor)
        return predictor

    server = serve(ModelSource("line", reopen), reload=True)
    assert b"edition-0" in server.ask("GET", "/").body
    assert server.ask("POST", "/v2/repository/models/line/load").status == 200
    page = server.ask("GET", "/").body
    assert b"edition-1" in page
    assert b"edition-0" not in page


def test_a_preview_is_what_the_network_gets(served: Served, predictor: Any, seven: Path) -> None:
    answer = served.ask("POST", PREVIEW.format("convnet"), seven.read_bytes())
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    assert answer.body == preview(predictor.preprocessing, seven.read_bytes())[0]
    text = served.ask("POST", PREVIEW.format("name-classifier"), "Müller ☃".encode())
    assert text.json == {"preview": "Muller □"}


@pytest.mark.parametrize(
    ("method", "model", "body", "status"),
    [
        ("POST", "convnet", b"/etc/hostname", 422),
        ("POST", "convnet", b"\x89PNG no picture", 422),
        ("POST", "name-classifier", b"\xff", 422),
        ("POST", "diabetes", b"1,2", 422),
        ("POST", "nobody", b"", 404),
        ("POST", "convnet", bytes(5 * 2**20), 413),
        ("GET", "convnet", b"", 405),
    ],
)
def test_a_preview_is_refused_as_an_answer_is(
    served: Served, method: str, model: str, body: bytes, status: int
) -> None:
    answer = served.ask(method, PREVIEW.format(model), body)
    assert answer.status == status, answer.body
    assert answer.json["error"]
    served.good()


@pytest.fixture
def process(artifact: Callable[[str, str], Path], tmp_path: Path) -> Iterator[Process]:
    """`ptx serve` of a model for pictures and one for words."""
    names = ("convnet", "name-classifier")
    one = Process(*(f"{name}={artifact(name, 'onnx')}" for name in names), folder=tmp_path)
    yield one
    one.popen.kill()
    one.popen.communicate()


@pytest.mark.skipif(not CHROMIUM, reason="there is no chromium")
def test_a_browser_asks_the_real_server(
    process: Process, artifact: Callable[[str, str], Path], seven: Path
) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    faults: list[str] = []
    answers = {"convnet": seven, "name-classifier": "Müller"}
    for name, value in answers.items():
        with load(artifact(name, "onnx"), backend="ort-cpu") as predictor:
            answers[name] = str(predictor.predict(value).label)
    with playwright.sync_playwright() as driver:
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        page = browser.new_page(locale="en-GB")
        page.set_default_timeout(15_000)
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"http://127.0.0.1:{process.port}/")
        label = playwright.expect(page.locator("#label"))
        page.locator("#file").set_input_files(seven)
        label.to_have_text(answers["convnet"])
        width = "image => image.naturalWidth"  # 0 until the preview has come
        assert until(lambda: page.locator("#model-input").evaluate(width) == 28)
        page.locator("#models label:has-text('name-classifier')").click()
        page.locator("#text-input").fill("Müller")
        page.keyboard.press("Enter")
        label.to_have_text(answers["name-classifier"])
        playwright.expect(page.locator("#details")).to_contain_text("Muller")
        browser.close()
    assert faults == []
