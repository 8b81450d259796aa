"""Tensors of the protocol: from JSON or bytes to arrays, and back. No model and no I/O."""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ptx.infer import Array
from ptx.serve.errors import RequestError, bad_request

# Name of a datatype in the protocol → its NumPy dtype. BYTES has none.
DATATYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
BYTES = "BYTES"
_DTYPES = {name: np.dtype(dtype) for name, dtype in DATATYPES.items()}
DATATYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_BIG_ENDIAN = sys.byteorder == "big"  # the protocol's bytes are little-endian
_MAX_AXES = 32


class Tensor(NamedTuple):
    """A named tensor of a request or a response; the elements of a BYTES tensor are a list."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Array | list[bytes]


def check_shape(name: str, shape: Any) -> tuple[int, ...]:
    """A shape from a request, after a check that it is a list of integers of at least 0."""
    if not isinstance(shape, list | tuple) or len(shape) > _MAX_AXES:
        raise bad_request(f"input {name!r} has no shape, or more than {_MAX_AXES} axes")
    for size in shape:
        if type(size) is not int or not 0 <= size < 2**63:
            raise bad_request(
                f"input {name!r} has the shape {_short(shape)}; expected integers of at least 0"
            )
    return tuple(shape)


def from_bytes(name: str, datatype: str, shape: tuple[int, ...], data: Any) -> Tensor:
    """A tensor from its little-endian bytes; for BYTES, each element is preceded by its length."""
    count = math.prod(shape)
    if datatype == BYTES:
        return Tensor(name, datatype, shape, _split_elements(name, count, memoryview(data)))
    dtype = _DTYPES.get(datatype)
    if dtype is None:
        raise _unknown_datatype(name, datatype)
    if len(data) != count * dtype.itemsize:
        raise bad_request(
            f"input {name!r} has {len(data)} bytes; {datatype} of shape {_short(shape)} has"
            f" {count * dtype.itemsize}"
        )
    array: Array = np.ndarray(shape, dtype, data)
    if _BIG_ENDIAN or not array.flags.aligned:
        array = array.byteswap() if _BIG_ENDIAN else array.copy()
    if datatype == "BOOL" and array.size and array.view(np.uint8).max() > 1:
        raise bad_request(f"input {name!r} is BOOL and has a byte that is neither 0 nor 1")
    return Tensor(name, datatype, shape, array)


def _split_elements(name: str, count: int, data: memoryview) -> list[bytes]:
    if 4 * count > len(data):
        raise bad_request(f"input {name!r} has {len(data)} bytes, too few for {count} elements")
    elements, position = [], 0
    for _ in range(count):
        start = position + 4
        size = struct.unpack_from("<I", data, position)[0] if start <= len(data) else 0
        position = start + size
        if position > len(data):
            raise bad_request(f"input {name!r} ends within an element")
        elements.append(bytes(data[start:position]))
    if position != len(data):
        raise bad_request(f"input {name!r} has {len(data) - position} bytes after its last element")
    return elements


def from_json(name: str, datatype: str, shape: tuple[int, ...], data: Any) -> Tensor:
    """A tensor from a list of numbers or strings in JSON, flat or nested."""
    if not isinstance(data, list):
        raise bad_request(f"input {name!r} has no list of data")
    if datatype == BYTES:
        elements = _encode_strings(name, data)
        return Tensor(name, datatype, _check_count(name, shape, len(elements)), elements)
    if datatype not in DATATYPES:
        raise _unknown_datatype(name, datatype)
    if datatype == "FP16":
        raise bad_request(f"input {name!r}: JSON has no FP16; send it as binary data")
    try:
        array = np.array(data)
    except (ValueError, OverflowError) as error:
        raise bad_request(f"input {name!r} is ragged, or nested too deeply") from error
    array = _convert(name, array, _DTYPES[datatype], data)
    return Tensor(name, datatype, shape, array.reshape(_check_count(name, shape, array.size)))


def _convert(name: str, array: Array, dtype: np.dtype[Any], data: list[Any]) -> Array:
    kinds = "iu" if dtype.kind in "iu" else "b" if dtype.kind == "b" else "iuf"
    mixed = array.dtype.kind != "b" and _has_bool(data)  # NumPy converts true next to a number to 1
    if array.size and (array.dtype.kind not in kinds or mixed):
        raise bad_request(f"input {name!r} has values that are not {DATATYPE_NAMES[dtype]}")
    if dtype.kind in "iu" and array.size:
        limits = np.iinfo(dtype)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise bad_request(
                f"input {name!r} has values outside the range of {DATATYPE_NAMES[dtype]}"
            )
    with np.errstate(over="ignore"):  # an overflow becomes infinite, which validation refuses
        return array.astype(dtype)


def _has_bool(data: list[Any]) -> bool:
    while data and isinstance(data[0], list):
        data = [item for part in data for item in part]
    return bool in set(map(type, data))


def _encode_strings(name: str, data: list[Any]) -> list[bytes]:
    while data and isinstance(data[0], list):
        if not all(isinstance(part, list) for part in data):
            raise bad_request(f"input {name!r} is ragged")
        data = [item for part in data for item in part]
    if not all(isinstance(item, str) for item in data):
        raise bad_request(f"input {name!r} has elements that are not strings")
    return [item.encode() for item in data]


def _check_count(name: str, shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    if math.prod(shape) != count:
        raise bad_request(
            f"input {name!r} has {count} values; its shape {_short(shape)} needs {math.prod(shape)}"
        )
    return shape


def from_array(name: str, array: Array) -> Tensor:
    """A tensor from an output of the model."""
    return Tensor(name, DATATYPE_NAMES[array.dtype], array.shape, array)


def from_strings(name: str, strings: Sequence[str], shape: tuple[int, ...] | None = None) -> Tensor:
    """A BYTES tensor; of one axis if no shape is given."""
    return Tensor(name, BYTES, shape or (len(strings),), [text.encode() for text in strings])


def to_bytes(tensor: Tensor) -> bytes:
    """The binary form, see `from_bytes`."""
    values = tensor.values
    if isinstance(values, list):
        return b"".join(piece for item in values for piece in (struct.pack("<I", len(item)), item))
    return (values.byteswap() if _BIG_ENDIAN else values).tobytes()


def to_json(tensor: Tensor) -> Any:
    """A flat list of strings, or a flat array that `orjson` writes as a list."""
    values = tensor.values
    if isinstance(values, list):
        return [item.decode("utf-8", "replace") for item in values]
    if values.dtype == np.float16:
        raise bad_request(f"output {tensor.name!r}: JSON has no FP16; request binary_data")
    return np.ascontiguousarray(values).ravel()


def rank_classes(tensor: Tensor, count: int, labels: Sequence[str]) -> Tensor:
    """The classification extension: the `count` largest values of each row as `value:index:label`."""
    values = tensor.values
    if isinstance(values, list) or values.ndim == 0:
        raise bad_request(f"output {tensor.name!r} has no numbers to rank")
    rows = values.reshape(-1, values.shape[-1]) if values.ndim > 1 else values.reshape(-1, 1)
    count = min(count, rows.shape[1])
    order = np.argsort(-rows, axis=1, kind="stable")[:, :count]
    has_labels = len(labels) == rows.shape[1]
    texts = [
        f"{row[index]:f}:{index}:{labels[index]}" if has_labels else f"{row[index]:f}:{index}"
        for row, best in zip(rows, order.tolist(), strict=True)
        for index in best
    ]
    return from_strings(tensor.name, texts, (len(rows), count))


def _unknown_datatype(name: str, datatype: Any) -> RequestError:
    known = ", ".join((*DATATYPES, BYTES))
    return bad_request(
        f"input {name!r} has the datatype {_short(datatype)}; expected one of {known}"
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
