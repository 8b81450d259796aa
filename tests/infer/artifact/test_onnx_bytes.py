"""ONNX files as bytes: the header without the onnx package, the manifest and its content digest."""

from __future__ import annotations

import hashlib
import itertools
import re

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from ptx.infer.artifact import onnx_bytes
from ptx.infer.errors import ArtifactError


def model(**metadata: str) -> bytes:
    """y = x + 1, as onnx itself writes it."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 1]) for n in "xy")
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], np.ones(1, np.float32))
    node = helper.make_node("Add", ["x", "one"], ["y"])
    made = helper.make_model(
        helper.make_graph([node], "plus", [x], [y], [one]),
        producer_name="größe",
        opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)],
        ir_version=10,
    )
    helper.set_model_props(made, metadata)
    content: bytes = made.SerializeToString()
    return content


PLAIN = model()
VALID = onnx_bytes.embed_manifest(PLAIN, '{"größe": "1"}')


def test_the_header_is_what_onnx_wrote() -> None:
    header = onnx_bytes.read_header(model(author="me", note=""), name="x")
    assert header.ir_version == 10
    assert header.producer == "größe"
    assert header.opsets == {"": 18, "ai.onnx.ml": 3}
    assert header.metadata == {"author": b"me", "note": b""}
    assert header.digest_start is None
    graph = onnx.GraphProto.FromString(PLAIN[slice(*header.graph)])
    assert graph.name == "plus"


def test_a_producer_that_is_not_utf8_is_shown_as_far_as_it_is() -> None:
    other = PLAIN.replace("größe".encode(), b"gr\xff\xfee\xff\xff", 1)
    assert onnx_bytes.read_header(other, name="x").producer == "gr\ufffd\ufffde\ufffd\ufffd"


def test_onnx_reads_the_manifest_that_was_attached() -> None:
    proto = onnx.ModelProto.FromString(VALID)
    onnx.checker.check_model(proto, full_check=True)
    props = {entry.key: entry.value for entry in proto.metadata_props}
    assert props[onnx_bytes.MANIFEST_KEY] == '{"größe": "1"}'
    assert list(props) == [onnx_bytes.MANIFEST_KEY, onnx_bytes.DIGEST_KEY]
    assert VALID.startswith(PLAIN)


def test_the_digest_holds_for_what_was_digested() -> None:
    header = onnx_bytes.read_header(VALID, name="x")
    assert onnx_bytes.check_digest(VALID, header)
    assert header.digest_start is not None
    assert VALID.endswith(hashlib.sha256(VALID[: header.digest_start]).hexdigest().encode())


def test_no_digest_does_not_hold() -> None:
    assert not onnx_bytes.check_digest(PLAIN, onnx_bytes.read_header(PLAIN, name="x"))


def test_bytes_behind_the_digest_break_it() -> None:
    longer = VALID + b"\x12\x00"  # an empty producer name: a field that belongs to the file
    assert not onnx_bytes.check_digest(longer, onnx_bytes.read_header(longer, name="x"))


def test_no_flipped_byte_keeps_the_digest() -> None:
    for position, mask in itertools.product(range(len(VALID)), (1, 0x80, 0xFF)):
        data = bytearray(VALID)
        data[position] ^= mask
        try:
            header = onnx_bytes.read_header(bytes(data), name="x")
        except ArtifactError:
            continue
        assert not onnx_bytes.check_digest(bytes(data), header), position


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it has no graph"),
        (b"\x08\x0a", "it has no graph"),
        (b"\x08", "it is truncated inside a number"),
        (b"\x08\xff", "it is truncated inside a number"),
        (b"\x08" + b"\xff" * 11, "a number of more than 64 bits"),
        (PLAIN[:-1], "it is truncated: field"),
        (PLAIN + b"\x7a\x00", "field 15 does not belong to an ONNX file"),
        (PLAIN + b"\x73", "wire type 3"),
        (PLAIN + b"\x72\x04\x0a\x01\xff\x12", "is damaged or not an ONNX file"),
        (onnx_bytes.embed_manifest(VALID, "{}"), "metadata 'ptx.manifest' occurs twice"),
    ],
)
def test_what_is_no_onnx_file_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ArtifactError, match=re.escape(message)) as caught:
        onnx_bytes.read_header(data, name="'a.onnx'")
    assert caught.value.code == "E-ONNX-PARSE"


@given(st.binary(max_size=60))
def test_any_bytes_give_a_header_or_an_artifact_error(data: bytes) -> None:
    try:
        onnx_bytes.read_header(data, name="x")
    except ArtifactError:
        return


@pytest.mark.parametrize(
    ("data", "is_one"), [(PLAIN, True), (b"", False), (b"\x08", False), (b"PK\3\4", False)]
)
def test_an_onnx_file_is_told_by_its_first_bytes(data: bytes, is_one: bool) -> None:
    assert (onnx_bytes.read_content(data, name="x") is not None) is is_one
