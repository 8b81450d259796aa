"""Middleware for every HTTP request: bearer tokens, a limit of requests, metrics and the access log."""

from __future__ import annotations

import hmac
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import orjson
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ptx.serve.errors import RequestError, bad_request, unavailable
from ptx.serve.settings import Settings

# Called with the model (of the path, else ""), the status, the seconds and the bytes of the response.
ResponseObserver = Callable[[str, int, float, int], None]

_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
_ALLOW = Response(status_code=204, headers={"Allow": "GET, HEAD, POST, OPTIONS"})
# Keys of the scope: the headers as a dict, and whether the entire body has arrived.
HEADERS, BODY_RECEIVED = "ptx.headers", "ptx.body_received"


class TokenChecker:
    """Checks bearer tokens; if there are none, all requests are allowed."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._tokens = [token.encode() for token in tokens]

    def check(self, authorization: bytes) -> None:
        """Check the value of an Authorization header.

        Raises:
            RequestError: 401.
        """
        if not self._tokens:
            return
        scheme, _, token = authorization.partition(b" ")
        # All are compared in constant time, so that the duration reveals nothing about them.
        matches = [hmac.compare_digest(token.strip(), known) for known in self._tokens]
        if scheme.lower() != b"bearer" or not any(matches):
            raise RequestError(401, "a bearer token is required")


class RequestMiddleware:
    """Refuses invalid requests before their bodies are read; counts and logs the responses."""

    def __init__(self, app: ASGIApp, *, settings: Settings, observe: ResponseObserver) -> None:
        self._app, self._settings, self._observe = app, settings, observe
        self._compressing_app = GZipMiddleware(app, minimum_size=1024, compresslevel=6)
        self._tokens = TokenChecker(settings.tokens)
        self._in_progress = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, sent = time.perf_counter(), 0, 0
        headers: dict[bytes, bytes] = dict(scope["headers"])
        scope[HEADERS] = headers
        request_id = headers.get(b"x-request-id", b"")[:128]

        async def send_counted(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].extend(_HEADERS)
                if request_id:
                    message["headers"].append((b"x-request-id", request_id))
                if status >= 400 and _has_unread_body(scope):
                    message["headers"].append((b"connection", b"close"))
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        self._in_progress += 1
        try:
            self._check(scope, headers)
            if scope["method"] == "OPTIONS" and scope["path"] == "*":
                await _ALLOW(scope, receive, send_counted)
            else:
                gzip = b"gzip" in headers.get(b"accept-encoding", b"")
                app = self._compressing_app if gzip else self._app
                await app(scope, receive, send_counted)
        except RequestError as error:
            await error_response(error)(scope, receive, send_counted)
        finally:
            self._in_progress -= 1
            seconds = time.perf_counter() - started
            path_params = scope.get("path_params")
            self._observe(path_params.get("name", "") if path_params else "", status, seconds, sent)
            if self._settings.access_log:
                log_request(
                    scope["method"],
                    _target(scope),
                    status,
                    seconds,
                    bytes=sent,
                    id=request_id.decode("latin-1"),
                    traceparent=headers.get(b"traceparent", b"")[:128].decode("latin-1"),
                )

    def _check(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        if (
            scope["http_version"] == "1.1"
            and [name for name, _ in scope["headers"]].count(b"host") != 1
        ):
            raise bad_request("HTTP/1.1 requires exactly one Host header")
        if route_path(scope).startswith("/v2/health/"):
            return
        self._tokens.check(headers.get(b"authorization", b""))
        if self._in_progress > self._settings.max_requests:
            raise unavailable("too many requests are in progress (--max-requests)")


def route_path(scope: Scope) -> str:
    """The path within this application, which may be mounted in another one."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _has_unread_body(scope: Scope) -> bool:
    """Whether part of the body was not read, so that the connection must be closed."""
    headers = scope[HEADERS]
    has_body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
    return has_body and BODY_RECEIVED not in scope


def _target(scope: Scope) -> str:
    query = scope["query_string"].decode("latin-1")
    return f"{scope['path']}?{query}" if query else str(scope["path"])


def error_response(error: RequestError) -> Response:
    """The response for an error: JSON with `error`."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    content = orjson.dumps({"error": error.message})
    return Response(content, error.status, headers, "application/json")


def log_request(
    method: str, target: str, status: int | str, seconds: float, **fields: object
) -> None:
    """Write a line of JSON to stderr, without empty fields."""
    line = {
        "time": round(time.time(), 3),
        "method": method,
        "path": target,
        "status": status,
        "ms": round(seconds * 1e3, 3),
        **{key: value for key, value in fields.items() if value},
    }
    with suppress(OSError):  # a full disk must not end requests
        sys.stderr.write(orjson.dumps(line).decode() + "\n")
