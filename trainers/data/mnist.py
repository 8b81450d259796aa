"""MNIST and Fashion-MNIST: read from this machine, or downloaded through torchvision.

They are searched for in this order: `$PTX_DATA/MNIST/raw`, the same path in the cache folder, the
network. The files may be plain IDX files or compressed as `.gz`. Their MD5 is checked.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import io
import logging
import math
import os
import socket
import sys
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptx.infer.errors import InputError, quote
from ptx.models import CATALOG
from ptx.trainers.data.bundled import DIGITS
from ptx.trainers.data.dataset import Dataset, Split

TEST_ROWS = 10_000
DOWNLOAD_TIMEOUT = 30.0  # seconds without a byte from the server

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class IdxFile:
    """A file in the IDX format of MNIST: a header, then uint8 in C order."""

    name: str
    shape: tuple[int, ...]
    md5: str  # of the uncompressed content


@dataclass(frozen=True)
class IdxSpec:
    """A data set of four IDX files, as MNIST."""

    name: str
    folder: str  # where torchvision keeps the files, relative to its root
    torchvision_class: str
    labels: tuple[str, ...]
    resize_mode: str  # how other images are resized to be like these: a key of RESIZE_MODES
    files: tuple[IdxFile, ...]  # training images and labels, test images and labels


def _list_files(*digests: str) -> tuple[IdxFile, ...]:
    shapes = {
        "train-images-idx3-ubyte": (60_000, 28, 28),
        "train-labels-idx1-ubyte": (60_000,),
        "t10k-images-idx3-ubyte": (TEST_ROWS, 28, 28),
        "t10k-labels-idx1-ubyte": (TEST_ROWS,),
    }
    return tuple(
        IdxFile(name, shape, md5)
        for (name, shape), md5 in zip(shapes.items(), digests, strict=True)
    )


MNIST = IdxSpec(
    name="mnist",
    folder="MNIST/raw",
    torchvision_class="MNIST",
    labels=DIGITS,
    resize_mode="mnist",
    files=_list_files(
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
)
FASHION = IdxSpec(
    name="fashion-mnist",
    folder="FashionMNIST/raw",
    torchvision_class="FashionMNIST",
    labels=CATALOG["neural-network"].labels,
    resize_mode="letterbox",
    files=_list_files(
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
)


def open_mnist(*, cache: Path) -> Dataset:
    """MNIST: 60,000 training and 10,000 test images, uint8 (rows, 28, 28).

    Raises:
        InputError: there is no local copy and the download failed, or a file is damaged.
    """
    return _open(MNIST, cache)


def open_mnist_validation(*, cache: Path) -> Dataset:
    """The training rows of MNIST, with the last 10,000 as a validation split in place of the test rows.

    Hyper-parameters are chosen on it, so that the test rows stay unseen.

    Raises:
        InputError: as `open_mnist`.
    """
    mnist = _open(MNIST, cache)
    rows = np.arange(len(mnist.train))
    train, validation = mnist.train.take(rows[:-TEST_ROWS]), mnist.train.take(rows[-TEST_ROWS:])
    return replace(
        mnist,
        name="mnist-validation",
        train=train,
        test=validation,
        source=f"{mnist.source}, tested on the last 10,000 training rows",
    )


def open_fashion(*, cache: Path) -> Dataset:
    """Fashion-MNIST: as `open_mnist`.

    Raises:
        InputError: there is no local copy and the download failed, or a file is damaged.
    """
    return _open(FASHION, cache)


def _open(spec: IdxSpec, cache: Path) -> Dataset:
    folder = find_folder(spec, cache)
    origin = f"{spec.folder} on this machine"
    if folder is None:
        folder = _download(spec, cache)
        origin = "downloaded through torchvision"
    train, test = read_folder(spec, folder)
    source = f"{spec.name}, {origin}"
    return Dataset(spec.name, "image", train, test, spec.labels, source, spec.resize_mode)


def find_folder(spec: IdxSpec, cache: Path) -> Path | None:
    """The first folder that has all four files, in `$PTX_DATA` or in `cache`; None if there is none."""
    roots = [cache]
    if data_root := os.environ.get("PTX_DATA"):
        if not Path(data_root).is_dir():
            raise InputError(
                f"PTX_DATA is {quote(data_root)}, which is not a folder; expected one that contains "
                f"{spec.folder}: correct or unset it",
                code="E-DATA",
            )
        roots.insert(0, Path(data_root))
    for root in roots:
        folder = root / spec.folder
        if all(_find_file(file, folder) for file in spec.files):
            return folder
    return None


def read_folder(spec: IdxSpec, folder: Path) -> tuple[Split, Split]:
    """The training and the test split, from the four files in `folder`.

    Raises:
        InputError: a file is missing, or differs from the published one.
    """
    train_images, train_labels, test_images, test_labels = (
        _read_idx(file, folder) for file in spec.files
    )
    return (
        Split({"image": train_images}, train_labels.astype(np.int64)),
        Split({"image": test_images}, test_labels.astype(np.int64)),
    )


def _find_file(file: IdxFile, folder: Path) -> Path | None:
    # The .gz first: it has a checksum; a plain file may be incomplete.
    candidates = (folder / f"{file.name}.gz", folder / file.name)
    return next((path for path in candidates if path.is_file()), None)


def _read_idx(file: IdxFile, folder: Path) -> NDArray[np.uint8]:
    """The values of a file, whose digest also covers the header and the size."""
    path = _find_file(file, folder)
    if path is None:
        raise InputError(
            f"{quote(folder)} contains neither {file.name} nor {file.name}.gz: complete the folder",
            code="E-DATA",
        )
    offset = 4 + 4 * len(file.shape)
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as stream:
            content = stream.read(offset + math.prod(file.shape) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged_error(path, f"cannot be read ({error})", "the published file") from error
    # MD5 detects damage, not manipulation; it is what the publishers of both data sets give.
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if digest != file.md5:
        raise _damaged_error(path, f"has MD5 {digest}", file.md5)
    # A copy, because torch.from_numpy warns about read-only arrays.
    return np.frombuffer(content, np.uint8, offset=offset).reshape(file.shape).copy()


def _damaged_error(path: Path, problem: str, expected: str) -> InputError:
    return InputError(
        f"{quote(path)} {problem}; expected {expected}: delete the file to download it again, "
        "or use --data bundled",
        code="E-DATA-DAMAGED",
    )


def _download(spec: IdxSpec, cache: Path) -> Path:
    """Download the four files into `cache`; each file is moved there when it is complete."""
    log.info("downloading %s through torchvision", spec.name)
    target = cache / spec.folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as root:
            with _quiet_stdout(), _default_timeout(DOWNLOAD_TIMEOUT):
                _torchvision_download(spec, root)
            target.mkdir(parents=True, exist_ok=True)
            for file in spec.files:
                name = f"{file.name}.gz"
                (Path(root) / spec.folder / name).replace(target / name)
    except (OSError, RuntimeError, EOFError, http.client.HTTPException, ImportError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{spec.name} has no local copy and cannot be downloaded ({reason}): "
            f"set PTX_DATA to a folder that contains {spec.folder}, or use --data bundled",
            code="E-DATA-DOWNLOAD",
        ) from error
    return target


def _torchvision_download(spec: IdxSpec, root: str) -> None:
    from torchvision import datasets

    dataset_class: Any = getattr(datasets, spec.torchvision_class)
    dataset_class(root=root, download=True)


@contextlib.contextmanager
def _quiet_stdout() -> Iterator[None]:
    """Send torchvision's output and progress bars to stderr on a terminal, and nowhere otherwise."""
    target = sys.stderr if sys.stderr.isatty() else io.StringIO()
    with contextlib.redirect_stdout(target), contextlib.redirect_stderr(target):
        yield


@contextlib.contextmanager
def _default_timeout(seconds: float) -> Iterator[None]:
    # torchvision passes no timeout to urlopen, and would wait forever for a server that sends nothing.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
