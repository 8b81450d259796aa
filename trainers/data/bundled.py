"""The data inside the package, so that the first run needs no network."""

from __future__ import annotations

import io
from importlib import resources

import numpy as np

from ptx.trainers.data.dataset import Dataset, Split

PACKAGE = "ptx.trainers.bundled"
DIGITS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")


def read_bundled(name: str) -> bytes:
    """The content of one bundled file."""
    return resources.files(PACKAGE).joinpath(name).read_bytes()


def open_mnist() -> Dataset:
    """A fixed part of MNIST, classes in its proportions: 10,000 training and 2,000 test images.

    `image`: uint8 (rows, 28, 28), ink light on dark. `scripts/catalog/build_bundled.py` states the rule.
    """
    with np.load(io.BytesIO(read_bundled("mnist.npz")), allow_pickle=False) as arrays:
        train, test = (
            Split({"image": arrays[f"{part}_images"]}, arrays[f"{part}_labels"].astype(np.int64))
            for part in ("train", "test")
        )
    source = "MNIST, the part bundled with ptx"
    return Dataset("bundled-mnist", "image", train, test, DIGITS, source, "digit")
