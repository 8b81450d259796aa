"""Read files completely, and write them atomically.

Reading opens without blocking and accepts only regular files, so that a FIFO or a device is an error
and not a hang; libraries then get bytes. Writing goes to a temporary file in the same folder, which is
flushed to the disk and renamed: after a kill or on a full disk the previous file is intact.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from ptx.infer.errors import ArtifactError, InputError, OutputError, quote

StrPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]

_REASONS = {
    errno.ENOENT: ("E-IN-MISSING", "no such file"),
    errno.ENOTDIR: ("E-IN-MISSING", "no such file"),
    errno.EACCES: ("E-IN-PERM", "no permission to read it"),
    errno.EPERM: ("E-IN-PERM", "no permission to read it"),
    errno.ELOOP: ("E-IN-LOOP", "its symbolic links form a loop"),
    errno.ENAMETOOLONG: ("E-IN-MISSING", "the name is too long for a file"),
}
NAME = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
)  # the name of a model, used for folders and files
_OWNER = re.compile(r"^\..*\.([0-9]{1,9})-[0-9a-f]{8}\.ptx-tmp$", re.ASCII | re.DOTALL)
_BUFFER_SIZE = 2**18  # bytes
_BINARY = getattr(os, "O_BINARY", 0)  # only on Windows
_READ = os.O_RDONLY | _BINARY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def read_bytes(
    path: StrPath, *, limit: int, error: type[InputError] | type[ArtifactError] = InputError
) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises:
        InputError: or the class given as `error`: missing, not a regular file, no permission, too
            large.
    """
    try:
        descriptor = os.open(path, _READ)
    except OSError as reason:
        code, text = _REASONS.get(reason.errno or 0, ("E-IN-READ", reason.strerror or str(reason)))
        raise error(f"{quote(path)}: {text}", code=code) from reason
    except ValueError as reason:  # a null byte in the name
        raise error(f"{quote(path)}: not a file name", code="E-IN-MISSING") from reason
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise error(f"{quote(path)} is {what}; expected a file", code="E-IN-NOTFILE")
        if status.st_size > limit:
            raise error(
                f"{quote(path)} has {status.st_size:,} bytes; at most {limit:,} are read",
                code="E-IN-SIZE",
            )
        content = _read_all(descriptor, status.st_size)
    except OSError as reason:
        raise error(f"{quote(path)}: {reason.strerror or reason}", code="E-IN-READ") from reason
    finally:
        os.close(descriptor)
    if len(content) != status.st_size:
        raise error(f"{quote(path)} changed while it was read: read it again", code="E-IN-READ")
    return content


def _read_all(descriptor: int, size: int) -> bytes:
    """The content; `size` + 1 bytes of it if the file has grown."""
    content = os.read(descriptor, size + 1)
    if len(content) >= size:  # nearly always: one call
        return content
    parts = [content]
    left = size + 1 - len(content)
    while left and (part := os.read(descriptor, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def check_writable(path: StrPath) -> None:
    """Check that `path` can be written, before hours of work.

    Raises:
        OutputError: a missing parent folder, a folder in the file's place, no permission.
    """
    target = _target(path)
    temporary = _temporary(target)
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except OSError as reason:
        raise _output_error(target, reason) from reason
    temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, unless it exists.

    Raises:
        OutputError: it cannot be created, or a file has that name.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder {quote(folder)} cannot be created: {error.strerror or error}",
            code="E-OUT-PARENT",
        ) from error


def write_atomic(path: StrPath, data: bytes | memoryview) -> None:
    """Write `data` to `path`: a reader sees the old content or the new one, never a mix.

    A symbolic link is followed: the file that it points to is replaced. Temporary files that killed
    processes left in the target's folder are deleted.

    Raises:
        OutputError: the file cannot be written; what was there before is untouched.
    """
    with atomic_writer(path) as write:
        write(data)


@contextlib.contextmanager
def atomic_writer(path: StrPath) -> Iterator[Callable[[bytes | memoryview], object]]:
    """`write_atomic` for content in several parts: yields the function that writes a part.

    The file is replaced at the end of the block. If the block raises, the old file stays.

    Raises:
        OutputError: as `write_atomic`.
    """
    target = _target(path)
    temporary = _temporary(target)
    with mapping_os_errors(target):
        remove_stale_temp_files(target.parent)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
    buffer = bytearray()

    def write(data: bytes | memoryview) -> None:
        if len(buffer) + len(data) < _BUFFER_SIZE:
            buffer.extend(data)
            return
        with mapping_os_errors(target):
            _write_all(descriptor, buffer)
            _write_all(descriptor, data)
        buffer.clear()

    try:
        try:
            yield write
            with mapping_os_errors(target):
                _write_all(descriptor, buffer)
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        with mapping_os_errors(target):
            temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with mapping_os_errors(target):
        _sync_folder(target.parent)


def _write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    with memoryview(data) as view:
        done = 0
        while done < len(view):
            done += os.write(descriptor, view[done:])


@contextlib.contextmanager
def mapping_os_errors(target: Path) -> Iterator[None]:
    """Convert the system's errors for a file that is written into OutputError."""
    try:
        yield
    except OSError as reason:
        raise _output_error(target, reason) from reason


def remove_stale_temp_files(folder: Path) -> None:
    """Delete temporary files in `folder` whose writing process no longer exists."""
    for entry in folder.iterdir():
        match = _OWNER.search(entry.name)
        if match and not _alive(int(match[1])):
            with contextlib.suppress(OSError):  # another process deleted it first
                _remove(entry)


def _remove(entry: Path) -> None:
    if not entry.is_dir():
        entry.unlink()
        return
    import shutil  # imported here, because it imports all compression modules

    shutil.rmtree(entry)


def _target(path: StrPath) -> Path:
    try:
        target = Path(os.path.realpath(os.fsdecode(path)))
        if target.is_dir():
            raise OutputError(
                f"{quote(target)} is a folder; expected a file name", code="E-OUT-FOLDER"
            )
        if target.exists() and not target.is_file():
            raise OutputError(
                f"{quote(target)} is not a regular file; expected a file name", code="E-OUT-FILE"
            )
        if not target.parent.is_dir():
            raise OutputError(
                f"{quote(target)}: the folder {quote(target.parent)} does not exist",
                code="E-OUT-PARENT",
            )
    except ValueError as reason:  # a null byte in the name
        raise OutputError(f"{quote(os.fsdecode(path))}: not a file name") from reason
    except OutputError:
        raise
    except OSError as reason:
        raise _output_error(Path(os.fsdecode(path)), reason) from reason
    return target


def _temporary(target: Path) -> Path:
    # ASCII, so that the name never exceeds 255 bytes.
    name = target.name.encode("ascii", "ignore").decode()[:200]
    return target.with_name(f".{name}.{os.getpid()}-{os.urandom(4).hex()}.ptx-tmp")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # Windows cannot open a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _output_error(target: Path, reason: OSError) -> OutputError:
    codes = {
        errno.ENOSPC: "E-OUT-SPACE",
        errno.EFBIG: "E-OUT-SPACE",
        errno.EDQUOT: "E-OUT-SPACE",
        errno.EACCES: "E-OUT-PERM",
        errno.EROFS: "E-OUT-PERM",
    }
    return OutputError(
        f"{quote(target)} cannot be written: {reason.strerror or reason}",
        code=codes.get(reason.errno or 0, "E-OUT"),
    )
