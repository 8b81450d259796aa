"""Packed bodies: taken in under the limit of a body, given out where the client asks for it."""

from __future__ import annotations

import zlib

from ptx.serve.refusals import RefusalError, bad

_WINDOWS = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}
_SMALL = 1024  # bytes that are not worth packing


def unpack(body: bytes, encoding: bytes, limit: int) -> bytes:
    """A body as it was before it was packed.

    Raises:
        RefusalError: the encoding is not known (415), the body is damaged (400), or holds more than
            `limit` bytes (413), of which no more were made.
    """
    encoding = encoding.strip().lower()
    if encoding == b"identity":
        return body
    if encoding not in _WINDOWS:
        raise RefusalError(415, "the Content-Encoding is not known; expected gzip or deflate")
    unpacker = zlib.decompressobj(_WINDOWS[encoding])
    try:
        data = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise bad("the body is not what its Content-Encoding says") from error
    if len(data) > limit:
        raise RefusalError(413, f"the unpacked body has more than {limit} bytes (--max-body)")
    if not unpacker.eof or unpacker.unused_data:
        raise bad("the packed body ends early, or something stands behind it")
    return data


def pack(body: bytes, accepted: bytes) -> tuple[bytes, str | None]:
    """A body as the client takes it, and its encoding: None where it is as it was."""
    if len(body) < _SMALL:
        return body, None
    names = [item.partition(b";")[0].strip().lower() for item in accepted.split(b",")]
    for name in _WINDOWS:
        if name in names:
            packer = zlib.compressobj(1, zlib.DEFLATED, _WINDOWS[name])
            return packer.compress(body) + packer.flush(), name.decode()
    return body, None
