"""A reader of .npy files for untrusted data: no pickles, and the size must match the header.

`numpy.load` allocates the size that the header claims, ignores trailing bytes, and returns big-endian
arrays, which ONNX Runtime reads as garbage.
"""

from __future__ import annotations

import ast
import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptx.infer.errors import InputError, quote

_MAGIC = b"\x93NUMPY"
_MAX_HEADER = 10_000  # bytes, as in numpy.load; the header of a plain array has 118
_MAX_RANK = 32
_MAX_SIZE = 2**63 - 1  # of one axis
_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")


def read_npy(data: bytes, *, name: str) -> NDArray[Any]:
    """The array in the bytes of a .npy file: native-endian, C-contiguous, writable.

    Booleans, integers of 8 to 64 bits and floats of 16 to 64 bits. `name` is used in messages.

    Raises:
        InputError: not a .npy file, another dtype, or not of the size that its header states.
    """
    header, offset = _header(data, name)
    dtype = _dtype(header["descr"], name)
    shape = _shape(header["shape"], name)
    actual, expected = len(data) - offset, math.prod(shape) * dtype.itemsize
    if actual != expected:
        problem = "is truncated" if actual < expected else "has trailing bytes"
        raise _npy_error(
            name,
            f"{problem}: it has {actual:,} bytes of values",
            f"{expected:,}, as its header says ({dtype.name} {shape})",
        )
    values = np.frombuffer(data, dtype, offset=offset) if expected else np.empty(0, dtype)
    try:
        shaped = values.reshape(shape, order="F" if header["fortran_order"] else "C")
    except (ValueError, OverflowError) as error:  # (0, 2**62) has no bytes and yet is too large
        raise _npy_error(name, f"has shape {shape}", "sizes that NumPy supports") from error
    return np.array(shaped, dtype=dtype.newbyteorder("="), order="C")


def _header(data: bytes, name: str) -> tuple[dict[str, Any], int]:
    """The header's three entries, and the position of the values."""
    if not data.startswith(_MAGIC):
        problem = f"begins with {data[:6].hex(' ')}" if data else "is empty"
        raise _npy_error(name, problem, "a .npy file", "write it with numpy.save")
    version = data[6:8]
    if version not in (b"\1\0", b"\2\0", b"\3\0"):
        raise _npy_error(name, f"has the format version {version.hex(' ')}", "1.0, 2.0 or 3.0")
    offset = 10 if version == b"\1\0" else 12
    length = int.from_bytes(data[8:offset], "little")
    text = data[offset : offset + length]
    if len(data) < offset or len(text) < length or length > _MAX_HEADER:
        raise _npy_error(name, "has a header that is truncated or too long", "a complete .npy file")
    try:
        header = ast.literal_eval(text.decode("latin-1" if offset == 10 else "utf-8"))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise _npy_error(name, "has a header that cannot be parsed", "a .npy file") from error
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise _npy_error(name, "has a header with other entries", "descr, fortran_order and shape")
    return header, offset + length


def _dtype(descr: object, name: str) -> np.dtype[Any]:
    if not isinstance(descr, str):
        raise _npy_error(name, "contains a structured array", "a plain array of numbers")
    if descr.endswith("O"):
        raise _npy_error(
            name,
            "contains pickled Python objects, which are never loaded",
            "a plain array of numbers",
        )
    if not _DTYPE.fullmatch(descr):
        raise _npy_error(
            name, f"has dtype {quote(descr[:40])}", "booleans, integers or floats up to 64 bits"
        )
    return np.dtype(descr)


def _shape(shape: object, name: str) -> tuple[int, ...]:
    if (
        not isinstance(shape, tuple)
        or len(shape) > _MAX_RANK
        or not all(type(size) is int and 0 <= size <= _MAX_SIZE for size in shape)
    ):
        raise _npy_error(name, "has an invalid shape", f"up to {_MAX_RANK} sizes of 0 or more")
    return shape


def _npy_error(
    name: str, problem: str, expected: str, remedy: str = "write the file again with numpy.save"
) -> InputError:
    return InputError(f"{quote(name)} {problem}; expected {expected}: {remedy}", code="E-NPY")
