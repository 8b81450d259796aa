"""Tensors of the protocol: from JSON, from bytes, and back. No input or output, no model."""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ptx.infer import Array
from ptx.serve.refusals import RefusalError, bad

# The protocol's name → NumPy's. BYTES is not one of NumPy's.
DATATYPES = {
    "BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
    "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64",
    "FP16": "float16", "FP32": "float32", "FP64": "float64",
}  # fmt: skip
BYTES = "BYTES"
_TYPES = {name: np.dtype(numpy) for name, numpy in DATATYPES.items()}
NAMES = {dtype: name for name, dtype in _TYPES.items()}
_SWAPPED = sys.byteorder == "big"  # the protocol's bytes are little-endian
_AXES = 32  # more than any tensor has

Texts = list[bytes]  # the elements of a BYTES tensor, in their order


class Tensor(NamedTuple):
    """A named tensor on its way in or out."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Array | Texts


def check_shape(name: str, shape: Any) -> tuple[int, ...]:
    """A shape as the client gave it: a few whole numbers of at least 0."""
    if not isinstance(shape, list | tuple) or len(shape) > _AXES:
        raise bad(f"input {name!r} has no shape, or more than {_AXES} axes")
    for size in shape:
        if type(size) is not int or not 0 <= size < 2**63:
            raise bad(f"input {name!r} has the shape {_short(shape)}; expected whole numbers")
    return tuple(shape)


def from_bytes(name: str, datatype: str, shape: tuple[int, ...], data: Any) -> Tensor:
    """A tensor from its little-endian bytes; of BYTES each element stands behind its length."""
    count = math.prod(shape)
    if datatype == BYTES:
        return Tensor(name, datatype, shape, _split(name, count, memoryview(data)))
    dtype = _TYPES.get(datatype)
    if dtype is None:
        raise _unknown(name, datatype)
    if len(data) != count * dtype.itemsize:
        raise bad(
            f"input {name!r} has {len(data)} bytes; {datatype} of shape {_short(shape)} has"
            f" {count * dtype.itemsize}"
        )
    array: Array = np.ndarray(shape, dtype, data)
    if _SWAPPED or not array.flags.aligned:
        array = array.byteswap() if _SWAPPED else array.copy()
    if datatype == "BOOL" and array.size and array.view(np.uint8).max() > 1:
        raise bad(f"input {name!r} has a byte that is neither 0 nor 1; BOOL knows these")
    return Tensor(name, datatype, shape, array)


def _split(name: str, count: int, data: memoryview) -> Texts:
    """The elements of a BYTES tensor, each behind its length."""
    if 4 * count > len(data):
        raise bad(f"input {name!r} has {len(data)} bytes, too few for {count} elements")
    texts, place = [], 0
    for _ in range(count):
        start = place + 4
        size = struct.unpack_from("<I", data, place)[0] if start <= len(data) else 0
        place = start + size
        if place > len(data):
            raise bad(f"input {name!r} ends within an element")
        texts.append(bytes(data[start:place]))
    if place != len(data):
        raise bad(f"input {name!r} has {len(data) - place} bytes behind its last element")
    return texts


def from_json(name: str, datatype: str, shape: tuple[int, ...], data: Any) -> Tensor:
    """A tensor from the numbers or texts of a JSON document, flat or nested."""
    if not isinstance(data, list):
        raise bad(f"input {name!r} has no list of data")
    if datatype == BYTES:
        texts = _texts(name, data)
        return Tensor(name, datatype, _counted(name, shape, len(texts)), texts)
    if datatype not in DATATYPES:
        raise _unknown(name, datatype)
    if datatype == "FP16":
        raise bad(f"input {name!r}: FP16 has no form in JSON: send it in binary")
    try:
        found = np.array(data)
    except (ValueError, OverflowError) as error:
        raise bad(f"input {name!r} is ragged, or nested too deeply") from error
    dtype = _TYPES[datatype]
    array = _converted(name, found, dtype, data)
    return Tensor(name, datatype, shape, array.reshape(_counted(name, shape, array.size)))


def _converted(name: str, found: Array, dtype: np.dtype[Any], data: list[Any]) -> Array:
    kind = "iu" if dtype.kind in "iu" else "b" if dtype.kind == "b" else "iuf"
    mixed = found.dtype.kind != "b" and _has_bool(data)  # NumPy makes 1 of true beside a number
    if found.size and (found.dtype.kind not in kind or mixed):
        raise bad(f"input {name!r} has values that are no {NAMES[dtype]}")
    if dtype.kind in "iu" and found.size:
        limits = np.iinfo(dtype)
        if int(found.min()) < limits.min or int(found.max()) > limits.max:
            raise bad(f"input {name!r} has values that do not fit into {NAMES[dtype]}")
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, which no model is given
        return found.astype(dtype)


def _has_bool(data: list[Any]) -> bool:
    while data and isinstance(data[0], list):
        data = [item for part in data for item in part]
    return bool in set(map(type, data))


def _texts(name: str, data: list[Any]) -> Texts:
    while data and isinstance(data[0], list):
        if not all(isinstance(part, list) for part in data):
            raise bad(f"input {name!r} is ragged")
        data = [item for part in data for item in part]
    if not all(isinstance(item, str) for item in data):
        raise bad(f"input {name!r} has elements that are no texts")
    return [item.encode() for item in data]


def _counted(name: str, shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    if math.prod(shape) != count:
        raise bad(
            f"input {name!r} has {count} values; its shape {_short(shape)} has another number"
        )
    return shape


def output(name: str, array: Array) -> Tensor:
    """An array that the model gave."""
    return Tensor(name, NAMES[array.dtype], array.shape, array)


def texts_output(name: str, texts: Sequence[str], shape: tuple[int, ...] | None = None) -> Tensor:
    """Texts that go out."""
    return Tensor(name, BYTES, shape or (len(texts),), [text.encode() for text in texts])


def to_bytes(tensor: Tensor) -> bytes:
    """The binary form, see `from_bytes`."""
    values = tensor.values
    if isinstance(values, list):
        return b"".join(piece for text in values for piece in (struct.pack("<I", len(text)), text))
    return array_bytes(values)


def array_bytes(array: Array) -> bytes:
    """The same of numbers."""
    return (array.byteswap() if _SWAPPED else array).tobytes()


def to_json(tensor: Tensor) -> Any:
    """What `orjson` writes as a flat list."""
    values = tensor.values
    if isinstance(values, list):
        return [text.decode("utf-8", "replace") for text in values]
    if values.dtype == np.float16:
        raise bad(f"output {tensor.name!r}: FP16 has no form in JSON: ask for binary_data")
    return np.ascontiguousarray(values).ravel()


def ranking(tensor: Tensor, count: int, labels: Sequence[str]) -> Tensor:
    """The classification extension: of each row the `count` largest as `value:index:label`."""
    values = tensor.values
    if isinstance(values, list) or values.ndim == 0:
        raise bad(f"output {tensor.name!r} has no numbers to rank")
    rows = values.reshape(-1, values.shape[-1]) if values.ndim > 1 else values.reshape(-1, 1)
    count = min(count, rows.shape[1])
    order = np.argsort(-rows, axis=1, kind="stable")[:, :count]
    fits = len(labels) == rows.shape[1]
    texts = [
        f"{row[index]:f}:{index}:{labels[index]}" if fits else f"{row[index]:f}:{index}"
        for row, best in zip(rows, order.tolist(), strict=True)
        for index in best
    ]
    return texts_output(tensor.name, texts, (len(rows), count))


def _unknown(name: str, datatype: Any) -> RefusalError:
    known = ", ".join((*DATATYPES, BYTES))
    return bad(f"input {name!r} has the datatype {_short(datatype)}; known: {known}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
