"""Simulated photographs through the page's fit and through Python's: the same pixels, the same refusals?

./scripts/run photographs/in_page --mnist DIR
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from forms import FORMS
from judging import FONTS, MAKERS, find_fonts, read_digits, take
from PIL import Image
from shots import Maker

from ptx.export.page.page import engine
from ptx.infer.backends.javascript.hosts import Host, open_host
from ptx.infer.errors import InputError
from ptx.infer.picture.decode import decode
from ptx.infer.picture.flatten import min_decode_size
from ptx.infer.picture.resize import RESIZE_MODES

REFUSALS = {"blank": "E-IMG-BLANK", "no-digit": "E-IMG-NO-DIGIT", "objects": "E-IMG-OBJECTS"}
FIT = """
const fit = (text) => {
  const { width, height, base64, setting } = JSON.parse(text);
  const signature = { inputs: { image: ["float32", ["batch", 1, 28, 28]] } };
  const card = { signature, preprocessing: { kind: "image", ...setting } };
  try {
    const { data } = ptx.readSample(card, { width, height, data: ptx.fromBase64(base64) });
    return JSON.stringify({ pixels: ptx.toBase64(data) });
  } catch (error) {
    return JSON.stringify({ word: error.word ?? error.stack });
  }
};
"""


def open_fit() -> Host:
    """A host that has the function `fit`."""
    host = open_host()
    host.run(engine() + FIT)
    return host


def fit_in_page(host: Host, image: Image.Image, fit: str = "digit") -> Any:
    """uint8 (28, 28) of the page's fit, or the code of a refusal."""
    rgba = image.convert("RGBA")
    question = {
        "width": rgba.width,
        "height": rgba.height,
        "base64": base64.b64encode(rgba.tobytes()).decode(),
        "setting": {"size": [28, 28], "fit": fit},
    }
    answer = json.loads(host.call("fit", json.dumps(question)))
    if "word" in answer:
        return REFUSALS.get(answer["word"], answer["word"])
    return np.frombuffer(base64.b64decode(answer["pixels"]), np.uint8).reshape(28, 28)


def fit_here(image: Image.Image, fit: str = "digit") -> Any:
    """The same of Python's."""
    try:
        return RESIZE_MODES[fit](image, (28, 28))
    except InputError as error:
        return error.code


def compare(got: Any, expected: Any) -> str:
    """What became of one picture."""
    if isinstance(got, str) or isinstance(expected, str):
        same = isinstance(got, str) and isinstance(expected, str) and got == expected
        return (
            "refused alike"
            if same
            else f"refused otherwise: {got if isinstance(got, str) else expected}"
        )
    off = np.abs(got.astype(int) - expected)
    if not off.any():
        return "equal"
    return f"off by {off.max()}" if off.max() <= 2 else "off by more than 2"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--mnist", type=Path, required=True, help="the folder of MNIST's files")
    parser.add_argument("--count", type=int, default=12, help="of typefaces and of MNIST each")
    parser.add_argument("--keep", type=Path, help="a folder for pictures that differ")
    options = parser.parse_args()
    maker = Maker(fonts=find_fonts(FONTS["report"]), **MAKERS["report"])
    digits = read_digits(options.mnist, 10)
    host, found, unequal, pixels = open_fit(), Counter[str](), 0, 0
    for form in FORMS:
        for index, (_, value) in enumerate(take(form, maker, digits, options.count, 1)):
            image = decode(value, name=form, least=min_decode_size)
            got, expected = fit_in_page(host, image), fit_here(image)
            came = compare(got, expected)
            found[came] += 1
            if not isinstance(got, str) and not isinstance(expected, str):
                unequal, pixels = unequal + int((got != expected).sum()), pixels + got.size
            elif "otherwise" in came and options.keep:
                image.save(options.keep / f"{form.split()[0]}-{index}.png")
    print(f"{sum(found.values())} pictures: {dict(found.most_common())}")
    host.close()
    print(f"{1 - unequal / pixels:.4%} of {pixels:,} pixels are equal")
    return int(
        any("more" in came or "otherwise" in came for came in found) or unequal > 0.001 * pixels
    )


if __name__ == "__main__":
    sys.exit(main())
