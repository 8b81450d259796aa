"""The error of a request, with its status codes for HTTP and gRPC."""

from __future__ import annotations

import logging

from ptx.infer import InputError, LimitError, PtxError

LOG = logging.getLogger("ptx.serve")

# HTTP status → name of the gRPC status code.
GRPC_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    413: "RESOURCE_EXHAUSTED",
    415: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_TOO_LARGE = {"E-IMG-TOO-LARGE", "E-IN-SIZE"}


class RequestError(Exception):
    """A request that gets an error as its response.

    Args:
        status: HTTP status code.
        message: One line; it contains no path and no other detail of this machine.
        retry_after: Seconds after which the client may try again.
    """

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after = status, message, retry_after

    @property
    def grpc_code(self) -> str:
        """Name of the gRPC status code."""
        return GRPC_CODES.get(self.status, "INTERNAL")


def bad_request(message: str) -> RequestError:
    """400: the request itself is wrong."""
    return RequestError(400, message)


def unavailable(message: str, wait: float = 1.0) -> RequestError:
    """503: the request could be served later, after about `wait` seconds."""
    return RequestError(503, message, retry_after=max(1, round(wait)))


def to_request_error(error: BaseException, *, raw_input: bool = False) -> RequestError:
    """The response for any exception; one that is not the client's fault is logged.

    Args:
        raw_input: The request was valid, but its image, text or row cannot be used: 422.
    """
    if isinstance(error, RequestError):
        return error
    if isinstance(error, InputError):
        too_large = error.code in _TOO_LARGE
        return RequestError(413 if too_large else 422 if raw_input else 400, error.message)
    if isinstance(error, LimitError) and error.code == "E-TIMEOUT":
        return RequestError(504, "the run took longer than the server's --timeout")
    if isinstance(error, LimitError | MemoryError):
        return unavailable("there is not enough memory for this request now")
    if isinstance(error, PtxError) and error.code == "E-NONFINITE":
        return RequestError(422, error.message)
    LOG.error("a request failed", exc_info=error)
    return RequestError(500, "internal error; the server's log has the details")
