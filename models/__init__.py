"""ptx.models: the documented networks, the catalog that lists them, the checkpoint format."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from ptx.models.catalog import CATALOG, ModelEntry
    from ptx.models.packages import broken_entries, known_models, lookup
else:
    _SUBMODULES = {
        "CATALOG": "catalog",
        "ModelEntry": "catalog",
        "broken_entries": "packages",
        "known_models": "packages",
        "lookup": "packages",
    }

    def __getattr__(name: str) -> Any:
        """Import the catalog on first use: a prediction with a file does not need it."""
        if name not in _SUBMODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_SUBMODULES[name]}"), name)


__all__ = ["CATALOG", "ModelEntry", "broken_entries", "build", "known_models", "lookup"]


def build(name: str, config: Mapping[str, Any] | None = None) -> nn.Module:
    """A new network of the catalog or of an installed package, in training mode.

    Args:
        config: Keyword arguments of its class. None means those of the catalog.

    Raises:
        KeyError: there is no such model.
    """
    from ptx.models.packages import known_models, lookup

    entry = lookup(name)
    if entry is None:
        raise KeyError(
            f"the catalog has no model {name!r}; known: {', '.join(sorted(known_models()))}"
        )
    network: nn.Module = pkgutil.resolve_name(entry.network)(
        **(entry.config if config is None else config)
    )
    return network
