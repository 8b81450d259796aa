"""The page in a real Chromium: mouse, touch, keyboard, files; nothing on the console."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ptx.infer import load

from .standin import Standin, standin

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

MODELS = ("convnet", "name-classifier", "diabetes", "linear-model")
SEVEN = [(70, 70), (210, 70), (120, 230)]
ROW = "6,148,72,35,0,33.6,0.627,50"


@pytest.fixture(scope="module")
def server(artifact: Callable[[str, str], Path]) -> Iterator[Standin]:
    predictors = {name: load(artifact(name, "onnx"), backend="ort-cpu") for name in MODELS}
    with standin(predictors) as running:
        yield running


@pytest.fixture
def show(browser: Any, server: Standin) -> Iterator[Callable[..., Any]]:
    """`show(locale="zh-CN")`: the page; what it says on the console, or asks elsewhere, is a fault."""
    faults: list[str] = []
    contexts = []

    def open_page(fragment: str = "", *, expected: str | None = None, **options: Any) -> Any:
        context = browser.new_context(**{"locale": "en-GB", **options})
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()

        def heard(message: Any) -> None:
            if expected is None or expected not in message.text:
                faults.append(message.text)

        page.on("console", heard)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: elsewhere(request.url))
        page.goto(server.address + fragment)
        return page

    def elsewhere(url: str) -> None:
        if not url.startswith((server.address, "data:", f"blob:{server.address}")):
            faults.append(url)

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def expect(page: Any, selector: str) -> Any:
    return playwright.expect(page.locator(selector))


def draw(page: Any) -> None:
    box = page.locator("#drawing").bounding_box()
    first, *others = [(box["x"] + x, box["y"] + y) for x, y in SEVEN]
    page.mouse.move(*first)
    page.mouse.down()
    for point in others:
        page.mouse.move(*point, steps=8)
    page.mouse.up()


def last_answer(server: Standin) -> Any:
    """What the model says of the last thing that the page sent."""
    name, body = server.asked[-1]
    predictor = server.models[name]
    value = body if predictor.preprocessing.image_spec is not None else body.decode()
    return predictor.predict(value, top=5)


def test_a_digit_is_drawn_with_the_mouse(show: Callable[..., Any], server: Standin) -> None:
    page = show()
    draw(page)
    expect(page, "#label").to_be_visible()
    answer = last_answer(server)
    expect(page, "#label").to_have_text(answer.label)
    expect(page, "#bars li").to_have_count(5)
    shares = [f"{100 * score:.1f} %" for _, score in answer.top]
    assert page.locator("#bars span:last-child").all_inner_texts() == shares
    for picture in ("#input-image", "#model-input"):
        expect(page, picture).to_be_visible()
    assert (
        page.locator("#model-input").evaluate(
            "image => image.decode().then(() => image.naturalWidth)"
        )
        == 28
    )
    expect(page, "#time").to_contain_text("ms")
    page.locator("#clear").click()
    expect(page, "#label").to_be_hidden()
    blank = "paper => new Set(paper.getContext('2d').getImageData(0, 0, 280, 280).data).size"
    assert page.locator("#drawing").evaluate(blank) == 1


def test_a_digit_is_drawn_with_a_finger_on_a_narrow_telephone(
    show: Callable[..., Any], server: Standin
) -> None:
    page = show(viewport={"width": 320, "height": 640}, has_touch=True, is_mobile=True)
    page.locator("#drawing").scroll_into_view_if_needed()
    box = page.locator("#drawing").bounding_box()
    client = page.context.new_cdp_session(page)
    scrolled = page.evaluate("scrollY")
    before = len(server.asked)
    for kind, points in (
        ("touchStart", SEVEN[:1]),
        ("touchMove", SEVEN[1:2]),
        ("touchMove", SEVEN[2:]),
    ):
        places = [
            {"x": box["x"] + x * box["width"] / 280, "y": box["y"] + y * box["width"] / 280}
            for x, y in points
        ]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page, "#label").to_be_visible()
    assert len(server.asked) == before + 1
    assert page.evaluate("scrollY") == scrolled
    for fragment in MODELS:
        page.locator(f"#models label:has-text('{fragment}')").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert page.locator("#camera").get_attribute("capture") == "environment"


def test_a_picture_is_chosen_dropped_or_pasted(
    show: Callable[..., Any], server: Standin, seven: Path
) -> None:
    page = show()
    hand_over = """([bytes, kind]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], "seven.png", {type: "image/png"}));
        const given = {bubbles: true, cancelable: true};
        document.body.dispatchEvent(kind === "drop"
            ? new DragEvent(kind, {...given, dataTransfer: transfer})
            : new ClipboardEvent(kind, {...given, clipboardData: transfer}));
    }"""
    for way in ("choose", "drop", "paste"):
        before = len(server.asked)
        if way == "choose":
            page.locator("#file").set_input_files(seven)
        else:
            page.evaluate(hand_over, [list(seven.read_bytes()), way])
        expect(page, "#label").to_be_visible()
        assert server.asked[before:] == [("convnet", seven.read_bytes())]
        page.locator("#clear").click()


def test_all_is_done_by_keyboard(show: Callable[..., Any], server: Standin) -> None:
    page = show()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(page, "#text").to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.type("Müller")
    page.keyboard.press("Enter")
    expect(page, "#label").to_have_text(
        server.models["name-classifier"].predict("Müller").label or ""
    )
    expect(page, "#details").to_contain_text("Muller")
    assert server.asked[-1] == ("name-classifier", "Müller".encode())
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowRight")
    expect(page, "#fields label").to_have_count(8)
    page.keyboard.press("Tab")
    for number in ROW.split(","):
        page.keyboard.type(number)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page, "#label").to_be_visible()
    assert server.asked[-1] == ("diabetes", ROW.encode())


def test_a_row_is_pasted_whole_and_an_example_is_clicked(
    show: Callable[..., Any], server: Standin
) -> None:
    page = show("#diabetes")
    paste = """(field, text) => { const data = new DataTransfer(); data.setData("text", text);
        field.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, cancelable: true})); }"""
    page.locator("#fields input").first.evaluate(paste, ROW)
    page.locator("#row button").click()
    expect(page, "#label").to_be_visible()
    assert server.asked[-1] == ("diabetes", ROW.encode())
    page.locator("#models label:has-text('linear-model')").click()
    page.locator("#examples button").first.click()
    expect(page, "#label").to_be_visible()
    answer = last_answer(server)
    assert float(page.locator("#label").inner_text()) == pytest.approx(answer.value, rel=1e-5)


def test_a_refusal_is_told_in_the_server_s_words(show: Callable[..., Any], tmp_path: Path) -> None:
    page = show(expected="status of 422")  # which Chromium notes
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG no picture")
    page.locator("#file").set_input_files(bad)
    expect(page, "#error").to_contain_text("E-IMG")
    expect(page, "#label").to_be_hidden()
    assert page.locator("#error").get_attribute("role") == "alert"
    draw(page)
    expect(page, "#error").to_be_hidden()
    expect(page, "#label").to_be_visible()


def test_a_silent_server_is_told(show: Callable[..., Any], server: Standin) -> None:
    page = show("#name-classifier")
    page.route("**/predict/**", lambda route: route.fulfill(status=200, body="{"))
    page.locator("#text-input").fill("Wang")
    page.keyboard.press("Enter")
    expect(page, "#error").to_have_text("The server did not respond.")


@pytest.mark.parametrize(
    ("locale", "language", "title"),
    [("zh-CN", "zh", "清单"), ("de-DE", "en", "Manifest"), ("en-US", "en", "Manifest")],
)
def test_the_page_speaks_the_browser_s_language(
    show: Callable[..., Any], locale: str, language: str, title: str
) -> None:
    page = show(locale=locale)
    assert page.locator("html").get_attribute("lang") == language
    expect(page, "#manifest-title").to_have_text(title)


def test_the_page_is_dark_where_the_system_is(show: Callable[..., Any]) -> None:
    found = [
        show(color_scheme=scheme)
        .locator("body")
        .evaluate("e => getComputedStyle(e).backgroundColor")
        for scheme in ("light", "dark")
    ]
    assert found == ["rgb(255, 255, 255)", "rgb(22, 24, 27)"]


def test_the_lines_for_programs_are_those_of_this_server(
    show: Callable[..., Any], server: Standin
) -> None:
    page = show("#convnet")
    address = server.address
    expect(page, "#curl").to_have_text(f"curl --data-binary @picture.png {address}predict/convnet")
    text = page.locator("#python").inner_text()
    compile(text, "python", "exec")
    assert server.address.removeprefix("http://").rstrip("/") in text


def test_no_text_of_the_page_runs_as_code(show: Callable[..., Any]) -> None:
    page = show(expected="inline event handler violates")
    page.evaluate("document.querySelector('h1').setAttribute('onclick', 'document.title = 1')")
    page.locator("h1").click()
    assert page.title() == "convnet – ptx"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_axe_finds_nothing(
    scheme: str, width: int, axe: Callable[[Any], list[str]], show: Callable[..., Any]
) -> None:
    page = show(color_scheme=scheme, viewport={"width": width, "height": 700})
    for model in MODELS:
        page.locator(f"#models label:has-text('{model}')").click()
        page.locator("#examples button").first.click()
        page.locator("#label").wait_for()
        assert axe(page) == []
