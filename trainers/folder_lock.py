"""One process at a time where two would mix their files: a lock on a folder.

The lock is filelock's, on the hidden file `.ptx.lock` in the folder: the kernel's, so that it ends with
its process, however that ends. The file is empty and removed with the lock; after a kill it may stay,
and means nothing.
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
    """Let nobody else `doing` into a folder; where it cannot be locked, go on without.

    Not every file system has such locks, and whoever writes into a folder says what is wrong with it.

    Raises:
        OutputError: E-BUSY: somebody else has it.
    """
    if not folder.is_dir():  # which filelock would make
        yield
        return
    lock = FileLock(folder / NAME, timeout=0)
    held = False
    try:
        lock.acquire()
        held = True
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
        if held:
            with suppress(OSError):  # while it is held: nobody else can come between
                (folder / NAME).unlink()
            lock.release()
