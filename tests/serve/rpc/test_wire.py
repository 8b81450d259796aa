"""A request of gRPC by its bytes says what its message says, known or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptx.serve.messages import Asked
from ptx.serve.refusals import RefusalError
from ptx.serve.rpc.messages import read_message, write_message
from ptx.serve.rpc.schema import MESSAGES
from ptx.serve.rpc.wire import Requests, write_bytes
from ptx.serve.tensors import BYTES, Tensor

Request, Response = MESSAGES["ModelInferRequest"], MESSAGES["ModelInferResponse"]
SHAPE = {"name": "x", "datatype": "FP32", "shape": [1, 2]}
MORE: dict[str, Any] = {"parameters": {"timeout": {"int64_param": 5}}, "outputs": [{"name": "y"}]}


def data(raw: bytes = bytes(8), *more: bytes, **said: Any) -> bytes:
    """A request of one tensor."""
    message = Request(
        **{"model_name": "m", "inputs": [SHAPE], "raw_input_contents": [raw, *more]} | said
    )
    found: bytes = message.SerializeToString()
    return found


# Bytes of a field in front of a tensor's become others where a part of it lies in the tensor.
TEXT = b"\x0a\x01m\x2a\x0d\x0a\x01x\x12\x04FP32\x1a\x02\x01\x02"
CASES = [
    data(), data(b"abcdefgh"), data(model_name="n"), data(id="one"), data(id="two"), data(**MORE),
    data(b"abcdefg"), data(bytes(8), bytes(8)), data(b""), data(bytes(8), inputs=[]),
    data(b"", inputs=[{**SHAPE, "contents": {"fp32_contents": [1.0, 2.0]}}], raw_input_contents=[]),
    data(b"\x04\0\0\0none", inputs=[{"name": "t", "datatype": BYTES, "shape": [1]}]),
    TEXT + b"\x3a\x08abcdefgh", b"\x3a\x08abcdefgh" + TEXT, TEXT + b"\x3a\x08abcdefgh\x1a\x03one",
    b"\x3a\x08\0\0\0\0\0\0\x3a\x08" + TEXT, b"\x3a\x08abcdefgh" + TEXT + b"\x3a\x08abcdefgh",
    # A tensor in front of a text that ends with the same: what is read at the end is the text.
    TEXT + b"\x3a\x08abcdefgh\x1a\x0a\x3a\x08abcdefgh",
    TEXT + b"\x3a\x08abcdefgh\x1a\x0a\x3a\x08ABCDEFGH",
    b"\x3a\x08abcdefgh" + TEXT + b"\x1a\x08ABCDEFGH",
    b"\x3a\x08abcdefgh" + TEXT + b"\x1a\x08IJKLMNOP",
    data(bytes(8), bytes(8), inputs=[SHAPE, SHAPE]), b"garbage", b"",
]  # fmt: skip


def said(asked: Asked) -> list[Any]:
    tensors = [(*tensor[:3], np.array(tensor.values).tolist()) for tensor in asked.inputs]
    return [tensors, asked.outputs, asked.id, asked.timeout, asked.binary]


def reading(request: Any, read: Any) -> list[Any]:
    """What a request says, or why it says nothing."""
    try:
        found = request()
        return [found.model_name, found.model_version, found.id, *said(read(found))]
    except RefusalError as error:
        return [error.status, error.message]
    except Exception as error:
        return [type(error)]


def same(requests: list[bytes]) -> None:
    known = Requests()
    for one in requests:
        told = reading(lambda one=one: known.open(one), lambda found: found.read())
        assert told == reading(lambda one=one: Request.FromString(one), read_message)


@pytest.mark.parametrize("one", CASES)
def test_a_request_says_what_its_message_says(one: bytes) -> None:
    for other in CASES:
        same([one, other, one, one])


@given(st.lists(st.sampled_from(CASES), max_size=8))
def test_in_any_order(requests: list[bytes]) -> None:
    same(requests)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_byte_that_is_another_is_read_as_it_stands(changes: list[tuple[int, int]]) -> None:
    base = data(b"abcdefgh", id="one")
    other = bytearray(base)
    for place, value in changes:
        other[place % len(base)] = value
    same([base, bytes(other), base])


def test_a_request_that_comes_again_is_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Requests()
    known.open(data()).read()
    monkeypatch.setattr("ptx.serve.rpc.wire.read_message", None)
    (tensor,) = known.open(data(b"abcdefgh")).read().inputs
    assert np.asarray(tensor.values).tobytes() == b"abcdefgh"


def test_no_more_are_remembered_than_a_few() -> None:
    known = Requests()
    for size in range(1, 600):
        known.open(data(bytes(4 * size), inputs=[{**SHAPE, "shape": [size]}])).read()
    assert len(known._known) == 256
    known.open(data(model_name="m" * 2000)).read()
    assert all(len(one.head) < 1100 for one in known._known.values())


@pytest.mark.parametrize("name", ["", "one", "ü" * 100])
@pytest.mark.parametrize("values", [np.arange(2, dtype=np.float32), np.zeros((70, 0, 3), np.int64),
                                    np.ones((40, 30), bool)])  # fmt: skip
def test_an_answer_in_bytes_is_its_message(name: str, values: Any) -> None:
    tensors = [
        Tensor("y", "FP32", values.shape, values),
        Tensor("t", BYTES, (2,), [b"a", b"b" * 300]),
    ]
    asked = Asked([], id=name)
    for shown in ([], tensors, tensors[::-1]):
        answer = Response.FromString(write_bytes("m", asked, shown))
        assert answer == write_message("m", asked, shown)
