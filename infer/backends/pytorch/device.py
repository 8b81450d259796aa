"""What the torch backends share: importing torch, choosing a device, running, arrays and tensors."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.backends import DEVICES, Options, require_device
from ptx.infer.backends.pytorch.failures import map_device_failure
from ptx.infer.backends.pytorch.outputs import find_outputs
from ptx.infer.backends.pytorch.precision import CUDA_PRECISION
from ptx.infer.backends.threads import set_openmp_wait_policy
from ptx.infer.errors import (
    ArtifactError,
    BackendError,
    PtxError,
    UsageError,
    install_hint,
)
from ptx.infer.signature import DTYPES, Array, Signature, TensorSpec

log = logging.getLogger(__name__)

_TRIAL_SIZE = 28  # size of the dynamic axes except the batch, when the memory layout is tried


def import_torch() -> Any:
    """The `torch` module; BackendError if it is not installed."""
    set_openmp_wait_policy()
    try:
        import torch
    except ImportError as error:
        raise BackendError(
            f"PyTorch is not installed: {install_hint('train')}, or export to ONNX and use ort-cpu"
        ) from error
    return torch


def find_device(name: str) -> str:
    """The device for `auto`, or `name` after a check that it is usable.

    `auto` is an accelerator that ptx supports and PyTorch can compute on, else the CPU. If PyTorch
    cannot compute on the accelerator, a warning says why.

    Raises:
        UsageError: there is no such type of device.
        BackendError: the device is not available here, or PyTorch cannot compute on it.
    """
    torch = import_torch()
    chosen, index = require_device(name), name.partition(":")[2]
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if name == "auto":
        return "cpu" if accelerator is None else _find_accelerator(torch, accelerator.type)
    if chosen == "cpu":
        return "cpu"
    if accelerator is None or accelerator.type != chosen:
        available = "no accelerator" if accelerator is None else f"only {accelerator.type!r}"
        raise BackendError(
            f"device {name!r} is not available: PyTorch {torch.__version__} finds {available};"
            " install the driver, or use --device cpu",
            code="E-DEVICE",
        )
    if index and int(index) >= torch.accelerator.device_count():
        raise BackendError(
            f"device {name!r} is not available: there are {torch.accelerator.device_count()}",
            code="E-DEVICE",
        )
    if chosen == "cuda":
        _require_kernels(torch, name)
    return name


def _find_accelerator(torch: Any, kind: str) -> str:
    """`kind` if ptx supports it and PyTorch can compute on it, else the CPU."""
    if kind not in DEVICES:
        return "cpu"
    if kind == "cuda":
        try:
            _require_kernels(torch, kind)
        except BackendError as error:
            log.warning("computing on the CPU: %s", error.reason)
            return "cpu"
    return kind


def _require_kernels(torch: Any, device: str) -> None:
    """Check that this build of PyTorch has kernels for a GPU.

    Raises:
        BackendError: E-CUDA: the GPU cannot be started. E-DEVICE: it is too old or too new.
    """
    try:
        index = int(device.partition(":")[2] or torch.cuda.current_device())
        capability = torch.cuda.get_device_capability(index)
    except RuntimeError as error:
        reason = f"PyTorch cannot start it: {str(error).strip().splitlines()[0]}"
        raise BackendError(
            f"device {device!r} cannot be used: {reason}: check nvidia-smi, or use --device cpu",
            code="E-CUDA",
            reason=reason,
        ) from error
    architectures = torch.cuda.get_arch_list()
    if torch.version.cuda and architectures and not runs_on(capability, architectures):
        major, minor = capability
        reason = (
            f"{torch.cuda.get_device_name(index)} has compute capability {major}.{minor}, and PyTorch"
            f" {torch.__version__} is built for {', '.join(architectures)}"
        )
        raise BackendError(
            f"device {device!r} cannot be used: {reason}: install a PyTorch for it, or use --device cpu",
            code="E-DEVICE",
            reason=reason,
        )


def runs_on(capability: tuple[int, int], architectures: list[str]) -> bool:
    """Whether code built for these architectures (`sm_90`, `compute_80`) runs on a GPU.

    Machine code (sm) runs on later minor versions of its major version, PTX (compute) on all later ones.

    Args:
        capability: Major and minor compute capability of the GPU.
        architectures: For which the code was built.
    """
    for architecture in architectures:
        kind, _, number = architecture.rstrip("af").partition("_")
        required = divmod(int(number), 10)
        if required <= capability and (kind == "compute" or required[0] == capability[0]):
            return True
    return False


class TorchBackend:
    """A module on a device; each subclass loads it from its file format."""

    name: ClassVar[str]
    channels_last = True  # whether the memory layout of the module can be changed

    def __init__(self, artifact: Artifact, options: Options) -> None:
        import_torch()
        self._artifact, self._options = artifact, options
        self._signature = artifact.require_manifest().signature
        device = _choose_device(options)
        with mapping_load_errors(artifact, device):
            self._module = self._load(artifact, options, device)
        if self.channels_last:
            use_channels_last(self._module, self._signature, device)
        tensors = itertools.chain(self._module.parameters(), self._module.buffers())
        first = next(tensors, None)  # a module without weights runs where its inputs are
        self.device = device if first is None else str(first.device)

    def _load(self, artifact: Artifact, options: Options, device: str) -> Any:
        """The module in eval mode, on the device."""
        raise NotImplementedError

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        with mapping_run_errors(self._artifact, self._options, self.device):
            tensors = to_tensors(self._signature, inputs, self.device)
            return to_arrays(self._signature, self._module(*tensors))

    def close(self) -> None:
        self._module = None


def _choose_device(options: Options) -> str:
    """The device for the options, after a check that it is usable and supports their precision.

    Raises:
        UsageError: there is no such type of device, or it does not support the precision.
        BackendError: the device is not available here.
    """
    device = find_device(options.device)
    if options.precision != "float32" and not device.startswith("cuda"):
        raise UsageError(
            f"precision {options.precision!r} needs CUDA, and the model runs on {device!r}: omit it"
        )
    return device


def to_tensors(signature: Signature, inputs: Mapping[str, Array], device: str) -> list[Any]:
    """Copies of the inputs on the device, in the order of the arguments of forward.

    They are copies because forward may change its arguments, and the arrays belong to the caller. An
    input that is bfloat16 in the signature, and so float32 in NumPy, is rounded here.
    """
    torch = import_torch()
    tensors = []
    for spec in signature.inputs:
        array = inputs[spec.name]
        # A read-only array is copied twice: torch has no read-only tensors and warns about one.
        tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
        dtype = torch.bfloat16 if spec.dtype == "bfloat16" else None
        tensors.append(tensor.to(device, dtype, copy=True))
    return tensors


def to_arrays(signature: Signature, outputs: Any) -> dict[str, Array]:
    """Copies of the outputs of forward by name, see `find_outputs`.

    They are copies because forward may return an input, a weight, or one tensor twice.
    """
    torch = import_torch()
    tensors = find_outputs(signature, outputs)
    return {
        spec.name: _to_array(spec, tensor, torch)
        for spec, tensor in zip(signature.outputs, tensors, strict=True)
    }


def _to_array(spec: TensorSpec, tensor: Any, torch: Any) -> Array:
    """A copy of an output; bfloat16, which NumPy does not have, becomes float32.

    Every other dtype is accepted here, because a reference is computed in float64; the caller checks
    the array.
    """
    dtype = tensor.dtype
    if dtype is torch.bfloat16 or (spec.dtype == "bfloat16" and dtype is not torch.float64):
        if str(dtype) != f"torch.{spec.dtype}":
            raise _dtype_error(spec, dtype)
        dtype = torch.float32
    try:
        array: Array = tensor.to("cpu", dtype, copy=True).numpy()
    except TypeError as error:  # float8, and packed dtypes
        raise _dtype_error(spec, dtype) from error
    return array


def _dtype_error(spec: TensorSpec, dtype: Any) -> ArtifactError:
    actual = str(dtype).removeprefix("torch.")
    return ArtifactError(
        f"output {spec.name!r} is {actual}; the signature says {spec.dtype}: correct the signature, or"
        f" convert the output in forward; known dtypes: {', '.join(DTYPES)}",
        code="E-OUTPUT",
    )


def use_channels_last(network: Any, signature: Signature, device: str) -> None:
    """Use the memory layout in which convolutions of oneDNN are faster; only on the CPU.

    Epochs and large batches then take 0.4 to 0.8 of the time. A network that calls `view` on its
    features fails in this layout, so the network is run once, and the layout is reset if that fails.
    """
    torch = import_torch()
    if device != "cpu" or all(parameter.dim() != 4 for parameter in network.parameters()):
        return
    sizes = signature.equal_sizes(_TRIAL_SIZE, batch=2)
    example = to_tensors(signature, signature.example(sizes), "cpu")
    training = network.training
    network.eval().to(memory_format=torch.channels_last)
    try:
        with torch.inference_mode():
            network(*example)
    except Exception:  # a custom network may raise anything
        network.to(memory_format=torch.contiguous_format)
    network.train(training)


@contextmanager
def mapping_run_errors(artifact: Artifact, options: Options, device: str) -> Iterator[None]:
    """Run the body in inference mode and the requested precision; convert PyTorch's exceptions.

    Raises:
        ArtifactError: E-TORCH-RUN, or an error of `map_device_failure`.
    """
    torch = import_torch()
    try:
        with torch.inference_mode():
            if not device.startswith("cuda"):
                yield
                return
            with CUDA_PRECISION.using(options.precision):
                yield
    except PtxError:
        raise
    except (MemoryError, RuntimeError) as error:
        if (failure := map_device_failure(error, artifact.name, device)) is not None:
            raise failure from error
        text = " ".join(str(error).split())
        raise ArtifactError(
            f"PyTorch cannot run {artifact.name}: {text[:300]}", code="E-TORCH-RUN"
        ) from error


@contextmanager
def mapping_load_errors(artifact: Artifact, device: str = "cpu") -> Iterator[None]:
    """Convert PyTorch's exceptions while a file is loaded.

    Raises:
        ArtifactError: E-TORCH-LOAD, or an error of `map_device_failure`.
    """
    try:
        yield
    except PtxError:
        raise
    except (
        Exception
    ) as error:  # PyTorch raises a dozen classes for damaged files, some without a text
        # On the CPU a damaged file is the usual reason for a failed allocation.
        failure = None if device == "cpu" else map_device_failure(error, artifact.name, device)
        if failure is not None:
            raise failure from error
        text = " ".join(str(error).split()) or type(error).__name__
        raise ArtifactError(
            f"PyTorch cannot load {artifact.name}: {text[:300]}", code="E-TORCH-LOAD"
        ) from error
