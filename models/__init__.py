"""ptx.models: the documented networks, the catalog that lists them, the checkpoint format."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from ptx.models.catalog import CATALOG, Entry
    from ptx.models.packages import broken_entries, known_models, lookup
else:
    _HOMES = {
        "CATALOG": "catalog",
        "Entry": "catalog",
        "broken_entries": "packages",
        "known_models": "packages",
        "lookup": "packages",
    }

    def __getattr__(name: str) -> Any:
        """What a prediction from a path does without: the catalog, when it is first asked for."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


__all__ = ["CATALOG", "Entry", "broken_entries", "build", "known_models", "lookup"]


def build(name: str, config: Mapping[str, Any] | None = None) -> nn.Module:
    """A fresh network of the catalog or of an installed package's entry, in training mode.

    Args:
        config: Keyword arguments of its class; the catalog's where it is None.

    Raises:
        KeyError: no such model in the catalog.
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
