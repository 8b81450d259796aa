"""A model as one page under `file://`, offline, in real browsers."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ptx.infer import Predictor, load

Export = Callable[[str, str], Path]
Show = Callable[..., Any]

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("py_mini_racer", reason="mini-racer is not installed")

SEVEN = [(70, 70), (210, 70), (120, 230)]
ROW = "6,148,72,35,0,33.6,0.627,50"
PICTURES = Path(__file__).parents[3] / "pictures"


@pytest.fixture(scope="module")
def here(artifact: Export) -> Iterator[Callable[[str], Predictor]]:
    """`here(model)`: the ONNX file in Python."""
    opened: list[Predictor] = []

    def open_one(model: str) -> Predictor:
        opened.append(load(artifact(model, "onnx"), backend="ort-cpu"))
        return opened[-1]

    yield open_one
    for predictor in opened:
        predictor.close()


def expect(page: Any, selector: str) -> Any:
    return playwright.expect(page.locator(selector))


def draw(page: Any) -> None:
    box = page.locator("#drawing").bounding_box()
    scale = box["width"] / 280
    first, *others = [(box["x"] + x * scale, box["y"] + y * scale) for x, y in SEVEN]
    page.mouse.move(*first)
    page.mouse.down()
    for point in others:
        page.mouse.move(*point, steps=8)
    page.mouse.up()


def bars(page: Any) -> list[str]:
    return [str(text) for text in page.locator("#bars span:last-child").all_inner_texts()]


def shares(answer: Any) -> list[str]:
    return [f"{100 * score:.1f} %" for _, score in answer.top]


def test_the_page_says_that_it_computed_the_golden_samples_here(
    show: Show, artifact: Export
) -> None:
    page = show(artifact("convnet", "html"))
    expect(page, "#verification").to_contain_text("✓ Computed here, in this browser: all ")
    expect(page, "#verification").to_contain_text("agree with PyTorch (eager float64)")
    expect(page, "#changed").to_be_hidden()
    expect(page, "#slow").to_be_hidden()
    assert page.title() == "convnet – ptx"


def test_a_picture_gets_the_answer_that_python_gives(
    show: Show, artifact: Export, here: Callable[[str], Predictor]
) -> None:
    page, predictor = show(artifact("convnet", "html")), here("convnet")
    for name in ("seven-on-paper.png", "mnist-7.png"):
        page.locator("#file").set_input_files(PICTURES / name)
        answer = predictor.predict(PICTURES / name, top=5)
        expect(page, "#label").to_have_text(str(answer.label))
        expect(page, "#time").to_contain_text("ms")
        assert bars(page) == shares(answer)
    width = "image => image.decode().then(() => image.naturalWidth)"
    expect(page, "#model-input").to_be_visible()
    assert page.locator("#model-input").evaluate(width) == 28


def test_a_drawing_is_answered_and_cleared(show: Show, artifact: Export) -> None:
    page = show(artifact("convnet", "html"))
    expect(page, "#drawing").to_be_visible()
    draw(page)
    expect(page, "#label").to_be_visible()
    expect(page, "#bars li").to_have_count(5)
    page.locator("#clear").click()
    expect(page, "#label").to_be_hidden()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "The browser cannot read this file as an image."),
        (b"GIF89a\0\0\0\0\0\0\0;", "The browser cannot read this file as an image."),
    ],
)
def test_a_picture_that_is_none_is_refused(
    content: bytes, told: str, show: Show, artifact: Export
) -> None:
    page = show(artifact("convnet", "html"))
    expect(page, "#drawing").to_be_visible()
    file = {"name": "none.png", "mimeType": "image/png", "buffer": content}
    page.locator("#file").set_input_files(file)
    expect(page, "#error").to_have_text(told)
    expect(page, "#label").to_be_hidden()


def test_blank_paper_is_refused(show: Show, artifact: Export) -> None:
    page = show(artifact("convnet", "html"), locale="zh-CN")
    expect(page, "#drawing").to_be_visible()
    buffer = io.BytesIO()
    Image.new("L", (100, 80), 250).save(buffer, "PNG")
    file = {"name": "blank.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
    page.locator("#file").set_input_files(file)
    expect(page, "#error").to_have_text("图片是空白的。")
    assert page.locator("html").get_attribute("lang") == "zh"


def test_a_text_and_a_row_get_the_answers_that_python_gives(
    show: Show, artifact: Export, here: Callable[[str], Predictor]
) -> None:
    page = show(artifact("name-classifier", "html"))
    page.locator("#text-input").fill("O'Néill")
    page.locator("#text button").click()
    answer = here("name-classifier").predict("O'Néill", top=5)
    expect(page, "#label").to_have_text(str(answer.label))
    assert bars(page) == shares(answer)
    expect(page, "#details").to_have_text("The model sees: O'Neill")
    page = show(artifact("diabetes", "html"))
    expect(page, "#fields input").to_have_count(8)
    for field, number in zip(page.locator("#fields input").all(), ROW.split(","), strict=True):
        field.fill(number)
    page.locator("#row button").click()
    answer = here("diabetes").predict(ROW, top=5)
    expect(page, "#label").to_have_text(str(answer.label))
    assert bars(page) == shares(answer)


def test_numbers_that_are_none_are_refused(show: Show, artifact: Export) -> None:
    page = show(artifact("linear-model", "html"))
    page.locator("#fields input").fill("four")
    page.locator("#row button").click()
    expect(page, "#error").to_have_text("x is not a finite number.")
    page.locator("#fields input").fill("4,0")
    page.locator("#row button").click()
    expect(page, "#label").to_be_visible()


@pytest.mark.parametrize("part", ["engine", "model", "page", "data", "sections", "style", "script"])
def test_a_page_with_a_changed_byte_says_so_and_gives_no_answer(
    part: str, browser: Any, artifact: Export, tmp_path: Path
) -> None:
    content = artifact("linear-model", "html").read_text("utf-8")
    mark = "<script>" if part == "script" else f'id="{part}">'
    start = content.index(mark) + len(mark)
    place = start + (content.index("</", start) - start) // 2
    other = "x" if content[place] != "x" else "y"
    path = tmp_path / "changed.html"
    path.write_text(content[:place] + other + content[place + 1 :], "utf-8")
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    page.goto(path.as_uri())
    told = (
        "This page has changed since it was written"
        if part == "script"
        else f"This page makes no prediction: its part “{part}” has changed since the page was written."
    )
    expect(page, "#changed").to_contain_text(told)
    expect(page, "#changed").to_be_visible()
    expect(page, "#drawing").to_have_count(0)
    expect(page, "#row").to_have_count(0)
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_narrow_telephone(scheme: str, show: Show, artifact: Export) -> None:
    narrow = {"viewport": {"width": 320, "height": 640}, "color_scheme": scheme}
    page = show(artifact("convnet", "html"), **narrow)
    expect(page, "#drawing").to_be_visible()
    draw(page)
    expect(page, "#label").to_be_visible()
    assert page.evaluate_handle("document.documentElement.scrollWidth").json_value() <= 320
    ground = page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground))) < 384) == (scheme == "dark")


def test_the_page_leaves_no_name_to_the_window(show: Show, artifact: Export) -> None:
    page = show(artifact("linear-model", "html"))
    expect(page, "#fields").to_be_visible()
    names = page.locator("body").evaluate(
        "body => ['model', 'worker', 'predict', 'ptx'].map((name) => typeof window[name])"
    )
    assert names[1:] == ["undefined"] * 3
