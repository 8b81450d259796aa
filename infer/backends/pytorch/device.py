"""What the torch backends share: importing torch, choosing a device, arrays and tensors."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.backends import DEVICES, Options
from ptx.infer.backends.pytorch.precision import CUDA_PRECISION
from ptx.infer.backends.pytorch.threads import settle_threads
from ptx.infer.errors import (
    ArtifactError,
    BackendError,
    LimitError,
    PtxError,
    UsageError,
    installing,
    nearest,
    quote,
)
from ptx.infer.signature import DTYPES, Array, Signature, TensorSpec


def import_torch() -> Any:
    """The `torch` module; BackendError where it is not installed."""
    settle_threads()
    try:
        import torch
    except ImportError as error:
        raise BackendError(
            f"PyTorch is not installed: {installing('train')}, or export to ONNX and use ort-cpu"
        ) from error
    return torch


def find_device(name: str) -> str:
    """The device to use for `auto`, or `name` once it has been proved to be there.

    Raises:
        UsageError: no such type of device.
        BackendError: no such device here.
    """
    torch = import_torch()
    chosen, colon, index = name.partition(":")
    if chosen not in DEVICES or (colon and (chosen == "auto" or not index.isdigit())):
        raise UsageError(f"there is no device {quote(name)}; {nearest(chosen, DEVICES)}")
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if name == "auto":
        return accelerator.type if accelerator is not None else "cpu"
    if chosen == "cpu":
        return "cpu"
    if accelerator is None or accelerator.type != chosen:
        found = "no accelerator" if accelerator is None else f"only {accelerator.type!r}"
        raise BackendError(
            f"device {name!r} is not available: PyTorch {torch.__version__} finds {found};"
            " install the driver, or use --device cpu",
            code="E-DEVICE",
        )
    if index and int(index) >= torch.accelerator.device_count():
        raise BackendError(
            f"device {name!r} is not available: there are {torch.accelerator.device_count()}",
            code="E-DEVICE",
        )
    return name


def choose_device(options: Options) -> str:
    """The device of the options, proved to be there and to compute in their precision.

    Raises:
        UsageError: no such type of device, or it has no such precision.
        BackendError: no such device here.
    """
    device = find_device(options.device)
    if options.precision != "float32" and not device.startswith("cuda"):
        raise UsageError(
            f"precision {options.precision!r} is of CUDA, and this runs on {device!r}: leave it out"
        )
    return device


def place_on(module: Any, device: str) -> str:
    """The device that the weights of a loaded module are on; `device` where it has none."""
    tensor = next(itertools.chain(module.parameters(), module.buffers()), None)
    return device if tensor is None else str(tensor.device)


def to_tensors(signature: Signature, inputs: Mapping[str, Array], device: str) -> list[Any]:
    """Copies of the inputs on the device, in the order in which forward takes them.

    Copies, since a forward method may work in place, and the arrays are the caller's. What is float32
    in NumPy and bfloat16 in the signature is rounded here.
    """
    torch = import_torch()
    tensors = []
    for spec in signature.inputs:
        array = inputs[spec.name]
        # A read-only array is copied twice: torch has no read-only tensors and warns about one.
        tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
        kind = torch.bfloat16 if spec.dtype == "bfloat16" else None
        tensors.append(tensor.to(device, kind, copy=True))
    return tensors


def to_arrays(signature: Signature, outputs: Any) -> dict[str, Array]:
    """Copies of the outputs of forward by name, see `find_outputs`.

    Copies, since forward may return an input, a weight, or one tensor twice.
    """
    torch = import_torch()
    tensors = find_outputs(signature, outputs)
    return {
        spec.name: _to_array(spec, tensor, torch)
        for spec, tensor in zip(signature.outputs, tensors, strict=True)
    }


def find_outputs(signature: Signature, outputs: Any) -> tuple[Any, ...]:
    """The tensors that forward returns, in the signature's order.

    A mapping, a dataclass or a named tuple, such as the outputs of Hugging Face's networks, is asked for
    the signature's names and may hold more; a tensor, a tuple or a list has no names but its places.

    Raises:
        ArtifactError: E-OUTPUT: there is another number of them, none of that name, or no tensor.
    """
    torch = import_torch()
    names = [spec.name for spec in signature.outputs]
    fields = None if isinstance(outputs, torch.Tensor) else _fields(outputs, names)
    if fields is not None:
        for name in names:
            if name not in fields:
                raise ArtifactError(
                    f"the network returns a {type(outputs).__name__} without {name!r};"
                    f" {nearest(name, [str(key) for key in fields])}",
                    code="E-OUTPUT",
                )
        tensors: Any = [fields[name] for name in names]
    else:
        tensors = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
    if not isinstance(tensors, tuple | list) or not all(
        isinstance(tensor, torch.Tensor) for tensor in tensors
    ):
        raise _no_tensors(signature, outputs, tensors)
    if len(tensors) != len(names):
        raise ArtifactError(
            f"the model gives {len(tensors)} outputs; its card says {len(names)}", code="E-OUTPUT"
        )
    return tuple(tensors)


def has_names(outputs: Any) -> bool:
    """Whether what forward returns has names, and no order that an exporter would keep."""
    named_tuple = hasattr(outputs, "_asdict")
    return named_tuple or isinstance(outputs, Mapping) or dataclasses.is_dataclass(outputs)


def _fields(outputs: Any, names: list[str]) -> Mapping[str, Any] | None:
    """What outputs hold by name; None where they have but places."""
    if isinstance(outputs, Mapping):
        return outputs
    if dataclasses.is_dataclass(outputs):
        return {field.name: getattr(outputs, field.name) for field in dataclasses.fields(outputs)}
    fields: Mapping[str, Any] | None = getattr(outputs, "_asdict", dict)()
    return fields if fields and set(names) <= set(fields) else None


def _no_tensors(signature: Signature, outputs: Any, tensors: Any) -> ArtifactError:
    """Why these are no outputs, and what to do."""
    if isinstance(tensors, tuple | list) and any(isinstance(part, Mapping) for part in tensors):
        return ArtifactError(
            "the network returns a list of mappings, one for each picture, as detectors do: how many"
            " boxes there are depends on the picture, so they make no array of a batch: wrap it in a"
            " module that returns the scores and boxes of all candidates, or as many of each picture as"
            " you fix (see docs/your-own-model.md)",
            code="E-OUTPUT",
        )
    kinds = [type(part).__name__ for part in tensors] if isinstance(tensors, tuple | list) else []
    held = f" of {', '.join(kinds[:5])}" if kinds else ""
    return ArtifactError(
        f"the network returns a {type(outputs).__name__}{held}; expected tensors for"
        f" {[spec.name for spec in signature.outputs]}: wrap it in a module that returns these",
        code="E-OUTPUT",
    )


def _to_array(spec: TensorSpec, tensor: Any, torch: Any) -> Array:
    """A copy of an output; bfloat16, which NumPy has not, as float32.

    Of the other types any is taken: a reference is computed in float64, and the array is looked at.
    """
    kind = tensor.dtype
    if kind is torch.bfloat16 or (spec.dtype == "bfloat16" and kind is not torch.float64):
        if str(kind) != f"torch.{spec.dtype}":
            raise _wrong_type(spec, kind)
        kind = torch.float32
    try:
        array: Array = tensor.to("cpu", kind, copy=True).numpy()
    except TypeError as error:  # float8, and what is packed
        raise _wrong_type(spec, kind) from error
    return array


def _wrong_type(spec: TensorSpec, kind: Any) -> ArtifactError:
    found = str(kind).removeprefix("torch.")
    return ArtifactError(
        f"output {spec.name!r} is {found}; the signature says {spec.dtype}: state that, or convert it"
        f" in forward; there are {', '.join(DTYPES)}",
        code="E-OUTPUT",
    )


@contextmanager
def mapping_run_errors(artifact: Artifact, options: Options, device: str) -> Iterator[None]:
    """Inference mode, on CUDA the precision that was asked for, torch's errors in our words."""
    torch = import_torch()
    try:
        with torch.inference_mode():
            if not device.startswith("cuda"):  # no context more: it would cost a microsecond
                yield
                return
            with CUDA_PRECISION.hold_at(options.precision):
                yield
    except PtxError:
        raise
    except MemoryError as error:
        raise LimitError(f"{artifact.name}: out of memory", code="E-MEMORY") from error
    except RuntimeError as error:
        text = " ".join(str(error).split())
        if isinstance(error, torch.OutOfMemoryError) or "not enough memory" in text:
            raise LimitError(
                f"{artifact.name}: PyTorch ran out of memory on {device}: use a smaller batch",
                code="E-MEMORY",
            ) from error
        raise ArtifactError(
            f"PyTorch cannot run {artifact.name}: {text[:300]}", code="E-TORCH-RUN"
        ) from error


@contextmanager
def mapping_load_errors(artifact: Artifact) -> Iterator[None]:
    """torch's errors while a file is loaded, in our words."""
    try:
        yield
    except PtxError:
        raise
    except Exception as error:  # torch raises a dozen kinds for damaged files, some without a text
        text = " ".join(str(error).split()) or type(error).__name__
        raise ArtifactError(
            f"PyTorch cannot load {artifact.name}: {text[:300]}", code="E-TORCH-LOAD"
        ) from error
