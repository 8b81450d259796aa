"""A model as one page: an HTML file that holds an ONNX file with a content digest and the engine that
runs it.

They stand in it as blocks, gzip in base85, which takes less room than base64; the last line is the
content digest: the sha256 of all bytes before it.
Nothing of a page is run to read it.
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
MODEL, ENGINE = "model", "engine"  # the blocks: an ONNX file with its manifest, and JavaScript
PAGE, DATA = (
    "page",
    "data",
)  # the script of what is seen; what it shows of the model, with the words
RUNTIME, WASM = (
    "runtime",
    "wasm",
)  # of a page that ONNX Runtime's WebAssembly runs: its script, and that
LIMIT = 2**28  # bytes of a block once it is unpacked
_OPENED = '<script type="application/gzip" id="{}">'
_CLOSED = "</script>"
_DIGEST = "<!-- ptx.digest {} -->\n"


def read_content(data: bytes, *, name: str) -> Content | None:
    """The manifest of the page's model, and whether the page is what was written; None of no page of
    ptx.

    Raises:
        ArtifactError: it holds no model.
    """
    if not data.startswith(HEAD.encode()):
        return None
    model = read_block(data, MODEL, name=name)
    header = onnx_bytes.read_header(model, name=name)
    digest_ok = onnx_bytes.check_digest(model, header) and check_digest(data)
    return Content(header.metadata.get(onnx_bytes.MANIFEST_KEY), digest_ok)


def write_block(block: str, content: bytes) -> str:
    """A block as it is written in a page."""
    packed = base64.b85encode(gzip.compress(content, 9, mtime=0)).decode()
    return f"{_OPENED.format(block)}{packed.replace('<', ',')}{_CLOSED}"  # `<` may begin a tag


def has_block(data: bytes, block: str) -> bool:
    """Whether the page has such a block."""
    return _OPENED.format(block).encode() in data


def read_block(data: bytes, block: str, *, name: str) -> bytes:
    """What a block holds.

    Raises:
        ArtifactError: E-HASH: it is missing or incomplete.
    """
    opened = _OPENED.format(block).encode()
    start = data.find(opened) + len(opened)
    end = data.find(_CLOSED.encode(), start)
    try:
        if start < len(opened) or end < 0:
            raise ValueError("is not there")
        unpack = zlib.decompressobj(wbits=31)
        content = unpack.decompress(base64.b85decode(data[start:end].replace(b",", b"<")), LIMIT)
        if not unpack.eof or unpack.unused_data:
            raise ValueError("does not end where it must")
    except (ValueError, zlib.error) as error:
        raise ArtifactError(
            f"{name} has changed since it was written: its {block} cannot be read: {error}; export it"
            " again or fetch it again",
            code="E-HASH",
        ) from error
    return content


def append_digest(page: str) -> bytes:
    """The page with its content digest."""
    content = page.encode()
    return content + _DIGEST.format(hashlib.sha256(content).hexdigest()).encode()


def check_digest(data: bytes) -> bool:
    """Whether the page is, byte for byte, what was written."""
    size = len(_DIGEST.format("0" * 64))
    digest = hashlib.sha256(memoryview(data)[:-size]).hexdigest()
    return data[-size:] == _DIGEST.format(digest).encode()
