"""One file of the IDX form, in which MNIST is published: read, and checked before it is used."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ptx.infer.errors import InputError, quote


@dataclass(frozen=True)
class IdxFile:
    """One of the four files, and what it must contain."""

    name: str
    shape: tuple[int, ...]
    md5: str | None  # of the plain content, however it is compressed; None takes any


def read_idx(file: IdxFile, folder: Path) -> NDArray[np.uint8]:
    """One IDX file, plain or .gz, uint8 in the shape that `file` states.

    Raises:
        InputError: the file is missing, or its header, size or digest is not the expected one.
    """
    path = find_file(file, folder)
    if path is None:
        raise InputError(
            f"{quote(folder)} holds neither {file.name} nor {file.name}.gz: complete the folder",
            code="E-DATA",
        )
    size = int(np.prod(file.shape))
    header = _header(file.shape)
    content = _content(path, file, len(header) + size)
    if content[: len(header)] != header:
        raise damaged_error(path, _describe_content(content), _describe_content(header))
    if len(content) != len(header) + size:
        got = "more" if len(content) > len(header) + size else f"{len(content)}"
        raise damaged_error(path, f"holds {got} bytes", f"{len(header) + size}, as its header says")
    _check_digest(path, content, file.md5)
    # A copy, because torch.from_numpy warns of the read-only view of bytes.
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(file.shape).copy()


def find_file(file: IdxFile, folder: Path) -> Path | None:
    # The .gz first: it has a checksum of its own, a plain file may be half written.
    for path in (folder / f"{file.name}.gz", folder / file.name):
        if path.is_file():
            return path
    return None


def _content(path: Path, file: IdxFile, size: int) -> bytes:
    """The plain content of the file, cut off one byte past `size`."""
    try:
        data = path.read_bytes()
        if path.suffix != ".gz":
            return data
        with gzip.open(io.BytesIO(data)) as stream:
            return stream.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise damaged_error(path, f"cannot be read ({error})", f"{size} bytes") from error


def _check_digest(path: Path, content: bytes, expected: str | None) -> None:
    # MD5 tells damage, not malice; it is what the publishers of the two sets give.
    got = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if expected is not None and got != expected:
        raise damaged_error(path, f"has MD5 {got}", expected)


def _header(shape: tuple[int, ...]) -> bytes:
    """The IDX header: two zero bytes, 8 for uint8, the rank, then big-endian sizes."""
    return bytes((0, 0, 8, len(shape))) + np.array(shape, dtype=">u4").tobytes()


def _describe_content(content: bytes) -> str:
    if len(content) < 4 or content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        return f"begins with {content[:4].hex(' ') or 'nothing'}"
    sizes = np.frombuffer(content, ">u4", count=content[3], offset=4)
    return f"has the header of uint8 {tuple(int(size) for size in sizes)}"


def damaged_error(path: Path, got: str, expected: str) -> InputError:
    return InputError(
        f"{quote(path)} {got}; expected {expected}: delete the file, it is then fetched again, "
        "or use --data bundled",
        code="E-DATA-DAMAGED",
    )
