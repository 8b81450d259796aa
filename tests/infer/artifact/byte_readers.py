"""The readers of ptx that take untrusted bytes, each with valid files for it.

A reader returns what its assertions here check, or raises a `PtxError`.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ptx.infer.artifact import onnx_bytes, zip_archive
from ptx.infer.artifact.artifact import parse_artifact
from ptx.infer.artifact.golden import GoldenSample
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.artifact.sampled import SampledArray
from ptx.infer.artifact.seeded import seeded_array
from ptx.infer.errors import PtxError
from ptx.infer.images import decode
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.signature import Signature
from ptx.infer.tables import npy, numbers

ROOT = Path(__file__).parents[3]

WORDS = Signature.from_data(
    {
        "inputs": {
            "name": ["int64", ["batch", "time"], [0, 127]],
            "lengths": ["int64", ["batch"], [1, "time"]],
        },
        "outputs": {"logits": ["float32", ["batch", 2]]},
    }
)
COLUMNS = Signature.from_data(
    {
        "inputs": {"x": ["float32", ["batch", 1]]},
        "outputs": {"y": ["float32", ["batch", 1]]},
    }
)
NAMES = open_preprocessing({"kind": "char-codes", "normalise": "NFKD", "unknown": 1}, WORDS)
NUMBERS = open_preprocessing({"kind": "tabular", "names": ["x"]}, COLUMNS)
MANIFEST = Manifest(
    model="double",
    task="regression",
    signature=COLUMNS,
    preprocessing={"kind": "tabular", "names": ["x"], "mean": [0.5], "std": [2.0]},
    golden=(
        GoldenSample({"x": np.ones((1, 1), np.float32)}, {"y": np.ones((1, 1))}, {"y": 1e-6}),
        GoldenSample(
            {"x": seeded_array("float32", (3, 1), 7, None)},
            {"y": SampledArray((3, 1), np.arange(2), np.ones(2), np.ones(1), np.ones(1))},
            {"y": 1e-6},
        ),
    ),
)


def read_manifest(data: bytes) -> None:
    """A manifest, and what it says of the preprocessing; its own JSON is a manifest again."""
    manifest = Manifest.from_json(data, name="x")
    open_preprocessing(manifest.preprocessing, manifest.signature)
    again = Manifest.from_json(manifest.to_json().encode(), name="x")
    assert again.to_json() == manifest.to_json()


def read_onnx(data: bytes) -> None:
    header = onnx_bytes.read_header(data, name="x")
    onnx_bytes.check_digest(data, header)


def read_zip(data: bytes) -> None:
    archive = zip_archive.read_archive(data, name="x")
    assert sum(map(len, archive.members.values())) <= len(data) + 2**26
    zip_archive.check_digest(data)


def read_model(data: bytes) -> None:
    artifact = parse_artifact(data, path=Path("x"))
    artifact.require_manifest()


def read_array(data: bytes) -> None:
    array = npy.read_npy(data, name="x")
    assert array.nbytes <= len(data)
    assert array.flags.c_contiguous
    assert array.dtype.isnative


def read_table(data: bytes) -> None:
    for _, row in numbers.read_rows(data, name="x").rows:
        assert isinstance(row, PtxError) or np.isfinite(row).all()
    numbers.read_table(data, name="x")


def read_name(data: bytes) -> None:
    codes = NAMES.transform(data.decode("utf-8", "surrogateescape"))
    assert len(codes)
    assert ((codes >= 0) & (codes < 128)).all()


def read_number(data: bytes) -> None:
    assert np.isfinite(NUMBERS.transform(data.decode("utf-8", "surrogateescape"))).all()


def read_picture(data: bytes) -> None:
    assert min(decode.decode(data).size) > 0


def whole_files() -> dict[str, list[bytes]]:
    """Files that each reader takes."""
    manifest = MANIFEST.to_json()
    onnx = (ROOT / "report" / "probe.onnx").read_bytes()  # with a manifest and a content digest
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as archive:
        for name in ("data.pkl", "version", "data/0", "constants.pkl", "code/x.py"):
            archive.writestr(f"a/{name}", b"x" * 9)
    digest_ok = zip_archive.embed_manifest(plain.getvalue(), manifest)
    arrays = [io.BytesIO() for _ in range(3)]
    for target, array in zip(
        arrays, (np.zeros((2, 3), ">f4"), np.arange(4), np.ones((2, 2), order="F")), strict=True
    ):
        np.save(target, array)
    pictures = [path.read_bytes() for path in sorted((ROOT / "tests" / "pictures").glob("mnist*"))]
    return {
        "manifest": [manifest.encode()],
        "onnx": [onnx],
        "zip": [plain.getvalue(), digest_ok],
        "model": [onnx, digest_ok],
        "array": [target.getvalue() for target in arrays],
        "table": [b"a,b\n1,2.5\n-3e4,.5\n", b'"1","2"\r\n3,4'],
        "name": ["Müller".encode(), b"O'Brien"],
        "number": [b"4.0", b"-1e3"],
        "picture": pictures,
    }


READERS: dict[str, Callable[[bytes], None]] = {
    "manifest": read_manifest,
    "onnx": read_onnx,
    "zip": read_zip,
    "model": read_model,
    "array": read_array,
    "table": read_table,
    "name": read_name,
    "number": read_number,
    "picture": read_picture,
}
