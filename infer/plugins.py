"""Entries that installed packages add to the registries of ptx, through Python entry points.

    [project.entry-points."ptx.backends"]
    my-runtime = "my_package.entries:MY_RUNTIME"        # a BackendEntry

A name of ptx itself never leads here: listing the entry points takes about 10 ms, and using one imports
its package. A package that cannot be used affects only the commands that name its entry.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ptx.infer.artifact.files import NAME
from ptx.infer.errors import BackendError, PtxError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


@dataclass(frozen=True)
class PluginGroup(Generic[T]):
    """The entries of one registry that installed packages add.

    Attributes:
        name: The group of the entry points.
        noun: What an entry is, for messages.
        builtin: The entries of ptx; a package cannot replace them.
        entry_type: The type of an entry.
    """

    name: str
    noun: str
    builtin: Mapping[str, object]
    entry_type: type[T]

    def names(self) -> list[str]:
        """The names that packages add; no package is imported."""
        return [name for name in _entry_points(self.name) if name not in self.builtin]

    def find(self, name: str) -> T | None:
        """The entry of that name; None if no package has one.

        Raises:
            BackendError: E-PLUGIN: its package cannot be used, or two packages have the name.
        """
        points = () if name in self.builtin else _entry_points(self.name).get(name, ())
        if not points:
            return None
        entry = self._load(name, points)
        if isinstance(entry, _Unusable):
            raise self._error(name, entry.reason)
        return entry

    def usable(self) -> dict[str, T]:
        """The entries by name, without those that cannot be used."""
        loaded = {name: self._load(name, _entry_points(self.name)[name]) for name in self.names()}
        return {name: entry for name, entry in loaded.items() if not isinstance(entry, _Unusable)}

    def broken(self) -> dict[str, str]:
        """The entries that cannot be used: the package and the reason, by name."""
        reasons = {}
        for name, points in _entry_points(self.name).items():
            entry = self._load(name, points)
            if isinstance(entry, _Unusable):
                reasons[name] = f"{_packages(points)}: {entry.reason}"
        return reasons

    def package(self, name: str) -> str:
        """The distribution that adds the entry; empty for an entry of ptx."""
        return "" if name in self.builtin else _packages(_entry_points(self.name).get(name, ()))

    def resolve(self, name: str, reference: str) -> Any:
        """The object `module:attribute` of an entry.

        Raises:
            BackendError: E-PLUGIN: the package of the entry cannot be imported.
        """
        with self.mapping_errors(name):
            return pkgutil.resolve_name(reference)

    @contextmanager
    def mapping_errors(self, name: str) -> Iterator[None]:
        """Map what the code of a package raises to an error that names the package.

        The code of ptx raises its own errors, so that nothing is mapped for a name of ptx.
        """
        try:
            yield
        except PtxError:
            raise
        except Exception as error:  # a package can raise anything
            if name in self.builtin:
                raise
            raise self._error(name, f"{type(error).__name__}: {error}") from error

    def _error(self, name: str, reason: str) -> BackendError:
        package = self.package(name)
        return BackendError(
            f"the {self.noun} {name!r} of the package {package} cannot be used: {reason}; update or"
            " uninstall the package",
            code="E-PLUGIN",
            reason=f"the package {package} cannot be used: {reason}",
        )

    def _load(self, name: str, points: Sequence[EntryPoint]) -> T | _Unusable:
        if name in self.builtin:
            return _Unusable(f"ptx has a {self.noun} of this name")
        if not NAME.fullmatch(name):
            return _Unusable(
                "its name must consist of 1 to 64 letters, digits, '.', '_' and '-', the first a letter"
                " or a digit"
            )
        if len(points) > 1:
            return _Unusable("they have the same name; expected one of them to be installed")
        try:
            entry = points[0].load()
        except Exception as error:  # importing a package can raise anything
            return _Unusable(f"{points[0].value} cannot be loaded: {type(error).__name__}: {error}")
        if not isinstance(entry, self.entry_type):
            return _Unusable(
                f"{points[0].value} is a {type(entry).__name__}; expected a"
                f" {self.entry_type.__name__}"
            )
        return entry


@dataclass(frozen=True)
class _Unusable:
    """Why an entry cannot be used."""

    reason: str


@cache
def _entry_points(group: str) -> dict[str, tuple[EntryPoint, ...]]:
    """The entry points of a group by name; several packages can have the same name."""
    from importlib.metadata import entry_points

    points: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=group):
        points[point.name] = (*points.get(point.name, ()), point)
    return points


def _packages(points: Sequence[EntryPoint]) -> str:
    names = [point.dist.name if point.dist else "an unknown package" for point in points]
    return " and ".join(names)
