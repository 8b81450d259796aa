"""Whatever the bytes are, each reader gives what it promises, or an error of ptx in one line."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ptx.cli
from ptx.infer import npy, onnx_file, table, zip_archive
from ptx.infer.artifact import parse_artifact
from ptx.infer.card import Card, GoldenSample
from ptx.infer.errors import PtxError
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.signature import Signature

CARD = Card(
    model="double",
    task="regression",
    signature=Signature.from_data(
        {"inputs": {"x": ["float32", ["batch", 1]]}, "outputs": {"y": ["float32", ["batch", 1]]}}
    ),
    preprocessing={"kind": "columns", "names": ["x"], "mean": [0.5], "std": [2.0]},
    golden=(GoldenSample({"x": np.ones((1, 1), np.float32)}, {"y": np.ones((1, 1))}, {"y": 1e-6}),),
)
NAMES = open_preprocessing(
    {"kind": "text", "normalise": "NFKD", "unknown": 1},
    Signature.from_data({
        "inputs": {
            "name": ["int64", ["batch", "time"], [0, 127]],
            "lengths": ["int64", ["batch"], [1, "time"]],
        },
        "outputs": {"logits": ["float32", ["batch", 2]]},
    }),
)  # fmt: skip


def archive() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        for name in ("data.pkl", "version", "data/0", "constants.pkl", "code/x.py"):
            file.writestr(f"a/{name}", b"content")
    return zip_archive.attach(target.getvalue(), CARD.to_json())


def saved(array: Any) -> bytes:
    target = io.BytesIO()
    np.save(target, array)
    return target.getvalue()


def read_card(data: bytes) -> None:
    card = Card.from_json(data, name="x")
    open_preprocessing(card.preprocessing, card.signature)
    assert Card.from_json(card.to_json().encode(), name="x").to_json() == card.to_json()


def read_array(data: bytes) -> None:
    array = npy.read_npy(data, name="x")
    assert array.nbytes <= len(data)
    assert array.dtype.isnative
    assert array.flags.c_contiguous


def read_rows(data: bytes) -> None:
    for _, row in table.read_rows(data, name="x"):
        assert isinstance(row, PtxError) or np.isfinite(row).all()


def read_name(data: bytes) -> None:
    codes = NAMES.read(data.decode("utf-8", "surrogateescape"))
    assert codes.size
    assert codes.min() >= 0
    assert codes.max() < 128


ONNX = Path(ptx.cli.__file__).with_name("probe.onnx").read_bytes()  # with a card and a seal

READERS: dict[str, tuple[Callable[[bytes], object], list[bytes]]] = {
    "card": (read_card, [CARD.to_json().encode(), b'{"format": 1}']),
    "onnx": (lambda data: onnx_file.read_header(data, name="x"), [ONNX]),
    "zip": (lambda data: zip_archive.read_archive(data, name="x"), [archive()]),
    "model": (lambda data: parse_artifact(data, path=Path("x")), [ONNX, archive()]),
    "array": (read_array, [saved(np.zeros((2, 3), ">f4")), saved(np.ones((2, 2), order="F"))]),
    "table": (read_rows, [b"a,b\n1,2.5\n-3e4,.5\n", b'"1","2"\r\n3,4']),
    "name": (read_name, ["Müller".encode(), b"O'Brien"]),
}  # fmt: skip

# Where to change a file, as a share of its length; how much to take away; what to put there.
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=12)), max_size=4)


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=120)
@given(st.data())
def test_a_changed_file_is_read_or_refused(reader: str, data: st.DataObject) -> None:
    read, whole = READERS[reader]
    content = bytearray(data.draw(st.sampled_from([*whole, b""])))
    for share, taken, put in data.draw(EDITS):
        position = int(share * len(content))
        content[position : position + taken] = put
    try:
        read(bytes(content))
    except PtxError as error:
        assert str(error).isprintable()  # noqa: PT017 - it need not be raised


@pytest.mark.parametrize("reader", READERS)
def test_the_whole_files_are_read(reader: str) -> None:
    read, whole = READERS[reader]
    read(whole[0])
