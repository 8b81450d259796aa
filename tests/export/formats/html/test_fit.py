"""The page's fit against Python's: the same pixels within two levels, and the same refusals."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from ptx.export.formats.html.page import engine
from ptx.infer import InputError
from ptx.infer.backends.javascript.hosts import Host, open_host
from ptx.infer.images.resize import RESIZE_MODES

pytest.importorskip("py_mini_racer", reason="mini-racer is not installed")

SEVEN = Image.open(Path(__file__).parents[3] / "pictures" / "seven-on-paper.png").convert("RGB")
MNIST = Image.open(Path(__file__).parents[3] / "pictures" / "mnist-7.png").convert("L")
WORDS = {"E-IMG-BLANK": "blank", "E-IMG-NO-DIGIT": "no-digit", "E-IMG-OBJECTS": "objects"}
FIT = """
const fit = (text) => {
  const { width, height, base64, setting } = JSON.parse(text);
  const raster = { width, height, data: ptx.fromBase64(base64) };
  try {
    const signature = { inputs: { image: ["float32", ["batch", 1, 28, 28]] } };
    const manifest = { signature, preprocessing: { kind: "gray-image", ...setting } };
    return ptx.toBase64(ptx.preprocess(manifest, raster).data);
  } catch (error) { return `refused: ${error.word ?? error.stack}`; }
};
"""


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    opened = open_host()
    opened.run(engine() + FIT)
    yield opened
    opened.close()


def chalk() -> Image.Image:
    return ImageOps.invert(SEVEN)


def shaded() -> Image.Image:
    light = np.linspace(0.6, 1, SEVEN.width)[np.newaxis, :, np.newaxis]
    noise = np.random.default_rng(0).normal(0, 4, (SEVEN.height, SEVEN.width, 1))
    return Image.fromarray((np.asarray(SEVEN) * light + noise).clip(0, 255).astype(np.uint8))


def transparent() -> Image.Image:
    picture = SEVEN.convert("RGBA")
    picture.putalpha(ImageOps.invert(SEVEN.convert("L")))
    return picture


def framed() -> Image.Image:
    picture = SEVEN.copy()
    ImageDraw.Draw(picture).rectangle((4, 4, 395, 295), outline=(30, 30, 30), width=4)
    return picture


def two() -> Image.Image:
    picture = Image.new("RGB", (800, 300), (250, 250, 250))
    picture.paste(SEVEN, (0, 0))
    picture.paste(SEVEN, (400, 0))
    return picture


def dithered() -> Image.Image:
    return SEVEN.point([55 + value * 3 // 4 for value in range(256)] * 3).convert("1").convert("L")


def letter() -> Image.Image:
    """A stroke beside an open one, which is no frame."""
    picture = Image.new("L", (320, 240), 235)
    draw = ImageDraw.Draw(picture)
    draw.line([(80, 50), (230, 50), (250, 120), (230, 190), (80, 190)], fill=30, width=8)
    draw.line([(110, 75), (110, 165)], fill=30, width=8)
    return picture


def cut_off() -> Image.Image:
    picture = two()
    return picture.crop((0, 0, 640, 300))


def face() -> Image.Image:
    picture = Image.new("L", (400, 300), 235)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((100, 50, 300, 250), outline=30, width=4)
    draw.line([(165, 120), (165, 140)], fill=30, width=4)
    draw.line([(160, 185), (200, 205), (240, 185)], fill=30, width=4)
    return picture


def five() -> Image.Image:
    """Its bar stands apart."""
    picture = Image.new("L", (400, 300), 235)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((20, 20, 380, 280), outline=30, width=3)
    draw.line([(165, 90), (240, 62)], fill=30, width=12)
    draw.line([(160, 112), (185, 140), (180, 180), (160, 205)], fill=30, width=12)
    return picture


def beneath_fingers() -> Image.Image:
    picture = Image.new("L", (225, 300), 235)
    draw = ImageDraw.Draw(picture)
    draw.polygon([(50, 0), (120, 0), (140, 200), (70, 200)], fill=115)
    draw.polygon([(110, 0), (155, 0), (177, 200), (132, 200)], fill=115)
    draw.ellipse((76, 113, 124, 185), outline=20, width=5)
    return picture.filter(ImageFilter.GaussianBlur(2))


PICTURES: dict[str, Callable[[], Image.Image]] = {
    "a picture of MNIST": lambda: MNIST,
    "inverted": lambda: ImageOps.invert(MNIST),
    "enlarged": lambda: MNIST.resize((93, 93)),
    "on paper": lambda: SEVEN,
    "larger than is worked on": lambda: SEVEN.resize((1500, 1125)),
    "chalk": chalk,
    "shaded": shaded,
    "transparent": transparent,
    "framed": framed,
    "two": two,
    "two, the second cut off": cut_off,
    "a face": face,
    "a five whose bar stands apart": five,
    "dithered": dithered,
    "a letter of two strokes": letter,
    "beneath fingers": beneath_fingers,
    "blank": lambda: Image.new("L", (50, 60), 240),
    "one pixel": lambda: Image.new("L", (1, 1), 0),
    "a disc": lambda: Image.fromarray(
        (np.hypot(*np.mgrid[-50:50, -50:50]) > 30).astype(np.uint8) * 255
    ),
}


@pytest.mark.parametrize("resize_mode", RESIZE_MODES)
@pytest.mark.parametrize("name", PICTURES)
def test_the_page_fits_a_picture_as_python_does(name: str, resize_mode: str, host: Host) -> None:
    image = PICTURES[name]()
    rgba = image.convert("RGBA")
    question = {
        "width": rgba.width,
        "height": rgba.height,
        "base64": base64.b64encode(rgba.tobytes()).decode(),
        "setting": {"size": [28, 28], "resize_mode": resize_mode},
    }
    got = host.call("fit", json.dumps(question))
    if got.startswith("refused: "):
        with pytest.raises(InputError) as caught:
            RESIZE_MODES[resize_mode](image, (28, 28))
        assert got == f"refused: {WORDS[caught.value.code]}"
        return
    expected = RESIZE_MODES[resize_mode](image, (28, 28))
    pixels = np.frombuffer(base64.b64decode(got, validate=True), np.uint8).reshape(28, 28)
    assert np.abs(pixels.astype(int) - expected).max() <= 2


# The last two shrink in height by more than twice as much as in width: Pillow takes that way first.
@pytest.mark.parametrize(
    "sizes", [(40, 30, 9, 7), (7, 9, 30, 40), (29, 74, 8, 20), (125, 272, 9, 20)]
)
@pytest.mark.parametrize("name", ["BOX", "BICUBIC"])
def test_the_page_resizes_as_pillow_does(name: str, sizes: tuple[int, int, int, int]) -> None:
    width, height, *small = sizes
    pixels = np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.uint8)
    host = open_host()
    host.run(
        engine().replace("return { openModel", "return { resizePlane, BOX, BICUBIC, openModel")
    )
    host.run(f"""
      const resize = (text) => {{
        const plane = {{ width: {width}, height: {height}, data: ptx.fromBase64(text) }};
        return ptx.toBase64(ptx.resizePlane(plane, {small[0]}, {small[1]}, ptx.{name}).data);
      }}""")
    got = base64.b64decode(host.call("resize", base64.b64encode(pixels.tobytes()).decode()))
    host.close()
    expected = Image.fromarray(pixels).resize((small[0], small[1]), Image.Resampling[name])
    assert got == expected.tobytes()
