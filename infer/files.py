"""Reading and writing files: whole, once, and never by halves.

Reading opens without blocking and takes regular files alone, so that a FIFO or a device is an error
and not a hang; every library is then given bytes. Writing goes to a temporary file beside the target,
is flushed to the disk and renamed into place: after a kill or on a full disk what was there before is
still there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from pathlib import Path

from ptx.infer.errors import ArtifactError, InputError, OutputError, quoted

ReadError = InputError | ArtifactError
StrPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]

_REASONS = {
    errno.ENOENT: ("E-IN-MISSING", "no such file"),
    errno.ENOTDIR: ("E-IN-MISSING", "no such file"),
    errno.EACCES: ("E-IN-PERM", "no permission to read it"),
    errno.EPERM: ("E-IN-PERM", "no permission to read it"),
    errno.ELOOP: ("E-IN-LOOP", "its symbolic links run in a circle"),
    errno.ENAMETOOLONG: ("E-IN-MISSING", "the name is too long for a file"),
}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # of a model: folders and files are named so
_TEMPORARY = ".ptx-tmp"


def read_bytes(
    path: StrPath, *, limit: int, error: type[InputError] | type[ArtifactError] = InputError
) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises:
        InputError: or the class given as `error`: missing, not a regular file, no permission, too
            large.
    """
    name = quoted(os.fsdecode(path))
    try:
        descriptor = os.open(path, os.O_RDONLY | _flag("O_NONBLOCK") | _flag("O_CLOEXEC"))
    except OSError as reason:
        code, text = _REASONS.get(reason.errno or 0, ("E-IN-READ", reason.strerror or str(reason)))
        raise error(f"{name}: {text}", code=code) from reason
    except ValueError as reason:  # a null byte in the name
        raise error(f"{name}: not a file name", code="E-IN-MISSING") from reason
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise error(f"{name} is {what}; expected a file", code="E-IN-NOTFILE")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > limit:
            raise error(
                f"{name} has {status.st_size:,} bytes; at most {limit:,} are read", code="E-IN-SIZE"
            )
        try:
            content = file.read(status.st_size + 1)
        except OSError as reason:
            raise error(f"{name}: {reason.strerror or reason}", code="E-IN-READ") from reason
    if len(content) != status.st_size:
        raise error(f"{name} changed while it was read: read it again", code="E-IN-READ")
    return content


def check_writable(path: StrPath) -> None:
    """Find out now, before hours of work, that `path` cannot be written.

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
    """Make a folder and those above it; nothing where it is there.

    Raises:
        OutputError: it cannot be made, or a file stands in its place.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder {quoted(folder)} cannot be made: {error.strerror or error}",
            code="E-OUT-PARENT",
        ) from error


def write_atomic(path: StrPath, data: bytes | memoryview) -> None:
    """Write `data` to `path`: a reader sees the old content or the new one, never a mix.

    A symbolic link is followed: the file that it points to is replaced. Temporary files that killed
    processes left beside the target are swept away.

    Raises:
        OutputError: the file cannot be written; what was there before is untouched.
    """
    target = _target(path)
    temporary = _temporary(target)
    try:
        _sweep(target)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)
    except OSError as reason:
        raise _output_error(target, reason) from reason


def _target(path: StrPath) -> Path:
    try:
        target = Path(os.path.realpath(os.fsdecode(path)))
        if target.is_dir():
            raise OutputError(
                f"{quoted(target)} is a folder; expected a file name", code="E-OUT-FOLDER"
            )
        if target.exists() and not target.is_file():
            raise OutputError(
                f"{quoted(target)} is not a regular file; expected a file name", code="E-OUT-FILE"
            )
        if not target.parent.is_dir():
            raise OutputError(
                f"{quoted(target)}: the folder {quoted(target.parent)} does not exist",
                code="E-OUT-PARENT",
            )
    except ValueError as reason:  # a null byte in the name
        raise OutputError(f"{quoted(os.fsdecode(path))}: not a file name") from reason
    except OutputError:
        raise
    except OSError as reason:
        raise _output_error(Path(os.fsdecode(path)), reason) from reason
    return target


def _temporary(target: Path) -> Path:
    return target.with_name(f"{_prefix(target)}{os.getpid()}-{secrets.token_hex(4)}{_TEMPORARY}")


def _prefix(target: Path) -> str:
    """Of the temporary files of `target`: in ASCII, so that 255 bytes are never exceeded."""
    return f".{target.name.encode('ascii', 'ignore').decode()[:200]}."


def _sweep(target: Path) -> None:
    prefix = _prefix(target)
    for entry in target.parent.iterdir():
        if entry.name.startswith(prefix) and entry.name.endswith(_TEMPORARY):
            owner = entry.name[len(prefix) :].partition("-")[0]
            if owner.isdigit() and not _alive(int(owner)):
                with contextlib.suppress(OSError):  # somebody else swept it first
                    entry.unlink()


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
        f"{quoted(target)} cannot be written: {reason.strerror or reason}",
        code=codes.get(reason.errno or 0, "E-OUT"),
    )


def _flag(name: str) -> int:
    return int(getattr(os, name, 0))  # absent on Windows
