"""What a page takes beside digits, texts and rows: photographs, arrays, pixels, a camera."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from ptx.export import embed_preprocessing, export, read_model
from ptx.export.formats.html.page import engine
from ptx.infer import load
from ptx.infer.artifact.golden import array_from_data
from ptx.infer.backends.javascript.hosts import Host, open_host
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.signature import Signature

Checkpoint = Callable[[str], Path]
Export = Callable[[str, str], Path]
Show = Callable[..., Any]
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("py_mini_racer", reason="mini-racer is not installed")
PICTURES = Path(__file__).parents[3] / "pictures"
READ = """
const read = (text) => {
  const { manifest, width, height, base64 } = JSON.parse(text);
  const raster = { width, height, data: ptx.fromBase64(base64) };
  try {
    const sample = ptx.preprocess(manifest, raster);
    const [input] = Object.values(ptx.collate(manifest, [sample]));
    return JSON.stringify({ pixels: ptx.toManifest(sample), input: ptx.toManifest(input) });
  } catch (error) { return JSON.stringify({ word: error.word ?? error.stack }); }
};
"""
FILMED = """video => new Promise((done) => {
  const look = () => (video.videoWidth ? done() : setTimeout(look, 50));
  look();
})"""
NORMAL = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
FIRST, LAST, GRAY = [3, 24, 20], [24, 20, 3], [1, 24, 20]


class Colours(nn.Module):
    """Logits of three labels."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
        self.layers(torch.zeros(1, 3, 24, 20))

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.layers(image)
        return logits


class Doubled(nn.Module):
    """Twice the numbers."""

    def forward(self, numbers: Tensor) -> Tensor:
        return numbers * 2


@pytest.fixture(scope="module")
def photo_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "colours.html"
    photo = {
        "kind": "rgb-image",
        "size": [24, 20],
        "resize": 26,
        "interpolation": "bilinear",
        **NORMAL,
    }
    return export(
        Colours(),
        "html",
        path,
        name="colours",
        task="classification",
        labels=["red", "green", "blue"],
        preprocessing=photo,
        signature={
            "inputs": {"image": ["float32", ["batch", *FIRST]]},
            "outputs": {"logits": ["float32", ["batch", 3]]},
        },
    ).path


@pytest.fixture(scope="module")
def array_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("array") / "doubled.html"
    return export(
        Doubled(),
        "html",
        path,
        name="doubled",
        signature={
            "inputs": {"numbers": ["float32", ["batch", 2, 3]]},
            "outputs": {"twice": ["float32", ["batch", 2, 3]]},
        },
    ).path


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    opened = open_host()
    opened.run(engine().replace("return { openModel", "return { collate, openModel") + READ)
    yield opened
    opened.close()


def coloured(width: int, height: int, mode: str = "RGB") -> Image.Image:
    random = np.random.default_rng(width)
    small = random.integers(0, 256, (5, 7, len(mode))).astype(np.uint8)
    return Image.fromarray(small, mode).resize((width, height), Image.Resampling.BICUBIC)


def expect(page: Any, selector: str) -> Any:
    return playwright.expect(page.locator(selector))


@pytest.mark.parametrize("size", [(20, 24), (90, 61), (61, 290), (19, 700), (500, 333)])
@pytest.mark.parametrize("axes", [FIRST, LAST, GRAY], ids=str)
@pytest.mark.parametrize(
    "form",
    [
        {"resize": 26, **NORMAL},
        {"resize": [30, 21], "interpolation": "bicubic", "colours": "BGR"},
        {"resize": 24},
    ],
    ids=lambda form: str(form["resize"]),
)
def test_a_photograph_becomes_what_python_makes_of_it(
    form: dict[str, Any], axes: list[int], size: tuple[int, int], host: Host
) -> None:
    if axes == GRAY:
        form = {"resize": form["resize"], "interpolation": form.get("interpolation", "bilinear")}
    signature = {"inputs": {"image": ["float32", ["batch", *axes]]}, "outputs": {}}
    manifest = {
        "signature": signature,
        "preprocessing": {"kind": "rgb-image", "size": [24, 20], **form},
    }
    read = open_preprocessing(
        manifest["preprocessing"],
        Signature.from_data({**signature, "outputs": {"y": ["float32", ["batch", 1]]}}),
    )
    for mode in ("RGB", "RGBA"):
        image = coloured(*size, mode)
        question = {
            "manifest": manifest,
            "width": image.width,
            "height": image.height,
            "base64": base64.b64encode(image.convert("RGBA").tobytes()).decode(),
        }
        answer = json.loads(host.call("read", json.dumps(question)))
        sample = read.transform(image)
        np.testing.assert_array_equal(array_from_data(answer["pixels"]), sample)
        (expected,) = read.collate([sample]).values()
        np.testing.assert_array_equal(array_from_data(answer["input"]), expected)


def test_a_photograph_gets_the_answer_that_python_gives(photo_page: Path, show: Show) -> None:
    page = show(photo_page)
    expect(page, "#verification").to_contain_text("✓ Computed here")
    expect(page, "#drawing").to_be_hidden()
    expect(page, "#drop").to_have_text("Or drop or paste an image anywhere on this page.")
    buffer = io.BytesIO()
    coloured(90, 61).save(buffer, "PNG")
    file = {"name": "colours.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
    page.locator("#file").set_input_files(file)
    with load(photo_page, trust=True) as predictor:
        answer = predictor.predict(buffer.getvalue(), top=5)
    expect(page, "#label").to_have_text(str(answer.label))
    bars = page.locator("#bars span:last-child").all_inner_texts()
    assert bars == [f"{100 * score:.1f} %" for _, score in answer.top]
    expect(page, "#model-input").to_be_visible()
    shown = page.locator("#model-input").evaluate(
        "image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
    )
    assert shown == [20, 24]


@pytest.mark.parametrize(
    "text", ["1, 2 3;4\n5,6e0", "[1, 2, 3, 4, 5, 6]", "[[1, 2, 3], [4, 5, 6]]"]
)
def test_numbers_and_json_become_an_array(text: str, array_page: Path, show: Show) -> None:
    page = show(array_page)
    page.locator("#numbers").fill(text)
    page.locator("#array button").click()
    expect(page, "#details").to_contain_text("twice (1, 2, 3): 2, 4, 6, 8, 10, 12")


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_a_npy_file_becomes_an_array(
    dtype: str, version: tuple[int, int], array_page: Path, show: Show
) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.arange(6, dtype=dtype).reshape(2, 3), version)
    page = show(array_page)
    file = {"name": "a.npy", "mimeType": "", "buffer": buffer.getvalue()}
    page.locator("#table").set_input_files(file)
    expect(page, "#details").to_contain_text("twice (1, 2, 3): 0, 2, 4, 6, 8, 10")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1, 2", "The array has the shape (2); expected (2, 3)."),
        ("", "The array has the shape (0); expected (2, 3)."),
        ("[[1, 2], [3]]", "Expected numbers: JSON"),
        ("[1, ", "Expected numbers: JSON"),
        ("1 2 3 4 5 x", "NaN is not a finite number."),
    ],
)
def test_what_is_no_array_is_refused(text: str, told: str, array_page: Path, show: Show) -> None:
    page = show(array_page)
    page.locator("#numbers").fill(text)
    page.locator("#array button").click()
    expect(page, "#error").to_contain_text(told)
    expect(page, "#details").to_be_hidden()


@pytest.mark.parametrize("cut", [b"\x93NUMPY", b"\x93NUMPX\x01\x00", b"\x93"])
def test_a_npy_file_that_is_none_is_refused(cut: bytes, array_page: Path, show: Show) -> None:
    page = show(array_page)
    page.locator("#table").set_input_files({"name": "a.npy", "mimeType": "", "buffer": cut})
    expect(page, "#error").to_be_visible()


def test_a_page_that_takes_pixels_answers_as_the_plain_one(
    checkpoint: Checkpoint, artifact: Export, show: Show, tmp_path: Path
) -> None:
    path = tmp_path / "convnet.pixels.html"
    export(embed_preprocessing(read_model(checkpoint("convnet"))), "html", path)
    page = show(path)
    page.locator("#file").set_input_files(PICTURES / "seven-on-paper.png")
    with load(artifact("convnet", "onnx"), backend="ort-cpu") as predictor:
        answer = predictor.predict(PICTURES / "seven-on-paper.png", top=5)
    expect(page, "#label").to_have_text(str(answer.label))
    bars = page.locator("#bars span:last-child").all_inner_texts()
    assert bars == [f"{100 * score:.1f} %" for _, score in answer.top]


def test_a_camera_s_picture_is_answered_and_the_camera_closed(
    artifact: Export, driver: Any
) -> None:
    program = os.environ.get("PTX_CHROMIUM") or shutil.which("chromium")
    if not program:
        pytest.skip("there is no chromium")
    flags = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    browser = driver.chromium.launch(executable_path=program, args=flags)
    page = browser.new_page()
    page.goto(artifact("basic-cnn", "html").as_uri())
    page.locator("#camera").dispatch_event("click")
    expect(page, "#video").to_be_visible()
    page.locator("#video").evaluate(FILMED)
    page.locator("#shoot").click()
    expect(page, "#live").to_be_hidden()
    expect(page, "#input-image").to_be_visible()
    expect(page, "#label:visible, #error:visible").to_have_count(1)
    assert page.locator("#video").evaluate("video => video.srcObject.active") is False
    page.locator("#camera").dispatch_event("click")
    page.locator("#video").evaluate(FILMED)  # the first frame moves the buttons
    page.locator("#stop").click()
    expect(page, "#live").to_be_hidden()
    browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_these_pages(
    scheme: str,
    axe: Callable[[Any], list[str]],
    photo_page: Path,
    array_page: Path,
    show: Show,
) -> None:
    narrow = {"color_scheme": scheme, "viewport": {"width": 320, "height": 700}}
    page = show(photo_page, **narrow)
    page.locator("#file").set_input_files(PICTURES / "seven-on-paper.png")
    expect(page, "#model-input").to_be_visible()
    assert axe(page) == []
    page = show(array_page, **narrow)
    page.locator("#numbers").fill("1 2 3 4 5 6")
    page.locator("#array button").click()
    expect(page, "#details").to_be_visible()
    assert axe(page) == []
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 320
