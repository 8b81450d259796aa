"""Whole MNIST: found, checked and downloaded, with the way out in every error."""

from __future__ import annotations

import functools
import gc
import gzip
import hashlib
import http.server
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptx.infer.errors import InputError
from ptx.trainers.data import open_dataset
from ptx.trainers.data.mnist import (
    FASHION,
    MNIST,
    IdxFile,
    IdxSpec,
    find_folder,
    read_folder,
)

SHARED = Path(__file__).parents[3].parent / "shared" / "datasets"
needs_shared = pytest.mark.skipif(
    not (SHARED / "MNIST/raw").is_dir(), reason="whole MNIST is not beside the repository"
)


def idx(values: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    sizes = np.array(values.shape, ">u4").tobytes()
    return bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes()


IMAGES = idx(np.arange(2 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(2, 28, 28))
LABELS = idx(np.array([3, 9], np.uint8))
IMAGE_FILE = IdxFile("train-images-idx3-ubyte", (2, 28, 28), hashlib.md5(IMAGES).hexdigest())
LABEL_FILE = IdxFile("train-labels-idx1-ubyte", (2,), hashlib.md5(LABELS).hexdigest())
TINY = IdxSpec(
    name="tiny",
    folder="MNIST/raw",
    torchvision_class="MNIST",
    labels=MNIST.labels,
    resize_mode="mnist",
    files=(
        IMAGE_FILE,
        LABEL_FILE,
        replace(IMAGE_FILE, name="t10k-images-idx3-ubyte"),
        replace(LABEL_FILE, name="t10k-labels-idx1-ubyte"),
    ),
)


def written(root: Path, *, packed: bool = True) -> Path:
    folder = root / TINY.folder
    folder.mkdir(parents=True)
    for file in TINY.files:
        content = IMAGES if len(file.shape) == 3 else LABELS
        target = folder / (f"{file.name}.gz" if packed else file.name)
        target.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    return folder


@pytest.mark.parametrize("packed", [True, False])
def test_plain_and_packed_files_give_the_same_splits(tmp_path: Path, packed: bool) -> None:
    train, test = read_folder(TINY, written(tmp_path, packed=packed))
    assert train.inputs["image"].tobytes() == IMAGES[16:]
    assert train.targets.tolist() == [3, 9]
    assert train.targets.dtype == np.int64
    assert len(test) == 2
    assert train.inputs["image"].flags.writeable  # torch.from_numpy warns otherwise


def test_ptx_data_comes_before_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = written(tmp_path / "cache")
    monkeypatch.delenv("PTX_DATA", raising=False)
    assert find_folder(TINY, tmp_path / "cache") == cached
    monkeypatch.setenv("PTX_DATA", str(tmp_path / "given"))
    with pytest.raises(InputError, match=r"PTX_DATA is '.*given', which is not a folder"):
        find_folder(TINY, tmp_path / "cache")
    given = written(tmp_path / "given")
    assert find_folder(TINY, tmp_path / "cache") == given
    (given / f"{LABEL_FILE.name}.gz").unlink()
    assert find_folder(TINY, tmp_path / "cache") == cached


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        LABELS,
        idx(np.zeros((3, 28, 28), np.uint8)),
        IMAGES[:9],
        IMAGES[:-1],
        IMAGES + b"\0",
        IMAGES[:-1] + b"\1",
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_a_file_that_is_not_the_published_one_is_refused_with_both_digests(
    tmp_path: Path, content: bytes, packed: bool
) -> None:
    folder = written(tmp_path, packed=packed)
    path = folder / (f"{IMAGE_FILE.name}.gz" if packed else IMAGE_FILE.name)
    path.write_bytes(gzip.compress(content) if packed else content)
    got = hashlib.md5(content[: len(IMAGES) + 1]).hexdigest()  # no more of it is read
    with pytest.raises(InputError, match=f"has MD5 {got}; expected {IMAGE_FILE.md5}") as caught:
        read_folder(TINY, folder)
    assert path.name in str(caught.value)
    assert "delete the file" in str(caught.value)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress(IMAGES)
    folder = written(tmp_path)
    for content in (packed[:-20], b"not gzip", packed[:30] + b"\xff\xff\xff" + packed[33:]):
        (folder / f"{IMAGE_FILE.name}.gz").write_bytes(content)
        with pytest.raises(InputError, match="cannot be read"):
            read_folder(TINY, folder)


@pytest.mark.parametrize("level", [1, 9])
def test_a_right_file_is_read_however_it_was_compressed(tmp_path: Path, level: int) -> None:
    folder = written(tmp_path)
    packed = gzip.compress(IMAGES, compresslevel=level, mtime=level)
    (folder / f"{IMAGE_FILE.name}.gz").write_bytes(packed)
    train, _ = read_folder(TINY, folder)
    assert train.inputs["image"].tobytes() == IMAGES[16:]


@pytest.mark.parametrize("source", [MNIST, FASHION], ids=lambda source: source.name)
def test_both_sets_are_known_by_the_digest_of_their_plain_content(source: IdxSpec) -> None:
    assert len({file.md5 for file in source.files}) == 4


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither train-images-idx3-ubyte nor .*\.gz"):
        read_folder(TINY, tmp_path)


TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


@needs_shared
@pytest.mark.parametrize(
    ("name", "counts"), [("mnist", TRAIN_COUNTS), ("fashion-mnist", [6000] * 10)]
)
def test_a_whole_set_is_read_from_a_folder_of_packed_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, counts: list[int]
) -> None:
    monkeypatch.setenv("PTX_DATA", str(SHARED))
    data = open_dataset(name, default="mnist", cache=tmp_path)
    assert (len(data.train), len(data.test)) == (60_000, 10_000)
    assert np.bincount(data.train.targets).tolist() == counts
    assert not list(tmp_path.iterdir())


@needs_shared
def test_the_validation_rows_are_the_last_training_rows_and_no_test_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTX_DATA", str(SHARED))
    whole = open_dataset("mnist", default="mnist", cache=tmp_path)
    data = open_dataset("mnist-validation", default="mnist", cache=tmp_path)
    assert (len(data.train), len(data.test)) == (50_000, 10_000)
    for part, rows in ((data.train, slice(0, 50_000)), (data.test, slice(50_000, None))):
        assert np.array_equal(part.inputs["image"], whole.train.inputs["image"][rows])
        assert np.array_equal(part.targets, whole.train.targets[rows])
    assert data.name == "mnist-validation"
    assert "the last 10,000 training rows" in data.source


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder served on 127.0.0.1, which torchvision takes for its only mirror."""
    datasets = pytest.importorskip("torchvision.datasets")
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        monkeypatch.delenv("PTX_DATA", raising=False)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.setenv(name, "127.0.0.1")
        mirror = f"http://127.0.0.1:{server.server_address[1]}/"
        for known in (datasets.MNIST, datasets.FashionMNIST):
            monkeypatch.setattr(known, "mirrors", [mirror])
        yield folder
        server.shutdown()
        thread.join()
    # torchvision keeps the urllib error of a refused request, and with it an open socket, in a
    # cycle of frames: let it go here, not in some later test.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@needs_shared
def test_mnist_is_downloaded_once_and_then_found_in_the_cache(
    served: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from torchvision import datasets

    resources = []
    for file in MNIST.files:
        content = (SHARED / MNIST.folder / f"{file.name}.gz").read_bytes()
        (served / f"{file.name}.gz").write_bytes(content)
        # The same content was packed anew there, so that torchvision's own digests do not fit.
        resources.append((f"{file.name}.gz", hashlib.md5(content).hexdigest()))
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    cache = tmp_path / "cache"
    data = open_dataset("mnist", default="mnist", cache=cache)
    assert np.bincount(data.train.targets).tolist() == TRAIN_COUNTS
    assert data.source == "mnist, downloaded through torchvision"
    assert capsys.readouterr().out == ""
    files = sorted(path.name for path in cache.rglob("*") if path.is_file())
    assert files == sorted(f"{file.name}.gz" for file in MNIST.files)

    monkeypatch.setattr(datasets.MNIST, "mirrors", [])
    again = open_dataset("mnist", default="mnist", cache=cache)
    assert again.sha256 == data.sha256


@pytest.mark.parametrize("spec", [MNIST, FASHION], ids=lambda spec: spec.name)
@pytest.mark.parametrize(
    "content", [gzip.compress(IMAGES), b"", None], ids=["wrong", "empty", "none"]
)
def test_a_failed_download_names_the_ways_out_and_leaves_nothing(
    served: Path,
    tmp_path: Path,
    spec: IdxSpec,
    content: bytes | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for file in spec.files:
        if content is not None:
            (served / f"{file.name}.gz").write_bytes(content)
    with pytest.raises(InputError, match="cannot be downloaded") as caught:
        open_dataset(spec.name, default="mnist", cache=tmp_path / "cache")
    assert f"contains {spec.folder}" in str(caught.value)
    assert "--data bundled" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").iterdir())
    assert capsys.readouterr() == ("", "")


def test_what_torchvision_prints_does_not_reach_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fetch(spec: IdxSpec, root: str) -> None:
        print("Extracting", spec.name, "to", root)  # noqa: T201
        raise RuntimeError("File not found\nor corrupted.")

    monkeypatch.delenv("PTX_DATA", raising=False)
    monkeypatch.setattr("ptx.trainers.data.mnist._torchvision_download", fetch)
    with pytest.raises(InputError, match=r"\(File not found or corrupted\.\)"):
        open_dataset("mnist", default="mnist", cache=tmp_path)
    assert capsys.readouterr().out == ""
