"""Where inputs lie: folders of this machine and stores that pyarrow's file systems reach."""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

from pyarrow import ArrowInvalid, fs

from ptx.infer.errors import InputError, UsageError, quote

T = TypeVar("T")

_WAITS = (0.1, 0.5, 2.0, 8.0)  # seconds before a read that failed is tried again
_BUFFER = 2**20  # bytes that a reader of tables asks a store for at once
_URI = re.compile(r"([a-z][a-z0-9+.-]+://[^/]*)/?(.*)", re.DOTALL)
_SPOKEN = {"az://": "abfs://"}  # schemes → how Arrow calls them


@dataclass(frozen=True)
class Store:
    """How a name leads to a file: as a path from `folder`, as a URI, or as a path in `filesystem`."""

    filesystem: Any = None  # a pyarrow.fs.FileSystem; None: as each name says
    folder: str = field(default_factory=os.getcwd)  # of the process that was given the names

    def find(self, name: str) -> tuple[Any, str]:
        """The file system and the path in it.

        Raises:
            UsageError: a URI of a kind that is not known.
            InputError: E-IN-READ: the store does not answer.
        """
        if self.filesystem is not None:
            return self.filesystem, name
        found = _URI.fullmatch(name)
        if found is None:
            return fs.LocalFileSystem(), os.path.join(self.folder, name)  # noqa: PTH118
        # What lies in the store is taken as it is called: a name may hold spaces, `%` and `#`.
        root, inner = (name, "") if name.startswith("file://") else found.groups()
        system, path = _open_store(root)
        return system, f"{path.rstrip('/')}/{inner}" if inner else path

    def list(self, name: str) -> list[tuple[str, int]]:
        """The files below a folder, or the one, with their sizes in bytes, by their names.

        Raises:
            InputError: there is no such file or folder.
        """
        system, path = self.find(name)
        info = patiently(name, lambda: system.get_file_info(path))
        if info.type == fs.FileType.NotFound:
            raise InputError(f"{quote(name)}: no such file", code="E-IN-MISSING")
        if info.type != fs.FileType.Directory:
            return [(name, info.size or 0)]
        below = fs.FileSelector(path, recursive=True)
        files = patiently(name, lambda: system.get_file_info(below))
        start = len(info.path.rstrip("/")) + 1
        return sorted(
            (f"{name.rstrip('/')}/{one.path[start:]}", one.size or 0)
            for one in files
            if one.type == fs.FileType.File
        )

    def value(self, name: str) -> Any:
        """What a model's preprocessing reads of a picture file: its path here, or its bytes.

        A file that is not there, or may not be read, is an InputError as the value.
        """
        system, path = self.find(name)
        if isinstance(system, fs.LocalFileSystem):
            return path
        try:
            return patiently(name, lambda: _read(system, path))
        except FileNotFoundError:
            return InputError(f"{quote(name)}: no such file", code="E-IN-MISSING")
        except PermissionError:
            return InputError(f"{quote(name)}: no permission to read it", code="E-IN-PERM")

    def open(self, name: str) -> io.BufferedReader:
        """The file, to be read by whoever reads tables."""
        system, path = self.find(name)
        file = patiently(name, lambda: system.open_input_file(path))
        return io.BufferedReader(_Patient(name, file), _BUFFER)


@lru_cache(maxsize=64)  # a store has one client in a process, and is asked once where it lies
def _open_store(uri: str) -> tuple[Any, str]:
    scheme = uri[: uri.index("://") + 3]
    spoken = f"{_SPOKEN.get(scheme, scheme)}{uri[len(scheme) :]}"
    try:
        system, path = patiently(uri, lambda: fs.FileSystem.from_uri(spoken))
    except (ArrowInvalid, ValueError) as error:
        raise UsageError(f"{quote(uri)} cannot be reached: {error}") from error
    return system, path


def _read(system: Any, path: str) -> bytes:
    with system.open_input_stream(path, compression=None) as stream:
        content: bytes = stream.read()
    return content


def patiently(name: str, act: Callable[[], T]) -> T:
    """What `act` gives; a store that fails for a moment is asked again, for ten seconds.

    Raises:
        InputError: E-IN-READ: it fails still. Not for one input: the run ends, and can go on later.
    """
    for wait in _WAITS:
        try:
            return act()
        except (FileNotFoundError, PermissionError):
            raise
        except OSError:
            time.sleep(wait)
    try:
        return act()
    except (FileNotFoundError, PermissionError):
        raise
    except OSError as error:
        text = " ".join(str(error).split())
        raise InputError(f"{quote(name)} cannot be read: {text}", code="E-IN-READ") from error


class _Patient(io.RawIOBase):
    """A file of a store, each read of which is done `patiently`."""

    def __init__(self, name: str, file: Any) -> None:
        self._name, self._file, self._place = name, file, 0
        self._size = int(patiently(name, file.size))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = start + offset
        return self._place

    def readinto(self, buffer: Any) -> int:
        count = max(0, min(len(buffer), self._size - self._place))
        data = patiently(self._name, lambda: self._file.read_at(count, self._place))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
