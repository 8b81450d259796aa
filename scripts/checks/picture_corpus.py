"""Every file of a folder through the decoder and through `ptx predict`: a right answer or a refusal.

Made for the test pictures that come with Pillow's source: `pip download --no-binary :all: --no-deps
pillow`, unpack it, give the folder Tests/images.

A picture is right where it has the pixels that Pillow gives, upright, in 8 bit, with its alpha; 16-bit
samples scaled. In a process of its own each file has ten seconds of a processor and 1 GiB; the verb and
the decoder must agree on whether it is answered. Exit code 1 where anything else is found.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ptx.cli.values.inputs import silence_decoders
from ptx.infer.errors import InputError
from ptx.infer.picture.decode import decode

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.battery.test_battery import MAIN, PATIENCE, RESIDENT


def pillow_s(path: Path) -> Image.Image | None:
    """The picture as Pillow alone reads it, as RGBA; None where it does not, or holds several."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
                    return None
                image.load()
                peak = 2 ** getattr(image, "tag_v2", {}).get(258, (16,))[0] - 1
                upright = ImageOps.exif_transpose(image)
        except Exception:  # of many kinds
            return None
    if not upright.mode.startswith("I"):
        return upright.convert("RGBA")
    samples = np.asarray(upright)
    gray = np.round(samples * 255.0 / peak).astype(np.uint8)
    alpha = np.where(samples == upright.info.get("transparency"), 0, 255).astype(np.uint8)
    return Image.fromarray(np.dstack([gray, alpha])).convert("RGBA")


def by_library(path: Path) -> tuple[str, str]:
    """(what came of it, what is wrong with that)."""
    try:
        image = decode(path.read_bytes(), name=path.name)
    except InputError as error:
        return error.code, ""
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {error}"
    expected = pillow_s(path)
    if expected is None:
        return "answered", "Pillow gives no picture"
    if expected.size != image.size or expected.tobytes() != image.convert("RGBA").tobytes():
        return "answered", f"other pixels than Pillow's {expected.mode} {expected.size}"
    return "answered", ""


def by_verb(path: Path, model: Path, folder: Path) -> tuple[str, int, str]:
    """(what came of it, kB at the peak, what is wrong)."""
    peak = folder / os.urandom(8).hex()
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "predict", "--backend=ort-cpu", f"--model={model}", "--", path],
        capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
        timeout=PATIENCE, check=False, env={**os.environ, "PTX_PEAK": str(peak)},
    )  # fmt: skip
    resident = int(peak.read_text()) if peak.exists() else 0
    lines = done.stderr.splitlines()
    codes = [line.split("]")[0] for line in lines if line.startswith("ptx: error [")]
    outcome = codes[0].removeprefix("ptx: error [") if codes else "answered"
    told = len(codes) == (done.returncode == 4) and bool(done.stdout) != bool(codes)
    wrong = "" if 0 < resident < RESIDENT else f"{resident} kB at the peak"
    if done.returncode not in (0, 4) or not told or any(line[:5] != "ptx: " for line in lines):
        wrong = f"exit code {done.returncode}: {done.stdout}{done.stderr[-300:]}"
    return outcome, resident, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, default=Path("runs/convnet/convnet.onnx"),
                        help="an artifact that takes drawn digits (default: %(default)s)")  # fmt: skip
    options = parser.parse_args()
    silence_decoders()
    paths = sorted(path for path in options.folder.rglob("*") if path.is_file())
    counts = {"decoder": Counter[str](), "verb": Counter[str]()}
    findings = largest = 0
    with tempfile.TemporaryDirectory() as name:
        for path in paths:
            decoded, unlike = by_library(path)
            told, resident, wrong = by_verb(path, options.model, Path(name))
            counts["decoder"][decoded] += 1
            counts["verb"][told] += 1
            largest = max(largest, resident)
            # A picture that can be decoded may hold nothing that could be a digit.
            if decoded != told and (decoded, told) != ("answered", "E-IMG-BLANK"):
                wrong = wrong or f"the decoder says {decoded}, the verb {told}"
            for what in filter(None, (unlike, wrong)):
                findings += 1
                print(f"{path}: {what}", flush=True)
    for who, found in counts.items():
        print(f"{who}: {', '.join(f'{what} {count}' for what, count in found.most_common())}")
    print(f"{len(paths)} files, {largest // 1024} MiB at the most, findings: {findings}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
