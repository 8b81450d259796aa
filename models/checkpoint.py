"""The checkpoint format: what `torch.save` writes and `weights_only=True` reads.

A bare state dict (`torch.save(model.state_dict(), "model.pth")`) is read as a checkpoint that has only
weights. `ptx.infer.artifact.zip_archive` adds the manifest to the same file.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ptx.models.state_dict import unwrap

FORMAT = 1
# Dtypes of buffers, which are not trained, such as the counter of a batch normalisation.
BUFFER_DTYPES = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
_SHOWN = 5  # names that an error lists
_HINT = "save only the state dict: torch.save(model.state_dict(), FILE)"


@dataclass(frozen=True)
class Checkpoint:
    """The weights of a network and everything needed to continue its training."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)  # epoch, step and running metrics
    random: dict[str, Tensor] = field(default_factory=dict)  # generator states by device type
    history: list[dict[str, float]] = field(default_factory=list)  # one row for each complete epoch
    samples: dict[str, Tensor] = field(default_factory=dict)  # test inputs by name, one batch each
    # Test inputs before preprocessing: the bytes of an image file, texts, or tuples of numbers.
    examples: list[Any] = field(default_factory=list)
    notes: tuple[str, ...] = ()  # for the user, on how a bare state dict was read; not saved


def dumps(checkpoint: Checkpoint) -> bytes:
    """The checkpoint as the bytes of a file."""
    buffer = io.BytesIO()
    data = {
        "format": FORMAT,
        "weights": _on_cpu(checkpoint.weights),
        "optimizer": _on_cpu(checkpoint.optimizer),
        "progress": checkpoint.progress,
        "random": checkpoint.random,
        "history": checkpoint.history,
        "samples": checkpoint.samples,
        "examples": checkpoint.examples,
    }
    torch.save(data, buffer)
    return buffer.getvalue()


def loads(data: bytes) -> Checkpoint:
    """The checkpoint in the bytes of a file, on the CPU.

    A bare state dict may be nested in a dictionary, and its names may have the prefix of a wrapper; see
    `ptx.models.state_dict`.

    Raises:
        ValueError: the file is neither a checkpoint nor a state dict, or loading it would run code.
    """
    try:
        with warnings.catch_warnings():
            # torch warns that checking a sparse tensor is slow; sparse tensors are rejected below.
            warnings.filterwarnings("ignore", message="Validating sparse tensor invariants")
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's message advises to load with weights_only=False, which is unsafe.
        raise ValueError(
            f"it is damaged, or contains Python objects, which could run code when loaded; {_HINT}"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"it contains a {type(content).__name__}; expected a state dict")
    version = content.get("format")
    if isinstance(version, int) and "weights" in content:
        return _read_checkpoint(content, version)
    bare, notes = unwrap(content)
    return Checkpoint(weights=_check_weights(bare), notes=notes)


def _read_checkpoint(content: dict[str, Any], version: int) -> Checkpoint:
    if version != FORMAT:
        raise ValueError(f"its format is {version}; this ptx reads {FORMAT}")
    content = {"examples": [], **content}  # optional
    parts = {
        "optimizer": dict,
        "progress": dict,
        "random": dict,
        "history": list,
        "samples": dict,
        "examples": list,
    }
    for name, expected in parts.items():
        if not isinstance(content.get(name), expected):
            raise ValueError(f"its part {name!r} is missing or not a {expected.__name__}")
    weights = content["weights"]
    return Checkpoint(
        # A network may have no weights; a bare state dict without any is invalid.
        weights={} if weights == {} else _check_weights(weights),
        **{name: content[name] for name in parts},
    )


def load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load the weights into the network. All names must match.

    Raises:
        ValueError: names are missing or unknown, or shapes or dtypes differ; lists the first few.
    """
    expected = network.state_dict()
    problems = [f"{name} is missing" for name in expected if name not in weights]
    problems += [f"{name} is unknown" for name in weights if name not in expected]
    problems += [
        f"{name} has shape {tuple(weights[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    problems += [
        f"{name} is of type {weights[name].dtype}, expected"
        f" {'floats' if tensor.is_floating_point() else tensor.dtype}"
        for name, tensor in expected.items()
        if name in weights and not _compatible(weights[name].dtype, tensor.dtype)
    ]
    if problems:
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ValueError(
            f"the weights do not match the network: {'; '.join(problems[:_SHOWN])}{more}"
        )
    for name, tensor in expected.items():
        if not torch.isfinite(weights[name].to(tensor.dtype)).all():
            raise ValueError(f"weight {name!r} has values that do not fit into {tensor.dtype}")
    network.load_state_dict(dict(weights), strict=True)


def _compatible(stored: torch.dtype, expected: torch.dtype) -> bool:
    return stored.is_floating_point if expected.is_floating_point else stored == expected


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """The SHA-256 digest of the sorted names with the dtypes, shapes and little-endian values."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        if tensor.dtype == torch.bfloat16:  # NumPy does not have it
            array, dtype = tensor.view(torch.int16).numpy(), "bfloat16"
        else:
            array = tensor.numpy()
            dtype = array.dtype.str
        digest.update(f"{name}\0{dtype}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _check_weights(weights: Any) -> dict[str, Tensor]:
    if not isinstance(weights, dict) or not weights:
        raise ValueError("it contains no weights")
    result: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ValueError(f"its entry {name!r} is not a tensor with a name: not a state dict")
        if not tensor.is_floating_point() and tensor.dtype not in BUFFER_DTYPES:
            raise ValueError(f"its weight {name!r} is of type {tensor.dtype}; expected floats")
        if tensor.layout != torch.strided or tensor.untyped_storage().nbytes() < (
            tensor.numel() * tensor.element_size()
        ):
            raise ValueError(f"its weight {name!r} is not stored completely")
        if not torch.isfinite(tensor).all():
            raise ValueError(f"its weight {name!r} is not finite")
        result[name] = tensor
    return result


def _on_cpu(value: Any) -> Any:
    """`value` with all its tensors on the CPU, so that any machine can load them."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: _on_cpu(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_on_cpu(item) for item in value]
    return value
