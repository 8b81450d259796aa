"""A lock on a folder, so that two processes cannot mix their files.

It is a kernel lock (by filelock) on the hidden file `.ptx.lock` in the folder, so that it ends with its
process in any case. The file is removed with the lock; a file that remains after a kill has no effect.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ptx.infer.errors import OutputError, quote

NAME = ".ptx.lock"


@contextmanager
def lock_folder(folder: Path, doing: str) -> Iterator[None]:
    """Lock a folder within the block; if the file system has no locks, continue without one.

    Other problems of the folder are reported when files are written.

    Args:
        doing: For the message, such as "training".

    Raises:
        OutputError: E-BUSY: another process has the lock.
    """
    if not folder.is_dir():  # filelock would create it
        yield
        return
    lock = FileLock(folder / NAME, timeout=0)
    locked = False
    try:
        lock.acquire()
        locked = True
    except Timeout as error:
        raise OutputError(
            f"the folder {quote(folder)} is busy: another process is {doing} into it; wait for"
            " it, or give another --workspace",
            code="E-BUSY",
        ) from error
    except (OSError, NotImplementedError):
        pass
    try:
        yield
    finally:
        if locked:
            # Before the release, so that no other process can lock it in between.
            with suppress(OSError):
                (folder / NAME).unlink()
            lock.release()
