"""A request of gRPC by its bytes says what its message says, known or not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptx.serve.messages import Asked
from ptx.serve.refusals import RefusalError
from ptx.serve.rpc.messages import read_message
from ptx.serve.rpc.schema import MESSAGES
from ptx.serve.rpc.wire import Requests, in_stream, refused_in_stream, write_bytes
from ptx.serve.tensors import BYTES, Tensor, to_bytes

Request, Response = MESSAGES["ModelInferRequest"], MESSAGES["ModelInferResponse"]
Streamed = MESSAGES["ModelStreamInferResponse"]
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


class Form(NamedTuple):
    """What fitted before."""

    asked: Asked

    def job(self, values: Any, timeout: float | None) -> Any:
        tensor = self.asked.inputs[0]._replace(values=values)
        return Asked([tensor], self.asked.outputs, timeout=timeout, binary=True)


class Model:
    """What it is asked is what it computes."""

    name = "m"

    def job(self, asked: Asked, limit: int) -> Any:
        return asked

    def fitting(self, asked: Asked) -> Any:
        return Form(asked) if len(asked.inputs) == 1 else None

    def answer(self, asked: Asked, result: Any) -> list[Tensor]:
        return [Tensor(name, "FP32", array.shape, array) for name, array in result.items()]


ECHO: Any = Model()
RESULT: Any = {"y": np.ones((1, 40), np.float32), "z": np.arange(2, dtype=np.float32)}


def said(asked: Any) -> list[Any]:
    tensors = [(*tensor[:3], np.array(tensor.values).tolist()) for tensor in asked.inputs]
    return [tensors, asked.outputs, asked.timeout, asked.binary]


def message(name: str, tensors: list[Tensor]) -> Any:
    """The answer with these, made field by field."""
    answer = Response(model_name="m", model_version="1", id=name)
    for tensor in tensors:
        answer.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        answer.raw_output_contents.append(to_bytes(tensor))
    return answer


def given_reading(requests: Requests, data: bytes, model: Any = ECHO) -> list[Any]:
    found = requests.open(data)
    said = found.said
    names = [said.model_name, said.model_version, found.id]
    job = found.job(model, 1)
    return [*names, job, Response.FromString(found.answer(model, RESULT))]


def message_reading(data: bytes) -> list[Any]:
    found = Request.FromString(data)
    names = [found.model_name, found.model_version, found.id]
    asked = read_message(found)
    return [*names, asked, message(found.id, ECHO.answer(asked, RESULT))]


def outcome(read: Callable[[], list[Any]]) -> list[Any]:
    """What a request says and its answer, or why it says nothing."""
    try:
        *names, job, answer = read()
    except RefusalError as error:
        return [error.status, error.message]
    except Exception as error:
        return [type(error)]
    return [*names, *said(job), answer]


def same(requests: list[bytes]) -> None:
    known = Requests()
    for one in requests:
        told = outcome(partial(given_reading, known, one))
        assert told == outcome(partial(message_reading, one))


@pytest.mark.parametrize("one", CASES)
def test_a_request_says_what_its_message_says(one: bytes) -> None:
    for other in CASES:
        same([one, other, one, one])


@given(st.lists(st.sampled_from(CASES), max_size=8))
def test_in_any_order(requests: list[bytes]) -> None:
    same(requests)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_byte_that_is_another_is_read_as_it_stands(changes: list[tuple[int, int]]) -> None:
    base = data(b"abcdefgh")
    other = bytearray(base)
    for place, value in changes:
        other[place % len(base)] = value
    same([base, bytes(other), base])


def test_a_request_that_comes_again_is_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Requests()
    first = given_reading(known, data())
    monkeypatch.setattr("ptx.serve.rpc.wire.read_message", None)
    *_, asked, answer = given_reading(known, data(b"abcdefgh"))
    assert np.asarray(asked.inputs[0].values).tobytes() == b"abcdefgh"
    assert answer == first[-1]


def test_a_known_answer_does_not_depend_on_the_order_of_the_outputs() -> None:
    known = Requests()
    first = given_reading(known, data())
    found = known.open(data())
    found.job(ECHO, 1)
    turned = dict(reversed(RESULT.items()))
    assert list(turned) != list(RESULT)
    assert Response.FromString(found.answer(ECHO, turned)) == first[-1]


def test_of_a_model_that_was_replaced_nothing_is_remembered() -> None:
    known, other = Requests(), Model()
    other.name = "n"
    for model in (ECHO, other, other, ECHO):
        assert given_reading(known, data(), model)[-1].model_name == model.name


def test_no_more_are_remembered_than_a_few() -> None:
    known = Requests()
    for size in range(1, 600):
        given_reading(known, data(bytes(4 * size), inputs=[{**SHAPE, "shape": [size]}]))
    assert len(known._known) == 256
    for one in (data(model_name="m" * 2000), data(id="another")):
        given_reading(known, one)
        assert len(one) not in known._known
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
        answer = write_bytes("m", asked, shown)
        assert Response.FromString(answer) == message(name, shown)
        streamed = Streamed.FromString(in_stream(answer))
        assert streamed == Streamed(infer_response=message(name, shown))
    told = Streamed.FromString(refused_in_stream("why", name))
    assert (told.error_message, told.infer_response.id) == ("why", name)
