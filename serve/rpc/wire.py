"""ModelInfer by its bytes: a client's requests differ in their tensor alone, its answers too."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

import numpy as np
from google.protobuf.message import DecodeError

from ptx.infer import Array
from ptx.serve.messages import Asked
from ptx.serve.model import VERSION
from ptx.serve.rpc.messages import read_message
from ptx.serve.rpc.schema import MESSAGES
from ptx.serve.tensors import BYTES, DATATYPES, Tensor, to_bytes

_REMEMBERED, _LONGEST = (
    256,
    1024,
)  # requests that are remembered, and the bytes of one in front of its tensor
# Types whose bytes do not all stand for a value; where the machine's order is another, all are.
_LOOKED_AT = (BYTES, "BOOL") if sys.byteorder == "little" else (BYTES, *DATATYPES)
Learn = Callable[[bytes, Any, Asked], None]
# Of a field of bytes, by its number, in front of its length.
_RAW_INPUT, _RAW_OUTPUT, _ID = (bytes([number << 3 | 2]) for number in (7, 6, 3))
_Request, _Response = MESSAGES["ModelInferRequest"], MESSAGES["ModelInferResponse"]


class Known(NamedTuple):
    """A request up to the bytes of its one tensor, and what it says but for these."""

    head: bytes
    model_name: str
    model_version: str
    id: str
    asked: Asked
    dtype: np.dtype[Any]


class Given:
    """A request, in its bytes or as the message that these are."""

    __slots__ = ("_data", "_known", "_learn", "_message", "id", "model_name", "model_version")

    def __init__(self, data: bytes, known: Known | None, learn: Learn) -> None:
        self._data, self._known, self._learn = data, known, learn
        self._message = said = known or _Request.FromString(data)
        self.model_name: str = said.model_name
        self.model_version: str = said.model_version
        self.id: str = said.id

    def read(self) -> Asked:
        """What it asks for.

        Raises:
            RefusalError: it says two things at once, or nothing.
        """
        known = self._known
        if known is None:
            asked = read_message(self._message)
            self._learn(self._data, self._message, asked)
            return asked
        asked, raw = known.asked, self._data[len(known.head) :]  # whose numbers are aligned
        ((name, datatype, shape, _),) = asked.inputs
        # As many bytes as the first had, which were held to the shape.
        tensor = Tensor(name, datatype, shape, np.ndarray(shape, known.dtype, raw))
        return Asked([tensor], asked.outputs, asked.id, asked.timeout, binary=True)


class Requests:
    """Those of a server. One with the length and the first bytes of another is not read anew."""

    def __init__(self) -> None:
        self._known: dict[int, Known] = {}  # by the length of the whole

    def open(self, data: bytes) -> Given:
        """The request in its bytes; `google.protobuf` raises where they are none."""
        known = self._known.get(len(data))
        if known is not None and not data.startswith(known.head):
            known = None
        return Given(data, known, self._learn)

    def _learn(self, data: bytes, message: Any, asked: Asked) -> None:
        """Remember a request that ends with the bytes of its one tensor, of numbers."""
        if len(message.raw_input_contents) != 1 or asked.inputs[0].datatype in _LOOKED_AT:
            return
        (raw,) = message.raw_input_contents
        head = data[: len(data) - len(raw)]
        begun = _RAW_INPUT + _length(len(raw))
        if not raw or len(head) > _LONGEST or not head.endswith(begun):
            return
        # In front of it stand fields that are whole: else it may lie within another.
        try:
            _Request.FromString(head[: -len(begun)])
        except DecodeError:
            return
        if len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        tensor = asked.inputs[0]
        said = Asked([tensor._replace(values=[])], asked.outputs, asked.id, asked.timeout)
        self._known[len(data)] = Known(
            head, message.model_name, message.model_version, message.id, said,
            cast(Array, tensor.values).dtype,
        )  # fmt: skip


def write_bytes(model: str, asked: Asked, outputs: Sequence[Tensor]) -> bytes:
    """The answer as `write_message` gives it, in its bytes."""
    parts = [_begin(model, tuple([tensor[:3] for tensor in outputs]))]
    if asked.id:
        text = asked.id.encode()
        parts += (_ID, _length(len(text)), text)
    for tensor in outputs:
        data = to_bytes(tensor)
        parts += (_RAW_OUTPUT, _length(len(data)), data)
    return b"".join(parts)


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
