"""How often predictions are wrong for each error probability, over as many digits as other images.

    ./scripts/run photographs/low_confidence --model runs/convnet/convnet.onnx --mnist DIR

MNIST's test digits, and what `strangers.py` draws with the typefaces that `judging.py` reports. The
detector was fitted to none of it; a temperature was, to the former.
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from judging import FONTS, find_fonts, read_rows
from strangers import NONE, rows

from ptx import infer

BOUNDS = (0.0, 0.05, 0.2, 0.5, 0.8, 0.95, 1.01)
COUNT = 100  # pictures, times 4 to 14 of a kind


def ask(model: infer.Predictor, images: Any, labels: Any) -> Any:
    """(rows, 3): the error probability, whether the label is wrong, whether its score is over 90 %."""
    found = []
    for start in range(0, len(images), 250):
        samples = list(images[start : start + 250])
        answers = model.predict_samples(samples, [None] * len(samples))
        for answer, label in zip(answers, labels[start : start + 250], strict=True):
            found.append(
                (answer.error_probability, answer.label != str(label), (answer.score or 0) > 0.9)
            )
    return np.array(found, float)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", type=Path, default=Path("runs/convnet/convnet.onnx"))
    parser.add_argument("--mnist", type=Path, required=True, help="the folder of MNIST's files")
    options = parser.parse_args()
    model = infer.load(options.model, backend="ort-cpu")
    digits = read_rows(options.mnist, "t10k")
    kinds, images, labels = map(
        np.array, zip(*rows(find_fonts(FONTS["report"]), digits, COUNT, 2), strict=True)
    )
    parts = {"MNIST's test digits": ask(model, *digits)}
    parts |= {
        kind: ask(model, images[kinds == kind], labels[kinds == kind])
        for kind in dict.fromkeys(kinds.tolist())
    }
    print("| rows | right | right and flagged | wrong, over 90 % | and not flagged |")
    print("|---|---|---|---|---|")
    for name, (probabilities, wrong, sure) in ((name, part.T) for name, part in parts.items()):
        flagged = probabilities > 0.5
        shares = (1 - wrong).mean(), (flagged * (1 - wrong)).mean()
        said = " | ".join(f"{100 * share:.1f} %" for share in shares)
        counts = int((wrong * sure).sum()), int((wrong * sure * ~flagged).sum())
        print(f"| {len(probabilities):,} {name} | {said} | {counts[0]} | {counts[1]} |")
    mixed = np.concatenate(
        [
            parts["MNIST's test digits"][: (labels == NONE).sum()],
            *(parts[kind] for kind in ("letter", "doodle", "spoiled")),
        ]
    )
    print("\n| error probability | predictions | mean | wrong |\n|---|---|---|---|")
    for low, high in pairwise(BOUNDS):
        part = mixed[(mixed[:, 0] >= low) & (mixed[:, 0] < high)]
        probability, wrong, _ = part.mean(axis=0)
        print(f"| {low} to {min(high, 1.0)} | {len(part)} | {probability:.2f} | {wrong:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
