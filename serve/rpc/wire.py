"""ModelInfer by its bytes: a client's requests differ in their tensor alone, its answers too."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from weakref import ref

import numpy as np
from google.protobuf.message import DecodeError

from ptx.infer import Array
from ptx.serve.messages import Asked
from ptx.serve.model import VERSION, Fitting, Model
from ptx.serve.queue.jobs import Job, Result
from ptx.serve.rpc.messages import read_message
from ptx.serve.rpc.schema import MESSAGES
from ptx.serve.tensors import BYTES, DATATYPES, Tensor, array_bytes, to_bytes

_REMEMBERED = 256  # requests
_LONGEST = 1024  # bytes of one in front of its tensor
# Types whose bytes do not all stand for a value; where the machine's order is another, all are.
_LOOKED_AT = (BYTES, "BOOL") if sys.byteorder == "little" else (BYTES, *DATATYPES)
# Of a field of bytes, by its number, in front of its length.
_RAW_INPUT, _RAW_OUTPUT, _ID, _STREAMED = (bytes([number << 3 | 2]) for number in (7, 6, 3, 2))
_Request, _Response = MESSAGES["ModelInferRequest"], MESSAGES["ModelInferResponse"]
_Streamed = MESSAGES["ModelStreamInferResponse"]


class Known(NamedTuple):
    """Requests that begin with the same bytes, up to those of their one tensor: all that they say but
    for these, and what their model makes of it."""

    head: bytes
    model_name: str
    model_version: str
    model: ref[Model]
    asked: Asked  # without values
    fitting: Fitting
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    begun: bytes  # of their answers, in front of the outputs' bytes
    fronts: dict[str, bytes]  # in front of the bytes of each output; none where outputs are named
    id: str = ""  # those with another differ each time


class Given:
    """A request in its bytes.

    Attributes:
        said: What these say of it: `model_name`, `model_version` and `id`.

    Raises:
        DecodeError: they are no message.
    """

    __slots__ = ("_asked", "_data", "_known", "_requests", "said")

    def __init__(self, requests: Requests, data: bytes, known: Known | None) -> None:
        self._requests, self._data, self._known = requests, data, known
        self.said: Any = known or _Request.FromString(data)

    @property
    def id(self) -> str:
        """Of its client's; "": none."""
        found: str = self.said.id
        return found

    def job(self, model: Model, limit: int) -> Job:
        """What is to be computed for it; `limit`: the most rows.

        Raises:
            RefusalError: it says two things at once, or nothing, or does not fit the model.
        """
        known = self._known
        if known is not None and known.model() is model:
            self._asked = known.asked
            raw = self._data[len(known.head) :]  # whose numbers are aligned
            # As many bytes as the first had, which were held to the shape.
            values: Array = np.ndarray(known.shape, known.dtype, raw)
            return known.fitting.job(values, known.asked.timeout)
        if known is not None:  # the model was replaced since
            self._known, self.said = None, _Request.FromString(self._data)
        self._asked = read_message(self.said)
        return model.job(self._asked, limit)

    def answer(self, model: Model, result: Result) -> bytes:
        """The message that answers it, with tensors as bytes, of which clients read every type."""
        known, asked = self._known, self._asked
        if known is not None and known.fronts and not isinstance(result, list):
            parts = [known.begun]
            for name, front in known.fronts.items():  # a batch may give them in another order
                parts += front, array_bytes(result[name])
            return b"".join(parts)
        outputs = model.answer(asked, result)
        if known is None:
            self._requests.learn(self._data, self.said, model, asked, outputs)
        return write_bytes(model.name, asked, outputs)


class Requests:
    """Those of a server. One with the length and the first bytes of another is not read anew."""

    def __init__(self) -> None:
        self._known: dict[int, Known] = {}  # by the length of the whole

    def open(self, data: bytes) -> Given:
        """The request in its bytes; `google.protobuf` raises where they are none."""
        known = self._known.get(len(data))
        if known is not None and not data.startswith(known.head):
            known = None
        return Given(self, data, known)

    def learn(
        self, data: bytes, message: Any, model: Model, asked: Asked, outputs: Sequence[Tensor]
    ) -> None:
        """Remember a request that ends with the bytes of its one tensor, of numbers, and its answer."""
        tensor, fitting = asked.inputs[0], model.fitting(asked)
        if fitting is None or message.id or len(message.raw_input_contents) != 1:
            return
        (raw,) = message.raw_input_contents
        head = data[: len(data) - len(raw)]
        begun = _RAW_INPUT + _length(len(raw))
        if tensor.datatype in _LOOKED_AT or not raw:
            return
        if len(head) > _LONGEST or not head.endswith(begun):
            return
        # In front of it stand fields that are whole: else it may lie within another.
        try:
            _Request.FromString(head[: -len(begun)])
        except DecodeError:
            return
        if len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        values: Any = tensor.values
        plain = [] if asked.outputs else outputs
        fronts = {one.name: _RAW_OUTPUT + _length(len(to_bytes(one))) for one in plain}
        self._known[len(data)] = Known(
            head, message.model_name, message.model_version, ref(model),
            Asked([], asked.outputs, timeout=asked.timeout), fitting, tensor.shape, values.dtype,
            _begin(model.name, tuple([tensor[:3] for tensor in outputs])), fronts,
        )  # fmt: skip


def write_bytes(model: str, asked: Asked, outputs: Sequence[Tensor]) -> bytes:
    """The answer in its bytes."""
    parts = [_begin(model, tuple([tensor[:3] for tensor in outputs]))]
    if asked.id:
        text = asked.id.encode()
        parts += (_ID, _length(len(text)), text)
    for tensor in outputs:
        data = to_bytes(tensor)
        parts += (_RAW_OUTPUT, _length(len(data)), data)
    return b"".join(parts)


def in_stream(answer: bytes) -> bytes:
    """An answer as a message of a stream."""
    return _STREAMED + _length(len(answer)) + answer


def refused_in_stream(told: str, request: str) -> bytes:
    """An error as a message of a stream; `request`: the id of what is refused."""
    found: bytes = _Streamed(error_message=told, infer_response={"id": request}).SerializeToString()
    return found


@lru_cache(_REMEMBERED)
def _begin(model: str, outputs: tuple[tuple[str, str, tuple[int, ...]], ...]) -> bytes:
    found: bytes = _Response(
        model_name=model, model_version=VERSION,
        outputs=[{"name": name, "datatype": datatype, "shape": shape}
                 for name, datatype, shape in outputs],
    ).SerializeToString()  # fmt: skip
    return found


@lru_cache(_REMEMBERED)
def _length(size: int) -> bytes:
    """A length as protobuf writes it: seven bits a byte, the lowest first."""
    found = bytearray()
    while size > 127:
        found.append(size & 127 | 128)
        size >>= 7
    found.append(size)
    return bytes(found)
