"""The checkpoint format: what `torch.save` writes and `weights_only=True` reads.

A bare state dict (`torch.save(model.state_dict(), "model.pth")`) is read as a checkpoint that has
weights alone. The manifest stands beside this in the same file, as `ptx.infer.artifact.zip_archive` puts
it there.
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
# What buffers beside the weights may hold, as the counter of a batch normalisation.
COUNTS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
_SHOWN = 5  # names that an error lists
_SAVE_ALONE = "save the state dict alone: torch.save(model.state_dict(), FILE)"


@dataclass(frozen=True)
class Checkpoint:
    """A network and all that it takes to go on training it."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)  # epoch, step and the sums of its epoch
    random: dict[str, Tensor] = field(default_factory=dict)  # generator states by device type
    history: list[dict[str, float]] = field(default_factory=list)  # one row for each whole epoch
    samples: dict[str, Tensor] = field(default_factory=dict)  # real test inputs, batch by name
    # Real test inputs before the preprocessing: bytes of a picture file, texts, or tuples of numbers.
    examples: list[Any] = field(default_factory=list)
    notes: tuple[str, ...] = ()  # how a bare state dict was found in its file; not saved


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
        "examples": checkpoint.examples,
    }
    torch.save(data, buffer)
    return buffer.getvalue()


def loads(data: bytes) -> Checkpoint:
    """The checkpoint in a file's content, on the CPU.

    A bare state dict may stand in a dictionary with other things, and its names may have a wrapper's
    prefix; see `ptx.models.state_dict`.

    Raises:
        ValueError: it is neither a checkpoint nor a state dict, or would run code.
    """
    try:
        with warnings.catch_warnings():
            # torch says how long it takes to check a sparse tensor, which is refused below.
            warnings.filterwarnings("ignore", message="Validating sparse tensor invariants")
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own text advises to load without this guard; that advice is not passed on.
        raise ValueError(
            "it is damaged, or holds Python objects, which would run code when they are loaded;"
            f" {_SAVE_ALONE}"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}; expected a state dict")
    version = content.get("format")
    if isinstance(version, int) and "weights" in content:
        return _read_whole(content, version)
    bare, notes = unwrap(content)
    return Checkpoint(weights=_check_weights(bare), notes=notes)


def _read_whole(content: dict[str, Any], version: int) -> Checkpoint:
    if version != FORMAT:
        raise ValueError(f"its format is {version}; this ptx reads {FORMAT}")
    content = {"examples": [], **content}  # those of before have none
    parts = {
        "optimizer": dict,
        "progress": dict,
        "random": dict,
        "history": list,
        "samples": dict,
        "examples": list,
    }
    for name, kind in parts.items():
        if not isinstance(content.get(name), kind):
            raise ValueError(f"its part {name!r} is missing or not a {kind.__name__}")
    weights = content["weights"]
    return Checkpoint(
        # A network may have none; a bare state dict without any is no checkpoint.
        weights={} if weights == {} else _check_weights(weights),
        **{name: content[name] for name in parts},
    )


def load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put the weights into the network, all of them and no others.

    Raises:
        ValueError: names are missing or unknown, shapes or types differ; the first few are listed.
    """
    own = network.state_dict()
    problems = [f"{name} is missing" for name in own if name not in weights]
    problems += [f"{name} is unknown" for name in weights if name not in own]
    problems += [
        f"{name} has shape {tuple(weights[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    problems += [
        f"{name} is of type {weights[name].dtype}, expected"
        f" {'floats' if tensor.is_floating_point() else tensor.dtype}"
        for name, tensor in own.items()
        if name in weights and not _fits(weights[name].dtype, tensor.dtype)
    ]
    if problems:
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ValueError(f"the weights do not fit: {'; '.join(problems[:_SHOWN])}{more}")
    for name, tensor in own.items():
        if not torch.isfinite(weights[name].to(tensor.dtype)).all():
            raise ValueError(f"weight {name!r} has values that do not fit into {tensor.dtype}")
    network.load_state_dict(dict(weights), strict=True)


def _fits(given: torch.dtype, own: torch.dtype) -> bool:
    return given.is_floating_point if own.is_floating_point else given == own


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """The sha256 over the sorted names, dtypes, shapes and little-endian contents."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        if tensor.dtype == torch.bfloat16:  # which NumPy has not
            array, kind = tensor.view(torch.int16).numpy(), "bfloat16"
        else:
            array = tensor.numpy()
            kind = array.dtype.str
        digest.update(f"{name}\0{kind}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _check_weights(weights: Any) -> dict[str, Tensor]:
    if not isinstance(weights, dict) or not weights:
        raise ValueError("it holds no weights")
    result: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ValueError(f"its entry {name!r} is not a tensor with a name: not a state dict")
        if not tensor.is_floating_point() and tensor.dtype not in COUNTS:
            raise ValueError(f"its weight {name!r} is of type {tensor.dtype}; expected floats")
        if tensor.layout != torch.strided or tensor.untyped_storage().nbytes() < (
            tensor.numel() * tensor.element_size()
        ):
            raise ValueError(f"its weight {name!r} is not stored whole")
        if not torch.isfinite(tensor).all():
            raise ValueError(f"its weight {name!r} is not finite")
        result[name] = tensor
    return result


def _on_cpu(value: Any) -> Any:
    """`value` with every tensor in it on the CPU, so that any machine can read it."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: _on_cpu(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_on_cpu(item) for item in value]
    return value
