"""Who may ask: bearer tokens from a file. And what is written of each request, where that is wanted."""

from __future__ import annotations

import hmac
import sys
import time
from contextlib import suppress
from pathlib import Path

import orjson

from ptx.infer import UsageError
from ptx.serve.refusals import RefusalError


class Access:
    """The tokens of a file, one a line; all may ask where there is no file.

    Attributes:
        asks: Whether a token is needed.

    Raises:
        UsageError: the file cannot be read, or holds no token.
    """

    def __init__(self, path: Path | None) -> None:
        self._tokens: list[bytes] = []
        self.asks = path is not None
        if path is None:
            return
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise UsageError(f"the token file cannot be read: {error.strerror}") from error
        self._tokens = [line.strip() for line in lines if line.strip()]
        if not self._tokens:
            raise UsageError("the token file holds no token; expected one a line")

    def check(self, authorization: bytes | None) -> None:
        """Compare with each token, in a time that says nothing about them.

        Raises:
            RefusalError: 401.
        """
        if not self._tokens:
            return
        scheme, _, given = (authorization or b"").partition(b" ")
        fits = [hmac.compare_digest(given.strip(), token) for token in self._tokens]
        if scheme.lower() != b"bearer" or not any(fits):
            raise RefusalError(401, "this server asks for a bearer token")


def log_request(
    method: str, target: str, status: int | str, seconds: float, **more: object
) -> None:
    """A line of JSON on stderr."""
    line = {
        "time": round(time.time(), 3), "method": method, "path": target, "status": status,
        "ms": round(seconds * 1e3, 3), **{key: value for key, value in more.items() if value},
    }  # fmt: skip
    with suppress(OSError):  # a full disk must not end requests
        sys.stderr.write(orjson.dumps(line).decode() + "\n")
