"""Arrays on the GPU as inputs and outputs of a CUDA session, without a copy to the host, with DLPack.

The host waits at both ends of a run: until the inputs are computed, and until the outputs are. The owner
of an input makes the default stream wait for the stream that computes it, as DLPack prescribes, and ptx
waits for the default stream. Once the run has returned, its outputs may be used on any stream, and an
input may be overwritten. (ONNX Runtime accepts a stream of the caller only when a session is opened, and
then for all threads: its option `user_compute_stream`.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np

from ptx.infer.backends.ort.cpu import TYPES, import_onnxruntime
from ptx.infer.errors import InputError
from ptx.infer.signature import Array, TensorSpec

_DTYPES = {name: np.dtype(dtype) for dtype, name in TYPES.items()}
_CPU, _CUDA = 1, 2  # kDLCPU and kDLCUDA of DLPack
_DEFAULT_STREAM = 1  # in DLPack: the legacy default stream of the device


@final
class DeviceArray:
    """An array on the GPU. Libraries import it with DLPack, without a copy: `torch.from_dlpack(array)`.

    The memory of an output belongs to the session, which may reuse it for the next run as soon as this
    array and all arrays made from it are released. So keep one of them until it has been read.

    Attributes:
        value: The `onnxruntime.OrtValue`.
        shape: Sizes of the axes.
        dtype: NumPy dtype.
        device: Such as "cuda:0".
    """

    def __init__(self, value: Any, device: str, owner: object) -> None:
        self.value, self._owner = value, owner  # a reference that keeps the memory alive
        self.shape: tuple[int, ...] = tuple(value.shape())
        self.dtype, self.device = _DTYPES[value.data_type()], device

    def numpy(self) -> Array:
        """A copy on the host."""
        copy: Array = self.value.numpy()
        return copy

    def __dlpack_device__(self) -> tuple[int, int]:
        return _CUDA, int(self.device.partition(":")[2])

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A capsule that shares the memory. The values are computed, so `stream` need not wait.

        Raises:
            BufferError: a copy or another device is requested.
        """
        if copy or dl_device not in (None, self.__dlpack_device__()):
            raise BufferError(
                f"an array on {self.device} is exported without a copy: copy it later"
            )
        return self.value.__dlpack__(stream=stream)

    def __repr__(self) -> str:
        return f"<DeviceArray {self.dtype} {self.shape} on {self.device}>"


class _OnDefaultStream:
    """A DLPack array, exported for the default stream; `OrtValue.from_dlpack` passes no stream."""

    def __init__(self, array: Any) -> None:
        self._array = array
        if hasattr(array, "dtype"):  # ONNX Runtime uses it to distinguish bool from uint8
            self.dtype = array.dtype

    def __dlpack__(self) -> Any:
        return self._array.__dlpack__(stream=_DEFAULT_STREAM)


def import_array(spec: TensorSpec, array: Any, device: str) -> DeviceArray:
    """An input from any library. It shares the memory, and keeps it alive.

    Raises:
        InputError: it is not a DLPack array on that device, has another dtype, or is not contiguous.
    """
    expected = f"expected {spec.dtype} {spec.describe()} on {device}, or a NumPy array"
    try:
        kind, index = array.__dlpack_device__()
    except AttributeError:
        raise InputError(
            f"input {spec.name!r} is a {type(array).__name__}, which has no __dlpack__; {expected}",
            code="E-TYPE",
        ) from None
    if kind != _CUDA or f"cuda:{index}" != device:
        where = {_CUDA: f"cuda:{index}", _CPU: "the CPU"}.get(kind, f"DLPack's device {int(kind)}")
        raise InputError(f"input {spec.name!r} is on {where}; {expected}", code="E-TYPE")
    try:
        value = import_onnxruntime().OrtValue.from_dlpack(_OnDefaultStream(array))
    except (
        Exception
    ) as error:  # raised by the array's library, for example for a tensor with gradients
        raise InputError(
            f"input {spec.name!r} cannot be read through DLPack ({' '.join(str(error).split())[:200]});"
            f" {expected}, contiguous and without gradients",
            code="E-TYPE",
        ) from error
    if value.data_type() != TYPES[spec.dtype]:
        raise InputError(
            f"input {spec.name!r} is {value.data_type()}; {expected}: convert it on the device",
            code="E-TYPE",
        )
    return DeviceArray(value, device, array)


def bind(session: Any, inputs: Mapping[str, Array | DeviceArray], index: int) -> Any:
    """An `IOBinding` for these inputs, with the outputs on the device `index`."""
    binding = session.io_binding()
    for name, array in inputs.items():
        if isinstance(array, DeviceArray):
            binding.bind_ortvalue_input(name, array.value)
        else:
            binding.bind_cpu_input(name, array)
    for output in session.get_outputs():
        binding.bind_output(output.name, "cuda", index)
    return binding
