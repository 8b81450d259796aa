"""Recognise the exceptions of PyTorch that are about memory or the CUDA device."""

from __future__ import annotations

import re

from ptx.infer.errors import BackendError, LimitError, PtxError

# PyTorch's allocators on the device and on the CPU, CUDA itself, cuBLAS and cuDNN.
_OUT_OF_MEMORY = re.compile(
    r"out of memory|not enough memory|DefaultCPUAllocator|(CUBLAS|CUDNN)_STATUS_ALLOC_FAILED"
    r"|CUDNN_STATUS_INTERNAL_ERROR_\w*ALLOCATION_FAILED"
)
_CUDA = re.compile(
    r"CUDA error|CUDA driver|NVIDIA driver|CUDA unknown error|No CUDA GPUs|cuDNN error"
    r"|CU(BLAS|FFT|SOLVER|SPARSE|RAND)_STATUS_\w+|CUDNN_STATUS_\w+|NCCL error"
)


def map_device_failure(error: BaseException, name: str, device: str) -> PtxError | None:
    """The error of ptx for an exception on the device; None if it is about something else.

    Args:
        error: The exception.
        name: The file that was run, for the message.
        device: As PyTorch names it.

    Returns:
        LimitError E-MEMORY: there was not enough memory, on the device or on the machine. BackendError
        E-CUDA: the device, its driver or one of CUDA's libraries failed.
    """
    text = str(error)
    if isinstance(error, PtxError):
        return None
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(text)
    ):
        return LimitError(
            f"{name}: PyTorch ran out of memory on {device}: use a smaller batch, or stop other"
            " programs there",
            code="E-MEMORY",
        )
    if isinstance(error, RuntimeError) and _CUDA.search(text):
        reason = text.strip().splitlines()[0]  # the other lines are advice on debugging kernels
        return BackendError(
            f"{name}: CUDA failed on {device}: {reason}: check nvidia-smi, or use --device cpu",
            code="E-CUDA",
            reason=reason,
        )
    return None
