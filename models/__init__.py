"""ptx.models: the documented networks, the catalog that lists them, the checkpoint format."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ptx.models.catalog import CATALOG
from ptx.models.entry import Entry
from ptx.models.packages import broken_entries, known_models, lookup

if TYPE_CHECKING:
    from torch import nn

__all__ = ["CATALOG", "Entry", "broken_entries", "build", "known_models", "lookup"]


def build(name: str, config: Mapping[str, Any] | None = None) -> nn.Module:
    """A fresh network of the catalog or of an installed package's entry, in training mode.

    `config`: keyword arguments of its class; the catalog's where it is None.

    Raises:
        KeyError: no such model in the catalog.
    """
    entry = lookup(name)
    if entry is None:
        raise KeyError(
            f"the catalog has no model {name!r}; known: {', '.join(sorted(known_models()))}"
        )
    network: nn.Module = pkgutil.resolve_name(entry.network)(
        **(entry.config if config is None else config)
    )
    return network
