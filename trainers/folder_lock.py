"""One process at a time where two would mix their files: a lock on a folder, without a lock file.

The lock is the kernel's (`flock` on the folder itself), so that it ends with its process, however that
ends, and nothing is left to be cleaned up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ptx.infer.errors import OutputError, quoted


@contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
    """Let nobody else `doing` into a folder; where it cannot be locked, go on without.

    Not every file system has such locks (NFS), nor has Windows.

    Raises:
        OutputError: E-BUSY: somebody else has it.
    """
    descriptor = _open(folder)
    try:
        if descriptor is not None and not _lock(descriptor):
            raise OutputError(
                f"the folder {quoted(folder)} is busy: another process is {doing} into it; wait for"
                " it, or give another --workspace",
                code="E-BUSY",
            )
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _open(folder: Path) -> int | None:
    try:
        return os.open(folder, os.O_RDONLY)
    except OSError:  # whoever writes into it says what is wrong with it
        return None


def _lock(descriptor: int) -> bool:
    """False where another holds the lock, True where it is held now or there are none."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
