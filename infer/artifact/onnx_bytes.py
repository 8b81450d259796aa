"""ONNX files as bytes: read or embed a manifest with its content digest, without the onnx package.

An ONNX file is one protobuf message, `ModelProto`. A field may be appended to a protobuf message by
appending its bytes, so the manifest is put at the end of the file as an entry of `metadata_props`,
followed by the content digest: the sha256 of all bytes before it.
Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (field numbers),
https://protobuf.dev/programming-guides/encoding (wire format).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from ptx.infer.artifact.formats import Content
from ptx.infer.errors import ArtifactError

MANIFEST_KEY = "ptx.manifest"
DIGEST_KEY = "ptx.digest"

# Field numbers of ModelProto and of its parts.
_IR_VERSION, _PRODUCER, _GRAPH, _OPSET_IMPORT, _METADATA = 1, 2, 7, 8, 14
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}


@dataclass(frozen=True)
class OnnxHeader:
    """The outermost fields of an ONNX file; its graph is not parsed."""

    ir_version: int
    producer: str
    opsets: dict[str, int]  # operator domain ("" is ONNX's own) → version
    metadata: dict[str, bytes]
    graph: tuple[int, int]  # start and end of the graph's bytes
    digest_start: int | None  # where the field of the content digest starts, if there is one


def read_content(data: bytes, *, name: str) -> Content | None:
    """The manifest and whether the content digest matches; None if `data` does not start like an ONNX
    file, with the IR version.

    Raises:
        ArtifactError: it is truncated, or not an ONNX file.
    """
    if len(data) < 3 or data[0] != _IR_VERSION << 3 | _VARINT or not 0 < data[1] < 0x80:
        return None
    header = read_header(data, name=name)
    return Content(header.metadata.get(MANIFEST_KEY), check_digest(data, header))


def read_header(data: bytes, *, name: str) -> OnnxHeader:
    """Parse the outermost fields of an ONNX file.

    Raises:
        ArtifactError: it is truncated, or not an ONNX file.
    """
    ir_version = 0
    spans: dict[int, tuple[int, int]] = {}  # field number → start and end of its last value
    opsets: dict[str, int] = {}
    metadata: dict[str, bytes] = {}
    digest_start = None
    try:
        for start, number, value in walk(data, 0, len(data)):
            if number not in _MODEL_FIELDS:
                raise ValueError(f"field {number} does not belong to an ONNX file")
            if isinstance(value, int):
                ir_version = value if number == _IR_VERSION else ir_version
                continue
            spans[number] = value
            if number == _OPSET_IMPORT:
                opsets.update([_opset(data, *value)])
            elif number == _METADATA and _add_entry(metadata, data, *value) == DIGEST_KEY:
                digest_start = start
        if _GRAPH not in spans:
            raise ValueError("it has no graph")
    except ValueError as error:
        raise ArtifactError(
            f"{name} is damaged or not an ONNX file: {error}", code="E-ONNX-PARSE"
        ) from error
    producer = data[slice(*spans.get(_PRODUCER, (0, 0)))].decode("utf-8", "replace")
    return OnnxHeader(ir_version, producer, opsets, metadata, spans[_GRAPH], digest_start)


def _add_entry(metadata: dict[str, bytes], data: bytes, start: int, end: int) -> str:
    """Parse an entry, add it to `metadata` and return its key; ValueError if the key occurs twice."""
    key, content = _entry(data, start, end)
    if key in metadata:
        raise ValueError(f"metadata {key!r} occurs twice")
    metadata[key] = content
    return key


def embed_manifest(model: bytes, manifest: str) -> bytes:
    """Append a manifest and the content digest to an ONNX file that has none."""
    content = model + _metadata_field(MANIFEST_KEY, manifest.encode("utf-8"))
    return content + _metadata_field(
        DIGEST_KEY, hashlib.sha256(content).hexdigest().encode("ascii")
    )


def check_digest(data: bytes, header: OnnxHeader) -> bool:
    """Whether the content digest matches, so that the file is byte for byte what was written."""
    if header.digest_start is None:
        return False
    digest = hashlib.sha256(memoryview(data)[: header.digest_start]).hexdigest().encode("ascii")
    return data[header.digest_start :] == _metadata_field(DIGEST_KEY, digest)


def walk(data: bytes, position: int, end: int) -> Iterator[tuple[int, int, int | tuple[int, int]]]:
    """(start, field number, value) for each field; the value is an integer, or the (start, end) of its
    bytes. ValueError if the message is not valid.
    """
    while position < end:
        start = position
        tag, position = _varint(data, position, end)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            number_value, position = _varint(data, position, end)
            yield start, number, number_value
            continue
        if wire == _BYTES:
            size, position = _varint(data, position, end)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {start}")
        if size > end - position:
            raise ValueError(f"it is truncated: field {number} at byte {start} has {size:,} bytes")
        yield start, number, (position, position + size)
        position += size


def parts(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(field number, start, end) of the fields whose value is bytes."""
    for _, number, value in walk(data, start, end):
        if isinstance(value, tuple):
            yield number, *value


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 70, 7):
        if position >= end:
            raise ValueError("it is truncated inside a number")
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
    raise ValueError(f"a number of more than 64 bits at byte {position}")


def _entry(data: bytes, start: int, end: int) -> tuple[str, bytes]:
    key, content = "", b""
    for _, number, value in walk(data, start, end):
        if isinstance(value, tuple) and number == _ENTRY_KEY:
            key = data[slice(*value)].decode("utf-8")
        elif isinstance(value, tuple) and number == _ENTRY_VALUE:
            content = data[slice(*value)]
    return key, content


def _opset(data: bytes, start: int, end: int) -> tuple[str, int]:
    domain, version = "", 0
    for _, number, value in walk(data, start, end):
        if isinstance(value, tuple) and number == _OPSET_DOMAIN:
            domain = data[slice(*value)].decode("utf-8")
        elif isinstance(value, int) and number == _OPSET_VERSION:
            version = value
    return domain, version


def _metadata_field(key: str, value: bytes) -> bytes:
    entry = _bytes_field(_ENTRY_KEY, key.encode("ascii")) + _bytes_field(_ENTRY_VALUE, value)
    return _bytes_field(_METADATA, entry)


def _bytes_field(number: int, value: bytes) -> bytes:
    return _encode(number << 3 | _BYTES) + _encode(len(value)) + value


def _encode(number: int) -> bytes:
    result = bytearray()
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    result.append(number)
    return bytes(result)
