"""Data sets inside the package, so that the first run needs no network: digits and tutorial data.

The training and test rows of the tiny tutorial data sets are the same rows.
"""

from __future__ import annotations

import io

import numpy as np

from ptx.trainers.data.dataset import Dataset, Split, read_bundled

DIGITS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
LINE_SEED = 42


def open_mnist() -> Dataset:
    """A fixed stratified subset of MNIST: 10,000 training and 2,000 test images.

    `image`: uint8 (rows, 28, 28), light digits on black. `scripts/catalog/build_bundled.py` selects it.
    """
    with np.load(io.BytesIO(read_bundled("mnist.npz")), allow_pickle=False) as arrays:
        train, test = (
            Split({"image": arrays[f"{part}_images"]}, arrays[f"{part}_labels"].astype(np.int64))
            for part in ("train", "test")
        )
    source = "MNIST, the part bundled with ptx"
    return Dataset("bundled-mnist", "image", train, test, DIGITS, source, "mnist")


def open_line() -> Dataset:
    """A noisy line: x = linspace(-1, 1, 101), y = 2x + 0.33·N(0, 1); float32 (101, 1).

    The noise is that of the tutorial's `torch.manual_seed(42)` and `torch.randn(101)`.
    """
    import torch

    x = np.linspace(-1, 1, 101)
    noise = torch.randn(101, generator=torch.Generator().manual_seed(LINE_SEED))
    return _points("line", x, 2 * x + 0.33 * noise.numpy(), "a noisy line, y = 2x + 0.33·N(0, 1)")


def open_three_points() -> Dataset:
    """Three points of y = 2x: x = 1, 2, 3; float32 (3, 1)."""
    return _points("three-points", np.arange(1.0, 4.0), np.arange(2.0, 7.0, 2.0), "y = 2x")


def open_hours() -> Dataset:
    """Hours of study and the result of the exam: 1 fail, 2 fail, 3 pass."""
    hours = np.array([[1.0], [2.0], [3.0]], np.float32)
    rows = Split({"columns": hours}, np.array([0, 0, 1], np.int64))
    return Dataset("hours", "columns", rows, rows, ("fail", "pass"), "hours of study, 3 rows")


def open_hello() -> Dataset:
    """One sequence of five characters, "hello" → "ohlol"; `sequence`: int64 (1, 5)."""
    alphabet = ("e", "h", "l", "o")
    letters, targets = (
        np.array([[alphabet.index(letter) for letter in word]], np.int64)
        for word in ("hello", "ohlol")
    )
    rows = Split({"sequence": letters}, targets)
    return Dataset("hello", "sequence", rows, rows, alphabet, '"hello" → "ohlol", one sequence')


def _points(name: str, x: np.ndarray, y: np.ndarray, source: str) -> Dataset:
    rows = Split(
        {"columns": x.astype(np.float32).reshape(-1, 1)}, y.astype(np.float32).reshape(-1, 1)
    )
    return Dataset(name, "columns", rows, rows, (), f"{source}, {len(rows)} points")
