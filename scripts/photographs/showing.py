"""One simulated photograph of each form as files, for docs/images/pictures.png.

./scripts/run photographs/showing --mnist DIR --into FOLDER
ptx predict FOLDER/* --all --output docs/images/pictures.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from forms import FORMS
from judging import FONTS, MAKERS, find_fonts, read_digits, take
from shots import Maker

LEFT_OUT = (
    "plain",
    "vignette",
    "pencil",
    "squared paper",
    "letter",
    "no digit",
)  # nothing to see there


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--mnist", type=Path, required=True, help="the folder of MNIST's files")
    parser.add_argument("--into", type=Path, required=True, help="the folder of the files")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    maker = Maker(fonts=find_fonts(FONTS["report"]), **MAKERS["report"])
    digits = read_digits(options.mnist, 10)
    options.into.mkdir(parents=True, exist_ok=True)
    for index, form in enumerate(FORMS):
        if form not in LEFT_OUT:
            (_, value), _ = take(form, maker, digits, 1, options.seed)
            suffix = "bmp" if form == "1-bit BMP" else "jpg"
            (options.into / f"{index:02} {form.replace(chr(39), '')}.{suffix}").write_bytes(value)
    return 0


if __name__ == "__main__":
    sys.exit(main())
