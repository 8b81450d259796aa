"""Simulated photographs through `predict`: how many are right, refused, flagged, or wrong and sure.

    ./scripts/run photographs/judging --model runs/convnet/convnet.onnx --mnist DIR

Each form is taken of digits of typefaces and of MNIST's test digits, beneath a camera, light and paper
of `--maker` (tuning or report). Typefaces are those of Debian's font packages.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from forms import FORMS, NO_ANSWER
from shots import Maker, Shot

from ptx import infer
from ptx.infer.errors import InputError

FONTS = {
    "tuning": (
        "DejaVuSans.ttf",
        "DejaVuSerif.ttf",
        "LiberationMono-Regular.ttf",
        "FreeSerif.ttf",
        "Lato-Regular.ttf",
        "ComicNeue-Regular.otf",
        "Cantarell-Regular.otf",
        "OpenSans-Bold.ttf",
        "Quicksand-Regular.ttf",
        "Carlito-Regular.ttf",
        "DancingScript-Regular.otf",
        "Inconsolata.otf",
    ),
    "report": (
        "LiberationSans-Regular.ttf",
        "LiberationSerif-Bold.ttf",
        "Roboto-Regular.ttf",
        "FreeSans.ttf",
        "FreeMono.ttf",
        "Hack-Regular.ttf",
        "EBGaramond12-Regular.otf",
        "Humor-Sans.ttf",
        "dkg.ttf",
        "LinLibertine_R.otf",
        "OpenSans-Light.ttf",
        "OldStandard-Regular.ttf",
        "DejaVuSans-Bold.ttf",
        "Lato-Light.ttf",
        "Quicksand-Bold.ttf",
        "ComicNeue-Bold.otf",
    ),
}
MAKERS: dict[str, dict[str, Any]] = {
    "tuning": {
        "sizes": ((640, 480), (480, 640), (400, 300), (960, 720), (500, 500)),
        "height": (0.25, 0.6), "papers": ((245, 243, 238), (255, 255, 255), (230, 225, 210)),
        "inks": ((20, 20, 25), (30, 40, 120), (10, 10, 10), (70, 40, 30)),
        "tables": ((60, 45, 35), (40, 40, 45), (90, 70, 50)),
        "slant": 0.12, "least_light": 0.6, "noise": (0, 8), "blur": (0, 1.5), "quality": (60, 96),
        "variant": 0,
    },
    "report": {
        "sizes": ((800, 600), (600, 800), (1280, 960), (360, 270), (720, 540), (450, 600)),
        "height": (0.22, 0.7), "papers": ((250, 248, 225), (240, 240, 244), (222, 226, 230)),
        "inks": ((15, 30, 90), (40, 40, 40), (0, 60, 20), (5, 5, 5), (120, 20, 40)),
        "tables": ((30, 26, 24), (75, 55, 40), (50, 60, 70)),
        "slant": 0.15, "least_light": 0.5, "noise": (1, 10), "blur": (0, 2), "quality": (50, 92),
        "variant": 1,
    },
}  # fmt: skip


def find_fonts(names: tuple[str, ...]) -> tuple[str, ...]:
    found = {path.name: str(path) for path in Path("/usr/share/fonts").rglob("*.?tf")}
    return tuple(found[name] for name in names if name in found)


def read_rows(folder: Path, part: str) -> tuple[Any, Any]:
    """MNIST's pictures and labels; `part`: train or t10k."""
    images, labels = (
        np.frombuffer(gzip.decompress((folder / f"{part}-{name}").read_bytes()), np.uint8)
        for name in ("images-idx3-ubyte.gz", "labels-idx1-ubyte.gz")
    )
    return images[16:].reshape(-1, 28, 28), labels[8:].astype(np.int64)


def read_digits(folder: Path, count: int) -> list[Any]:
    """MNIST's test pictures by label, `count` of each."""
    pixels, labels = read_rows(folder, "t10k")
    return [pixels[labels == label][:count] for label in range(10)]


def take(form: str, maker: Maker, digits: Any, count: int, seed: int) -> list[tuple[str, bytes]]:
    """Photographs with the digit that each shows: half of typefaces, half drawn."""
    shots = []
    for index in range(2 * count):
        random = np.random.default_rng([seed, list(FORMS).index(form), index])
        shot = Shot(maker, random, digits if index % 2 else None)
        text = str(random.integers(10))
        shots.append((text, FORMS[form](shot, text)))
    return shots


def judge(form: str, text: str, value: bytes, model: infer.Predictor) -> tuple[str, str]:
    """(what came of it, what was said)."""
    try:
        answer = model.predict(value)
    except InputError as error:
        return "refused", error.code
    said = str(answer.label)
    if answer.label == text and form not in NO_ANSWER:
        return ("right, flagged" if answer.low_confidence else "right"), said
    sure = (answer.score or 0) > 0.9
    if answer.low_confidence:
        return ("flagged" if sure else "flagged, unsure"), said
    return ("sure and wrong" if sure else "wrong"), said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", type=Path, default=Path("runs/convnet/convnet.onnx"))
    parser.add_argument("--mnist", type=Path, required=True, help="the folder of MNIST's files")
    parser.add_argument("--maker", choices=MAKERS, default="report")
    parser.add_argument("--count", type=int, default=100, help="of typefaces and of MNIST each")
    parser.add_argument("--form", action="append", choices=FORMS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for what was neither right nor refused")
    options = parser.parse_args()
    maker = Maker(fonts=find_fonts(FONTS[options.maker]), **MAKERS[options.maker])
    if len(maker.fonts) < 12:
        print(f"{len(maker.fonts)} typefaces are installed; 12 are needed")
        return 1
    digits = read_digits(options.mnist, 10)
    model = infer.load(options.model, backend="ort-cpu")
    head = f"{options.maker}, {len(maker.fonts)} typefaces"
    print(
        f"| {head} | right | of them flagged | refused | wrong, flagged | right, refused or flagged |"
        " sure and wrong | without the flag | each |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    for form in options.form or FORMS:
        row(form, take(form, maker, digits, options.count, options.seed), model, options.keep)
    return 0


def row(
    form: str, shots: list[tuple[str, bytes]], model: infer.Predictor, keep: Path | None
) -> None:
    """Print the line of a form."""
    found: dict[str, int] = {}
    begun = time.perf_counter()
    for index, (text, value) in enumerate(shots):
        what, said = judge(form, text, value, model)
        found[what] = found.get(what, 0) + 1
        if keep and what in ("wrong", "sure and wrong"):
            name = f"{form.split()[0]}-{index}-{text}-{what}-{said}".replace(" ", "_")
            suffix = "bmp" if form == "1-bit BMP" else "jpg"
            (keep / f"{name.replace('/', '_')}.{suffix}").write_bytes(value)
    total = len(shots)
    right = found.get("right", 0) + found.get("right, flagged", 0)
    flagged = found.get("flagged", 0) + found.get("flagged, unsure", 0)
    refused, sure = found.get("refused", 0), found.get("sure and wrong", 0)
    counts = right, found.get("right, flagged", 0), refused, flagged, right + refused + flagged
    shown = " | ".join(f"{100 * count / total:.0f} %" for count in counts)
    ms = 1000 * (time.perf_counter() - begun) / total
    print(
        f"| {form} | {shown} | {sure} of {total} | {sure + found.get('flagged', 0)} | {ms:.0f} ms |",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
