"""Build `trainers/bundled/mnist.npz`, the part of MNIST that ptx carries, from the IDX files.

    python scripts/catalog/build_bundled.py --source DIR  # DIR holds MNIST/raw

The rule: 10,000 images of the training set and 2,000 of the test set. Each class gets the share
that it has in its set (largest remainders), evenly spaced over the class in the order of the file,
and the images keep the order of the file. Every run writes the same bytes.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptx.trainers.data.mnist import MNIST, read_folder

TRAIN_IMAGES = 10_000
TEST_IMAGES = 2_000
TARGET = Path(__file__).resolve().parents[2] / "trainers" / "bundled" / "mnist.npz"


def shares(counts: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """`total` divided in proportion to `counts`: the largest remainders get the rest."""
    exact = counts * total / counts.sum()
    given: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    rest = np.argsort(given - exact, kind="stable")[: total - int(given.sum())]
    given[rest] += 1
    return given


def chosen(targets: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """The positions of the images to keep, ascending: evenly spaced within each class."""
    counts = np.bincount(targets)
    kept = []
    for label, share in enumerate(shares(counts, total)):
        members = np.flatnonzero(targets == label)
        kept.append(members[(2 * np.arange(share) + 1) * len(members) // (2 * share)])
    return np.sort(np.concatenate(kept))


def build(source: Path) -> bytes:
    """The bytes of `mnist.npz`, from the four IDX files in the folder `source`."""
    train, test = read_folder(MNIST, source)
    arrays: dict[str, NDArray[Any]] = {}
    for name, split, total in (("train", train, TRAIN_IMAGES), ("test", test, TEST_IMAGES)):
        part = split.take(chosen(split.targets, total))
        arrays[f"{name}_images"] = part.inputs["image"]
        arrays[f"{name}_labels"] = part.targets.astype(np.uint8)
    return packed(arrays)


def packed(arrays: dict[str, NDArray[Any]]) -> bytes:
    """An .npz that `np.load` reads: LZMA members (a sixth smaller than deflate), no dates."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, values in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_LZMA
            member.create_system = 3  # the same header on every system
            content = io.BytesIO()
            np.lib.format.write_array(content, values, version=(1, 0), allow_pickle=False)
            archive.writestr(member, content.getvalue())
    return target.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="folder that holds MNIST/raw")
    parser.add_argument("--output", type=Path, default=TARGET, help="default: %(default)s")
    options = parser.parse_args()
    content = build(options.source / MNIST.folder)
    options.output.write_bytes(content)
    print(f"{options.output}: {len(content):,} bytes, {TRAIN_IMAGES} + {TEST_IMAGES} images")


if __name__ == "__main__":
    main()
