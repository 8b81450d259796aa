"""HTML artifacts: one page with an ONNX file, its manifest, and the JavaScript engine that runs it.

Each part is a block of gzip data in base85, which is smaller than base64. The last line is the content
digest: the sha256 of all bytes before it. Reading a page does not run anything in it.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import zlib

from ptx.infer.artifact import onnx_bytes
from ptx.infer.artifact.formats import Content
from ptx.infer.errors import ArtifactError

HEAD = "<!doctype html>\n<!-- A model as one page, written by ptx. -->\n"
# The blocks.
MODEL = "model"  # an ONNX file with its manifest
ENGINE = "engine"  # the JavaScript that runs the model
PAGE = "page"  # the JavaScript of the user interface
DATA = "data"  # what the page shows about the model, and its translations
RUNTIME, WASM = (
    "runtime",
    "wasm",
)  # ONNX Runtime's JavaScript and WebAssembly, if the page uses them
LIMIT = 2**28  # bytes of an uncompressed block
_OPENED = '<script type="application/gzip" id="{}">'
_CLOSED = "</script>"
_DIGEST = "<!-- ptx.digest {} -->\n"


def read_content(data: bytes, *, name: str) -> Content | None:
    """The manifest, and whether the content digests of page and model match; None if `data` is not a
    page of ptx.

    Raises:
        ArtifactError: it contains no model.
    """
    if not data.startswith(HEAD.encode()):
        return None
    model = read_block(data, MODEL, name=name)
    header = onnx_bytes.read_header(model, name=name)
    digest_ok = onnx_bytes.check_digest(model, header) and check_digest(data)
    return Content(header.metadata.get(onnx_bytes.MANIFEST_KEY), digest_ok)


def write_block(block: str, content: bytes) -> str:
    """The HTML of a block."""
    encoded = base64.b85encode(gzip.compress(content, 9, mtime=0)).decode()
    # `<` could start a tag; base85 does not use `,`
    return f"{_OPENED.format(block)}{encoded.replace('<', ',')}{_CLOSED}"


def has_block(data: bytes, block: str) -> bool:
    """Whether the page contains this block."""
    return _OPENED.format(block).encode() in data


def read_block(data: bytes, block: str, *, name: str) -> bytes:
    """The uncompressed content of a block.

    Raises:
        ArtifactError: E-HASH: it is missing or incomplete.
    """
    opened = _OPENED.format(block).encode()
    start = data.find(opened) + len(opened)
    end = data.find(_CLOSED.encode(), start)
    try:
        if start < len(opened) or end < 0:
            raise ValueError("it is missing")
        decompressor = zlib.decompressobj(wbits=31)
        encoded = data[start:end].replace(b",", b"<")
        content = decompressor.decompress(base64.b85decode(encoded), LIMIT)
        if not decompressor.eof or decompressor.unused_data:
            raise ValueError("it is truncated, too large or has trailing bytes")
    except (ValueError, zlib.error) as error:
        raise ArtifactError(
            f"{name} has changed since it was written: its block {block!r} cannot be read: {error};"
            " export or download it again",
            code="E-HASH",
        ) from error
    return content


def append_digest(page: str) -> bytes:
    """The page with its content digest."""
    content = page.encode()
    return content + _DIGEST.format(hashlib.sha256(content).hexdigest()).encode()


def check_digest(data: bytes) -> bool:
    """Whether the content digest matches, so that the page is byte for byte what was written."""
    size = len(_DIGEST.format("0" * 64))
    digest = hashlib.sha256(memoryview(data)[:-size]).hexdigest()
    return data[-size:] == _DIGEST.format(digest).encode()
