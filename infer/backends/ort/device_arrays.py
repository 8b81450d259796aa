"""Arrays on the GPU, in and out of a CUDA session without a copy to the host, by way of DLPack.

The host waits at both ends of a run: until the inputs are computed, and until the outputs are. The owner
of an input makes the default stream wait for the stream that computes it, as DLPack prescribes, and ptx
waits for the default stream. Once the run has returned, its outputs may be used on any stream, and an
input may be overwritten. (ONNX Runtime takes a stream of the caller's only when a session is opened, and
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
    """An array on the GPU. What reads DLPack takes it without a copy: `torch.from_dlpack(array)`.

    The memory of an output is the session's. It may be used for the next run as soon as this array and
    all that was made from it are released, so keep one of them until the work that reads it is done.

    Attributes:
        value: The `onnxruntime.OrtValue`.
        shape: Sizes of the axes.
        dtype: Its NumPy dtype.
        device: As in "cuda:0".
    """

    def __init__(self, value: Any, device: str, owner: object) -> None:
        self.value, self._owner = value, owner  # what the memory is of lives as long as this
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
        """A capsule that shares the memory; `stream` has nothing to wait for: the numbers are there.

        Raises:
            BufferError: a copy or another device is asked for.
        """
        if copy or dl_device not in (None, self.__dlpack_device__()):
            raise BufferError(
                f"an array on {self.device} is exported without a copy: copy it later"
            )
        return self.value.__dlpack__(stream=stream)

    def __repr__(self) -> str:
        return f"<DeviceArray {self.dtype} {self.shape} on {self.device}>"


class _OnDefaultStream:
    """A DLPack array whose numbers are asked for on the default stream; `from_dlpack` asks for none."""

    def __init__(self, array: Any) -> None:
        self._array = array
        if hasattr(array, "dtype"):  # by which ONNX Runtime tells bool from uint8
            self.dtype = array.dtype

    def __dlpack__(self) -> Any:
        return self._array.__dlpack__(stream=_DEFAULT_STREAM)


def import_array(spec: TensorSpec, array: Any, device: str) -> DeviceArray:
    """An input of any library's, over the same memory, which it keeps alive.

    Raises:
        InputError: it is no DLPack array on that device, has another dtype, or is not contiguous.
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
    except Exception as error:  # of the array's library, as for a tensor with gradients
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
    """An `IOBinding` of these inputs, with the outputs on the device `index`."""
    binding = session.io_binding()
    for name, array in inputs.items():
        if isinstance(array, DeviceArray):
            binding.bind_ortvalue_input(name, array.value)
        else:
            binding.bind_cpu_input(name, array)
    for output in session.get_outputs():
        binding.bind_output(output.name, "cuda", index)
    return binding
