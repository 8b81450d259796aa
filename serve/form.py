"""The file in a form, as `curl -F file=@digit.jpg` and browsers send it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from ptx.serve.errors import bad_request

FIELD = "file"
_FORM = b"multipart/form-data"


def is_form(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the body of a request is a form with parts."""
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower() == _FORM


async def read_file(headers: Mapping[bytes, bytes], body: bytes) -> bytes:
    """The content of the only field, `file`: that of a file, or a text.

    Raises:
        RequestError: 400: the body is not a form, or has other fields.
    """

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    raw = [(b"content-type", headers[b"content-type"])]
    parser = MultiPartParser(
        Headers(raw=raw), stream(), max_files=1, max_fields=1, max_part_size=len(body)
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        raise bad_request(f"the body is not a valid form: {error}") from error
    try:
        fields = form.multi_items()
        if [name for name, _ in fields] != [FIELD]:
            names = ", ".join(repr(name[:80]) for name, _ in fields) or "no fields"
            raise bad_request(f"the form has {names}; expected one field, {FIELD!r}")
        (_, value) = fields[0]
        return await value.read() if isinstance(value, UploadFile) else value.encode()
    finally:
        await form.close()
