"""The checkpoint format: what `torch.save` writes and `weights_only=True` reads.

A bare state dict (`torch.save(model.state_dict(), "model.pth")`) is read as a checkpoint that has
weights alone. The card stands beside this in the same file, as `ptx.infer.zip_archive` puts it there.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

FORMAT = 1
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
_SHOWN = 5  # names that an error lists


@dataclass(frozen=True)
class Checkpoint:
    """A network and all that it takes to go on training it."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)  # epoch, step and the sums of its epoch
    random: dict[str, Tensor] = field(default_factory=dict)  # generator states by device type
    history: list[dict[str, float]] = field(default_factory=list)  # one row for each whole epoch
    samples: dict[str, Tensor] = field(default_factory=dict)  # real test inputs, batch by name


def dumps(checkpoint: Checkpoint) -> bytes:
    """The checkpoint as a file's content."""
    buffer = io.BytesIO()
    data = {
        "format": FORMAT,
        "weights": _on_cpu(checkpoint.weights),
        "optimizer": _on_cpu(checkpoint.optimizer),
        "progress": checkpoint.progress,
        "random": checkpoint.random,
        "history": checkpoint.history,
        "samples": checkpoint.samples,
    }
    torch.save(data, buffer)
    return buffer.getvalue()


def loads(data: bytes) -> Checkpoint:
    """The checkpoint in a file's content, on the CPU.

    Raises:
        ValueError: it is neither a checkpoint nor a state dict.
        pickle.UnpicklingError: it would run code.
    """
    content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}; expected a state dict")
    if content.get("format") != FORMAT:
        if "state_dict" in content or "model_state_dict" in content:
            raise ValueError(
                "it is a dictionary around a state dict; save the state dict alone:"
                " torch.save(model.state_dict(), FILE)"
            )
        return Checkpoint(weights=_checked(content))
    return Checkpoint(
        weights=_checked(content["weights"]),
        optimizer=content["optimizer"],
        progress=content["progress"],
        random=content["random"],
        history=content["history"],
        samples=content["samples"],
    )


def load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put the weights into the network, all of them and no others.

    Raises:
        ValueError: names are missing or unknown, or shapes differ; the first few are listed.
    """
    own = network.state_dict()
    problems = [f"{name} is missing" for name in own if name not in weights]
    problems += [f"{name} is unknown" for name in weights if name not in own]
    problems += [
        f"{name} has shape {tuple(weights[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    if problems:
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ValueError(f"the weights do not fit: {'; '.join(problems[:_SHOWN])}{more}")
    network.load_state_dict(dict(weights), strict=True)


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """The sha256 over the sorted names, dtypes, shapes and little-endian contents."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        array = weights[name].detach().cpu().contiguous().numpy()
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _checked(weights: Any) -> dict[str, Tensor]:
    if not isinstance(weights, dict) or not weights:
        raise ValueError("it holds no weights")
    result: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ValueError(f"its entry {name!r} is not a tensor with a name: not a state dict")
        if not tensor.is_floating_point():
            raise ValueError(f"its weight {name!r} is of type {tensor.dtype}; expected floats")
        if tensor.layout != torch.strided or tensor.untyped_storage().nbytes() < (
            tensor.numel() * tensor.element_size()
        ):
            raise ValueError(f"its weight {name!r} is not stored whole")
        if not torch.isfinite(tensor).all():
            raise ValueError(f"its weight {name!r} is not finite")
        result[_without_prefix(name)] = tensor
    return result


def _without_prefix(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _on_cpu(value: Any) -> Any:
    """`value` with every tensor in it on the CPU, so that any machine can read it."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: _on_cpu(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_on_cpu(item) for item in value]
    return value
