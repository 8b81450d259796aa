"""The input in a form or in JSON: `curl -F file=@digit.jpg`, or `{"text": "I liked the film"}`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

import orjson
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from ptx.serve.errors import bad_request

FIELD = "file"
_FORM, _JSON = b"multipart/form-data", b"application/json"


def is_form(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the body of a request is a form with parts."""
    return _media_type(headers) == _FORM


def is_json(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the body of a request is JSON."""
    return _media_type(headers) == _JSON


def _media_type(headers: Mapping[bytes, bytes]) -> bytes:
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower()


def read_json(body: bytes, name: str) -> bytes:
    """The text in the JSON object `{name: text}`, as UTF-8.

    Raises:
        RequestError: 400: it is not JSON, or another value.
    """
    try:
        data = orjson.loads(body)
    except ValueError as error:
        raise bad_request("the request is not valid JSON") from error
    if not isinstance(data, dict) or list(data) != [name] or not isinstance(data[name], str):
        raise bad_request(f'the JSON is another value; expected {{"{name}": "…"}}')
    text: str = data[name]
    return text.encode()


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
