"""The weights of a library's network from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ptx.infer.artifact.files import read_bytes
from ptx.infer.errors import ArtifactError, quote
from ptx.models import checkpoint

SIZE_LIMIT = 64 * 2**30  # bytes of a file of weights


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file or of what `torch.save` wrote, read as data.

    Raises:
        InputError: the file cannot be read.
        ArtifactError: E-TORCH-LOAD: it is not a state dict.
    """
    data = read_bytes(path, limit=SIZE_LIMIT)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load

            return dict(load(data))
        return checkpoint.loads(data).weights
    except Exception as error:  # safetensors raises classes of its own
        raise ArtifactError(
            f"{quote(path)} cannot be read as weights: {error}", code="E-TORCH-LOAD"
        ) from error


def count_classes(network: nn.Module, weights: Mapping[str, Tensor], classes: int) -> int:
    """The number of outputs of a classifier that these weights belong to.

    `network` is built for `classes`. If a weight of the file differs from the network's only in its
    first axis, and that is `classes` in the network, the classifier was trained for other labels.
    """
    for name, tensor in network.state_dict().items():
        other = weights.get(name)
        if other is None or other.shape == tensor.shape or other.ndim != tensor.ndim:
            continue
        if tensor.ndim and tensor.shape[0] == classes and other.shape[1:] == tensor.shape[1:]:
            return int(other.shape[0])
    return classes


def build_with_weights(
    build: Callable[[int], nn.Module], classes: int, path: Path | None, *, ignored: str = ""
) -> tuple[nn.Module, int]:
    """A classifier with the weights of a file, built for their number of classes.

    Args:
        build: Makes the network for a number of classes, with random weights.
        classes: The number of the library's own labels.
        ignored: The beginning of the names of weights that only training uses.

    Returns:
        The network in eval mode, and its number of classes.

    Raises:
        ArtifactError: the weights cannot be read or do not fit.
    """
    network = build(classes)
    if path is not None:
        weights = read_state_dict(path)
        if ignored:
            weights = {
                name: tensor for name, tensor in weights.items() if not name.startswith(ignored)
            }
        trained_for = count_classes(network, weights, classes)
        if trained_for != classes:
            network, classes = build(trained_for), trained_for
        counters = {  # BatchNorm's counters are missing in old files
            name: torch.zeros_like(tensor)
            for name, tensor in network.state_dict().items()
            if name.endswith(".num_batches_tracked")
        }
        try:
            checkpoint.load_weights(network, {**counters, **weights})
        except ValueError as error:
            raise ArtifactError(f"{quote(path)}: {error}", code="E-TORCH-LOAD") from error
    return network.eval(), classes
