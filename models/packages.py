"""Models that installed packages add to the catalog, through the entry points of group `ptx.models`.

    [project.entry-points."ptx.models"]
    flower-net = "flowers.catalog:FLOWER_NET"     # an Entry

To look for them takes some 40 ms, so it is done for a name that the catalog does not have, and where
all names are shown.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from ptx.models.catalog import CATALOG, Entry

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "ptx.models"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # a folder and a file can be named so


def lookup(name: str) -> Entry | None:
    """The entry of a model of the catalog or of an installed package; None where there is none.

    A package whose entry cannot be used has none: `broken_entries` says why.
    """
    if name in CATALOG:
        return CATALOG[name]
    return _package_entries()[0].get(name)


def known_models() -> dict[str, Entry]:
    """Every model by name, the catalog's own first."""
    return {**CATALOG, **_package_entries()[0]}


def broken_entries() -> dict[str, str]:
    """Entry points that cannot be used, with the reason."""
    return dict(_package_entries()[1])


@cache
def _package_entries() -> tuple[dict[str, Entry], dict[str, str]]:
    from importlib.metadata import entry_points

    found: dict[str, Entry] = {}
    broken: dict[str, str] = {}
    for point in entry_points(group=GROUP):
        entry = _load(point)
        if isinstance(entry, str):
            broken[point.name] = f"{_package(point)}: {entry}"
        elif point.name in found:
            broken[point.name] = f"{_package(point)}: another package has a model of this name"
        else:
            found[point.name] = entry
    return found, broken


def _load(point: EntryPoint) -> Entry | str:
    """The entry, or why it cannot be used."""
    if not _NAME.fullmatch(point.name):
        return "its name is not made of up to 64 letters, digits, '.', '_' and '-'"
    if point.name in CATALOG:
        return "the catalog has a model of this name"
    try:
        entry = point.load()
    except Exception as error:  # whatever somebody's package raises when it is imported
        return f"{point.value} cannot be loaded: {type(error).__name__}: {error}"
    if not isinstance(entry, Entry):
        return f"{point.value} is a {type(entry).__name__}; expected a ptx.models.Entry"
    return entry


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unknown package"
