"""An array in the memory of the null device, as a library with DLPack would have it.

Like those it computes on a stream of its own, and asked for its numbers it makes the stream that it is
given wait for that one, and nothing else: who does not wait for the stream reads what was there before.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

cudart = ctypes.CDLL("libcudart.so.13")
released: list[str] = []  # the names of the arrays whose capsules were given back

_KINDS = {"i": 0, "u": 1, "f": 2, "b": 6}
_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Tensor(ctypes.Structure):
    """DLManagedTensor."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", ctypes.c_int32),
        ("index", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("kind", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
        ("context", ctypes.c_void_p),
        ("deleter", _Deleter),
    )


# the capsules' tensors; they keep their arrays
_given: dict[int, tuple[DeviceMemory, _Tensor]] = {}


def _give_back(tensor: int) -> None:
    released.append(_given.pop(tensor)[0].name)


_release = _Deleter(_give_back)


class DeviceMemory:
    """An array on the null device, which is being filled with these numbers.

    Attributes:
        index: Of the device that it says it is on.
        strides: In numbers, instead of those of a contiguous array.
    """

    def __init__(
        self,
        numbers: np.ndarray[Any, Any],
        *,
        name: str = "",
        index: int = 0,
        strides: tuple[int, ...] | None = None,
    ) -> None:
        self.name, self.dtype, self.shape, self._index = name, numbers.dtype, numbers.shape, index
        self.pointer, self._stream = ctypes.c_void_p(), ctypes.c_void_p()
        _call("cudaSetDevice", index)
        _call("cudaMalloc", ctypes.byref(self.pointer), ctypes.c_size_t(max(numbers.nbytes, 1)))
        _call("cudaStreamCreateSlow", ctypes.byref(self._stream))
        source = numbers.ctypes.data_as(ctypes.c_void_p)
        _call(
            "cudaMemcpyAsync",
            self.pointer,
            source,
            ctypes.c_size_t(numbers.nbytes),
            1,
            self._stream,
        )
        self._axes = (ctypes.c_int64 * numbers.ndim)(*numbers.shape)
        self._strides = None if strides is None else (ctypes.c_int64 * numbers.ndim)(*strides)
        _call("cudaSetDevice", 0)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self._index

    def __dlpack__(self, *, stream: int | None = None) -> Any:
        event = ctypes.c_void_p()
        _call("cudaEventCreate", ctypes.byref(event))
        _call("cudaEventRecord", event, self._stream)
        _call("cudaSetDevice", self._index)  # whose default stream is meant
        _call("cudaStreamWaitEvent", ctypes.c_void_p(stream or 1), event, 0)
        _call("cudaSetDevice", 0)
        tensor = _Tensor(
            self.pointer.value,
            2,
            self._index,
            len(self.shape),
            _KINDS[self.dtype.kind],
            8 * self.dtype.itemsize,
            1,
            self._axes,
            self._strides,
            0,
            None,
            _release,
        )
        _given[ctypes.addressof(tensor)] = self, tensor
        make = ctypes.pythonapi.PyCapsule_New
        make.restype, make.argtypes = (
            ctypes.py_object,
            (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p),
        )
        return make(ctypes.addressof(tensor), b"dltensor", None)


def _call(name: str, *arguments: object) -> None:
    status = getattr(cudart, name)(*arguments)
    if status:
        raise RuntimeError(f"{name} gives {status}")
