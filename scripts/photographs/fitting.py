"""Trains the out-of-distribution detector of digits and writes infer/digits/ood.npz.

    ./scripts/run photographs/fitting --mnist DIR

It learns MNIST's training digits, digits of typefaces, and, as an eleventh class, what is no digit; see
`strangers.py`. The typefaces are all that this machine has for English (`fc-list :lang=en`; the more the
better: 587 on 2026-11-23) but those that `judging.py` reports, and their families. One thread and fixed
seeds: the same data and typefaces give the same file. Printed: its digest, which goes to
`ptx.infer.digits.ood.DETECTORS` (rename the file there if models with the former one are to keep their
probabilities). What it says of rows that it has not seen, `low_confidence.py` shows.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from judging import FONTS, read_rows
from strangers import NONE, rows
from torch import Tensor, nn

HIDDEN = (192, 64)
OTHER_SIGNS = re.compile("symbol|emoji|icon|dingbat|math|barcode|braille|blank|hairline|thin", re.I)
TARGET = Path(__file__).parents[2] / "infer" / "digits" / "ood.npz"


def other_fonts() -> tuple[str, ...]:
    """Those that are not reported, nor of a family that is, but for families that are tuned on."""
    reported, tuned = (
        {re.split(r"[-_.\d]", name)[0] for name in FONTS[maker]} for maker in ("report", "tuning")
    )
    apart = (*(reported - tuned), *FONTS["report"], "LinBiolinum_K")
    command = ["fc-list", ":lang=en", "--format", "%{file}\n"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    paths = [Path(line) for line in sorted(set(listed.splitlines()))]
    return tuple(
        str(path)
        for path in paths
        if path.suffix in (".ttf", ".otf")
        and not path.name.startswith(apart)
        and not OTHER_SIGNS.search(path.name)
    )


def pooled(images: Any) -> Tensor:
    means = images.reshape(-1, 14, 2, 14, 2).mean((2, 4), dtype=np.float32)
    return torch.from_numpy(means).reshape(len(images), -1) / 255


def fit(images: Any, labels: Any, epochs: int) -> nn.Sequential:
    """A perceptron over the pooled pictures, each moved by up to a pixel."""
    sizes, layers = (196, *HIDDEN), list[nn.Module]()
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(0.1)]
    network = nn.Sequential(*layers, nn.Linear(sizes[-1], NONE + 1))
    moved = [
        pooled(np.roll(images, (down, across), (1, 2))) for down in (-1, 0) for across in (-1, 0)
    ]
    targets = torch.from_numpy(labels)
    optimizer = torch.optim.Adam(network.parameters(), weight_decay=1e-6)
    steps = epochs * -(-len(targets) // 256)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for epoch in range(epochs):
        for chosen in torch.split(torch.randperm(len(targets)), 256):
            batch = moved[int(torch.randint(4, ()))][chosen]
            loss = nn.functional.cross_entropy(network(batch), targets[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}/{epochs}: loss {loss.item():.3f}", flush=True)
    return network.eval()


def to_file(network: nn.Sequential) -> bytes:
    """The file for `ptx.infer.digits.ood.load_detector`, with weights rounded to int8."""
    arrays: dict[str, Any] = {}
    for at, layer in enumerate(layer for layer in network if isinstance(layer, nn.Linear)):
        weights = layer.weight.detach().numpy()
        scale = float(np.abs(weights).max()) / 127
        rounded = np.rint(weights / scale).astype(np.int8)
        arrays[f"weights{at}"], arrays[f"scale{at}"] = rounded, np.float64(scale)
        arrays[f"biases{at}"] = layer.bias.detach().numpy()
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--mnist", type=Path, required=True, help="the folder of MNIST's files")
    parser.add_argument("--count", type=int, default=7500, help="pictures, times 4 to 14 of a kind")
    parser.add_argument("--epochs", type=int, default=45)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)  # sums in another order are other weights
    digits = read_rows(options.mnist, "train")
    _, images, labels = zip(*rows(other_fonts(), digits, options.count, 1), strict=True)
    pictures, classes = np.concatenate([digits[0], images]), np.concatenate([digits[1], labels])
    content = to_file(fit(pictures, classes, options.epochs))
    TARGET.write_bytes(content)
    print(f"SHA-256 of {TARGET.name}: {hashlib.sha256(content).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
