"""Whole MNIST and Fashion-MNIST: found on this machine, else downloaded through torchvision.

Looked for in this order: `$PTX_DATA/MNIST/raw`, the same below the cache folder, the network.
The files may be the plain IDX files or their `.gz` form. What is read is checked before it is used.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import io
import logging
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
from ptx.trainers.data.bundled import DIGITS
from ptx.trainers.data.dataset import Dataset, Split

SIDE = 28  # pixels
TRAIN_ROWS = 60_000
TEST_ROWS = 10_000
DOWNLOAD_TIMEOUT = 30.0  # seconds without a byte from the server

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class IdxFile:
    """One of the four files, and what it must contain."""

    name: str
    shape: tuple[int, ...]
    md5: str | None  # of the plain content, however it is compressed; None takes any


@dataclass(frozen=True)
class IdxSpec:
    """A data set in the four-file form of MNIST."""

    name: str
    folder: str  # where torchvision keeps the files, relative to its root
    torchvision_class: str
    labels: tuple[str, ...]
    fit: str  # what brings other pictures to the form of these, a key of FITS
    train_images: IdxFile
    train_labels: IdxFile
    test_images: IdxFile
    test_labels: IdxFile

    @property
    def files(self) -> tuple[IdxFile, ...]:
        return (self.train_images, self.train_labels, self.test_images, self.test_labels)


_IMAGES = (SIDE, SIDE)
FASHION_LABELS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
    "Ankle boot",
)  # fmt: skip

MNIST = IdxSpec(
    name="mnist",
    folder="MNIST/raw",
    torchvision_class="MNIST",
    labels=DIGITS,
    fit="digit",
    train_images=IdxFile(
        "train-images-idx3-ubyte", (TRAIN_ROWS, *_IMAGES), "6bbc9ace898e44ae57da46a324031adb"
    ),
    train_labels=IdxFile(
        "train-labels-idx1-ubyte", (TRAIN_ROWS,), "a25bea736e30d166cdddb491f175f624"
    ),
    test_images=IdxFile(
        "t10k-images-idx3-ubyte", (TEST_ROWS, *_IMAGES), "2646ac647ad5339dbf082846283269ea"
    ),
    test_labels=IdxFile("t10k-labels-idx1-ubyte", (TEST_ROWS,), "27ae3e4e09519cfbb04c329615203637"),
)

FASHION = IdxSpec(
    name="fashion-mnist",
    folder="FashionMNIST/raw",
    torchvision_class="FashionMNIST",
    labels=FASHION_LABELS,
    fit="square",
    train_images=IdxFile(
        "train-images-idx3-ubyte", (TRAIN_ROWS, *_IMAGES), "f4a8712d7a061bf5bd6d2ca38dc4d50a"
    ),
    train_labels=IdxFile(
        "train-labels-idx1-ubyte", (TRAIN_ROWS,), "9018921c3c673c538a1fc5bad174d6f9"
    ),
    test_images=IdxFile(
        "t10k-images-idx3-ubyte", (TEST_ROWS, *_IMAGES), "8181f5470baa50b63fa0f6fddb340f0a"
    ),
    test_labels=IdxFile("t10k-labels-idx1-ubyte", (TEST_ROWS,), "15d484375f8d13e6eb1aabb0c3f46965"),
)


def open_mnist(*, cache: Path) -> Dataset:
    """Whole MNIST: 60,000 training and 10,000 test images, uint8 (rows, 28, 28).

    Raises:
        InputError: it is not on this machine and cannot be downloaded, or a file is damaged.
    """
    return _open(MNIST, cache)


def open_mnist_held_out(*, cache: Path) -> Dataset:
    """MNIST's training rows alone, the last 10,000 of them in the place of the test rows.

    What a recipe is chosen on, so that the test rows stay unseen.

    Raises:
        InputError: as `open_mnist`.
    """
    whole = _open(MNIST, cache)
    rows = np.arange(len(whole.train))
    train, test = whole.train.take(rows[:-TEST_ROWS]), whole.train.take(rows[-TEST_ROWS:])
    return replace(
        whole,
        name="mnist-held-out",
        train=train,
        test=test,
        source=f"{whole.source}, tested on the last 10,000 training rows",
    )


def open_fashion(*, cache: Path) -> Dataset:
    """Whole Fashion-MNIST, in the form of MNIST.

    Raises:
        InputError: it is not on this machine and cannot be downloaded, or a file is damaged.
    """
    return _open(FASHION, cache)


def _open(spec: IdxSpec, cache: Path) -> Dataset:
    folder = find_folder(spec, cache)
    where = f"{spec.folder} on this machine"
    if folder is None:
        folder = _download(spec, cache)
        where = "downloaded through torchvision"
    train, test = read_folder(spec, folder)
    told = f"{spec.name}, {where}"
    return Dataset(spec.name, "image", train, test, spec.labels, told, spec.fit)


def find_folder(spec: IdxSpec, cache: Path) -> Path | None:
    """The first folder that holds all four files: below `$PTX_DATA`, then below `cache`."""
    roots = [cache]
    if given := os.environ.get("PTX_DATA"):
        if not Path(given).is_dir():
            raise InputError(
                f"PTX_DATA is {quote(given)}, which is not a folder; expected one that holds "
                f"{spec.folder}: correct or unset it",
                code="E-DATA",
            )
        roots.insert(0, Path(given))
    for root in roots:
        folder = root / spec.folder
        if all(_path_of(file, folder) for file in spec.files):
            return folder
    return None


def read_folder(spec: IdxSpec, folder: Path) -> tuple[Split, Split]:
    """The training and the test split, from the four files in `folder`."""
    arrays = [read_idx(file, folder) for file in spec.files]
    train_images, train_labels, test_images, test_labels = arrays
    for file, values in ((spec.train_labels, train_labels), (spec.test_labels, test_labels)):
        if values.max() >= len(spec.labels):
            raise _damaged_error(
                folder / file.name, f"holds label {values.max()}", f"0 to {len(spec.labels) - 1}"
            )
    return (
        Split({"image": train_images}, train_labels.astype(np.int64)),
        Split({"image": test_images}, test_labels.astype(np.int64)),
    )


def read_idx(file: IdxFile, folder: Path) -> NDArray[np.uint8]:
    """One IDX file, plain or .gz, uint8 in the shape that `file` states.

    Raises:
        InputError: the file is missing, or its header, size or digest is not the expected one.
    """
    path = _path_of(file, folder)
    if path is None:
        raise InputError(
            f"{quote(folder)} holds neither {file.name} nor {file.name}.gz: complete the folder",
            code="E-DATA",
        )
    size = int(np.prod(file.shape))
    header = _header(file.shape)
    content = _content(path, file, len(header) + size)
    if content[: len(header)] != header:
        raise _damaged_error(path, _describe_content(content), _describe_content(header))
    if len(content) != len(header) + size:
        got = "more" if len(content) > len(header) + size else f"{len(content)}"
        raise _damaged_error(
            path, f"holds {got} bytes", f"{len(header) + size}, as its header says"
        )
    _check_digest(path, content, file.md5)
    # A copy, because torch.from_numpy warns of the read-only view of bytes.
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(file.shape).copy()


def _path_of(file: IdxFile, folder: Path) -> Path | None:
    # The .gz first: it has a checksum of its own, a plain file may be half written.
    for path in (folder / f"{file.name}.gz", folder / file.name):
        if path.is_file():
            return path
    return None


def _content(path: Path, file: IdxFile, size: int) -> bytes:
    """The plain content of the file, cut off one byte past `size`."""
    try:
        data = path.read_bytes()
        if path.suffix != ".gz":
            return data
        with gzip.open(io.BytesIO(data)) as stream:
            return stream.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged_error(path, f"cannot be read ({error})", f"{size} bytes") from error


def _check_digest(path: Path, content: bytes, expected: str | None) -> None:
    # MD5 tells damage, not malice; it is what the publishers of the two sets give.
    got = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if expected is not None and got != expected:
        raise _damaged_error(path, f"has MD5 {got}", expected)


def _header(shape: tuple[int, ...]) -> bytes:
    """The IDX header: two zero bytes, 8 for uint8, the rank, then big-endian sizes."""
    return bytes((0, 0, 8, len(shape))) + np.array(shape, dtype=">u4").tobytes()


def _describe_content(content: bytes) -> str:
    if len(content) < 4 or content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        return f"begins with {content[:4].hex(' ') or 'nothing'}"
    sizes = np.frombuffer(content, ">u4", count=content[3], offset=4)
    return f"has the header of uint8 {tuple(int(size) for size in sizes)}"


def _damaged_error(path: Path, got: str, expected: str) -> InputError:
    return InputError(
        f"{quote(path)} {got}; expected {expected}: delete the file, it is then fetched again, "
        "or use --data bundled",
        code="E-DATA-DAMAGED",
    )


def _download(spec: IdxSpec, cache: Path) -> Path:
    """Fetch the four files below `cache`: each comes whole or not at all."""
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
            f"{spec.name} is not on this machine and cannot be downloaded ({reason}): "
            f"set PTX_DATA to a folder that holds {spec.folder}, or use --data bundled",
            code="E-DATA-DOWNLOAD",
        ) from error
    return target


def _torchvision_download(spec: IdxSpec, root: str) -> None:
    from torchvision import datasets

    known: Any = getattr(datasets, spec.torchvision_class)
    known(root=root, download=True)


@contextlib.contextmanager
def _quiet_stdout() -> Iterator[None]:
    """torchvision prints and draws: to stderr on a terminal, nowhere otherwise."""
    target = sys.stderr if sys.stderr.isatty() else io.StringIO()
    with contextlib.redirect_stdout(target), contextlib.redirect_stderr(target):
        yield


@contextlib.contextmanager
def _default_timeout(seconds: float) -> Iterator[None]:
    # torchvision passes no timeout to urlopen, and would wait for a silent server for ever.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
