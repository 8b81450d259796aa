"""The weights of an ONNX file that are in other files of its folder, as large networks have them.

Source: https://github.com/onnx/onnx/blob/main/docs/ExternalData.md; field numbers as in onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ptx.infer.artifact.files import read_bytes
from ptx.infer.artifact.onnx_bytes import OnnxHeader, parts
from ptx.infer.errors import ArtifactError, quote

# Field numbers of GraphProto, SparseTensorProto, TensorProto and its entries.
_INITIALIZER, _SPARSE_INITIALIZER, _SPARSE_VALUES, _SPARSE_INDICES = 5, 15, 1, 2
_EXTERNAL_DATA, _ENTRY_KEY, _ENTRY_VALUE = 13, 1, 2
_SIZE_LIMIT = 2**42  # bytes of one file; memory ends earlier


def read_external_data(data: bytes, header: OnnxHeader, path: Path) -> dict[str, bytes]:
    """The content of each file that the graph's weights are in, by its name in the graph.

    Args:
        path: Of the ONNX file.

    Raises:
        ArtifactError: E-ONNX-EXTERNAL: a file is missing, or outside the folder of the ONNX file.
    """
    found: dict[str, bytes] = {}
    for location in _find_locations(data, header, quote(path)):
        if location not in found:
            found[location] = _read_part(location, path)
    return found


def _find_locations(data: bytes, header: OnnxHeader, name: str) -> Iterator[str]:
    try:
        for number, start, end in parts(data, *header.graph):
            if number == _INITIALIZER:
                yield from _locations_of(data, start, end)
            elif number == _SPARSE_INITIALIZER:
                for field, first, last in parts(data, start, end):
                    if field in (_SPARSE_VALUES, _SPARSE_INDICES):
                        yield from _locations_of(data, first, last)
    except (ValueError, UnicodeDecodeError) as error:
        raise ArtifactError(
            f"{name} is damaged or no ONNX file: {error}", code="E-ONNX-PARSE"
        ) from error


def _locations_of(data: bytes, start: int, end: int) -> Iterator[str]:
    """The names in one tensor."""
    for number, first, last in parts(data, start, end):
        if number != _EXTERNAL_DATA:
            continue
        entry = {field: data[slice(*place)].decode() for field, *place in parts(data, first, last)}
        if entry.get(_ENTRY_KEY) == "location":
            yield entry.get(_ENTRY_VALUE, "")


def _read_part(location: str, path: Path) -> bytes:
    """A file within the folder of the ONNX file; a link that leads out of it is refused."""
    name = quote(path)
    relative = PurePosixPath(location)
    folder = path.parent.resolve()
    inside = location and not relative.is_absolute() and ".." not in relative.parts
    if not inside or "\\" in location or "\0" in location:
        raise ArtifactError(
            f"{name} has weights in {quote(location)}; expected a file within its own folder",
            code="E-ONNX-EXTERNAL",
        )
    part = folder / relative
    if not part.resolve().is_relative_to(folder):
        raise ArtifactError(
            f"{name} has weights in {quote(location)}, which is a link out of its folder",
            code="E-ONNX-EXTERNAL",
        )
    try:
        return read_bytes(part, limit=_SIZE_LIMIT, error=ArtifactError)
    except ArtifactError as error:
        raise ArtifactError(
            f"the weights of {name} are in another file, which cannot be read: {error}",
            code="E-ONNX-EXTERNAL",
        ) from error
