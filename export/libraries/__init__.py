"""Networks of torchvision, timm and transformers by name, ready for `describe`.

`torchvision:resnet18`, `timm:convnext_tiny` and `hf:FOLDER` name a network whose library also knows its
preprocessing, labels and task. Nothing is downloaded: weights come from a file or from the folder.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from ptx.infer.errors import BackendError, UsageError, did_you_mean


@dataclass(frozen=True)
class LibraryModel:
    """A network with what its library knows about it.

    Attributes:
        network: In eval mode.
        spec: The arguments of `describe`: name, signature, preprocessing, labels, task.
        notes: How the weights and the spec were chosen, one sentence each.
    """

    network: nn.Module
    spec: dict[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Library:
    """A library of networks; `package` is what pip installs and what is imported."""

    package: str
    loader: str  # "module:function", imported when it is used

    def load(self, name: str, weights: Path | None) -> LibraryModel:
        """The network `name` with the weights of a file, or with random ones."""
        if importlib.util.find_spec(self.package) is None:
            raise BackendError(f"{self.package} is not installed: pip install {self.package}")
        module, _, function = self.loader.partition(":")
        loader: Callable[[str, Path | None], LibraryModel]
        loader = getattr(import_module(module), function)
        return loader(name, weights)


LIBRARIES = {
    "torchvision": Library("torchvision", "ptx.export.libraries.from_torchvision:load"),
    "timm": Library("timm", "ptx.export.libraries.from_timm:load"),
    "hf": Library("transformers", "ptx.export.libraries.from_transformers:load"),
}


def is_library_model(reference: str) -> bool:
    """Whether it has the form `LIBRARY:NAME` with a known library."""
    library, colon, name = reference.partition(":")
    return bool(colon and name) and library in LIBRARIES


def load_library_model(reference: str, weights: Path | None = None) -> LibraryModel:
    """The network that `LIBRARY:NAME` names.

    Args:
        weights: A file with its state dict (`.pth`, `.safetensors`); without it the weights are random.
            `hf:` takes them from its folder.

    Raises:
        UsageError: the library or the network is unknown, or ptx does not know its task.
        ArtifactError: the weights cannot be read or do not fit the network.
        BackendError: the library is not installed.
    """
    library, _, name = reference.partition(":")
    if library not in LIBRARIES:
        raise UsageError(f"{reference!r} names no library; {did_you_mean(library, LIBRARIES)}")
    return LIBRARIES[library].load(name, weights)
