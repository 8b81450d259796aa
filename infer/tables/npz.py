"""Arrays by name in one .npz file; the arrays of a sequence are `name[0]`, `name[1]` and so on."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ptx.infer.errors import InputError, quote
from ptx.infer.signature import Array
from ptx.infer.tables.npy import read_npy

SIZE_LIMIT = 2**31  # bytes of all arrays together
_ELEMENT = re.compile(r"(.+)\[(\d+)\]")


def read_npz(data: bytes, *, name: str) -> dict[str, Array | list[Array]]:
    """The arrays in the bytes of a .npz file, as `numpy.savez` writes it.

    Args:
        name: Of the file, for messages.

    Raises:
        InputError: not such a file, too large, an array is no plain one, or a sequence has gaps.
    """
    arrays: dict[str, Array] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > SIZE_LIMIT:
                raise _error(name, f"has arrays of {size:,} bytes; expected at most {SIZE_LIMIT:,}")
            for member in members:
                title = member.filename.removesuffix(".npy")
                arrays[title] = read_npy(archive.read(member), name=f"{name}, {title}")
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise _error(name, f"is no .npz file: {error}; write it with numpy.savez") from error
    return _join_sequences(arrays, name)


def write_npz(values: Mapping[str, Array | Sequence[Array] | None]) -> bytes:
    """The bytes of a .npz file; None is left out."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, value in values.items():
            if value is None:
                continue
            elements = {name: value}
            if not isinstance(value, np.ndarray):
                elements = {f"{name}[{place}]": array for place, array in enumerate(value)}
            for title, array in elements.items():
                with archive.open(f"{title}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    return content.getvalue()


def _join_sequences(arrays: dict[str, Array], name: str) -> dict[str, Array | list[Array]]:
    found: dict[str, Any] = {}
    places: dict[str, dict[int, Array]] = {}
    for title, array in arrays.items():
        if match := _ELEMENT.fullmatch(title):
            places.setdefault(match[1], {})[int(match[2])] = array
        else:
            found[title] = array
    for title, elements in places.items():
        if sorted(elements) != list(range(len(elements))):
            raise _error(name, f"has a sequence {quote(title)} with gaps: {sorted(elements)}")
        found[title] = [elements[place] for place in range(len(elements))]
    return found


def _error(name: str, problem: str) -> InputError:
    return InputError(f"{quote(name)} {problem}", code="E-NPY")
