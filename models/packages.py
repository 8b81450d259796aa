"""Models that installed packages add to the catalog, through the entry points of group `ptx.models`.

    [project.entry-points."ptx.models"]
    flower-net = "flowers.catalog:FLOWER_NET"     # a ModelEntry

Reading the entry points takes about 40 ms, so this is done only to look up a name that the catalog
does not have, and to list all names.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from ptx.models.catalog import CATALOG, ModelEntry

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "ptx.models"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # valid as the name of a folder and a file


def lookup(name: str) -> ModelEntry | None:
    """The entry of a model of the catalog or of an installed package; None if there is none.

    An entry of a package that cannot be used counts as missing; `broken_entries` gives the reason.
    """
    if name in CATALOG:
        return CATALOG[name]
    return _package_entries()[0].get(name)


def known_models() -> dict[str, ModelEntry]:
    """Every model by name; those of the catalog come first."""
    return {**CATALOG, **_package_entries()[0]}


def broken_entries() -> dict[str, str]:
    """Entry points that cannot be used, with the reason."""
    return dict(_package_entries()[1])


@cache
def _package_entries() -> tuple[dict[str, ModelEntry], dict[str, str]]:
    from importlib.metadata import entry_points

    entries: dict[str, ModelEntry] = {}
    broken: dict[str, str] = {}
    for point in entry_points(group=GROUP):
        entry = _load(point)
        if isinstance(entry, str):
            broken[point.name] = f"{_package(point)}: {entry}"
        elif point.name in entries:
            broken[point.name] = f"{_package(point)}: another package has a model of this name"
        else:
            entries[point.name] = entry
    return entries, broken


def _load(point: EntryPoint) -> ModelEntry | str:
    """The entry, or the reason why it cannot be used."""
    if not _NAME.fullmatch(point.name):
        return "its name must consist of 1 to 64 letters, digits, '.', '_' and '-'"
    if point.name in CATALOG:
        return "the catalog has a model of this name"
    try:
        entry = point.load()
    except Exception as error:  # importing a package can raise anything
        return f"{point.value} cannot be loaded: {type(error).__name__}: {error}"
    if not isinstance(entry, ModelEntry):
        return f"{point.value} is a {type(entry).__name__}; expected a ptx.models.ModelEntry"
    return entry


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unknown package"
