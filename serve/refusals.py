"""Why a request gets no answer: one exception, with its status in HTTP and in gRPC."""

from __future__ import annotations

import logging

from ptx.infer import InputError, LimitError, PtxError

LOG = logging.getLogger("ptx.serve")

# HTTP status → gRPC's name of it.
GRPC = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED", 413: "RESOURCE_EXHAUSTED", 415: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT", 501: "UNIMPLEMENTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip
_TOO_LARGE = {"E-IMG-TOO-LARGE", "E-IN-SIZE"}


class RefusalError(Exception):
    """The answer to a request that is not served.

    Args:
        status: Of HTTP.
        message: One line; it names nothing of this machine.
        retry: Seconds after which it may be tried again.
    """

    def __init__(self, status: int, message: str, *, retry: int | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.retry = status, message, retry

    @property
    def grpc(self) -> str:
        """The name of gRPC's status code."""
        return GRPC.get(self.status, "INTERNAL")


def bad(message: str) -> RefusalError:
    """400: the request itself is wrong."""
    return RefusalError(400, message)


def busy(message: str, wait: float = 1.0) -> RefusalError:
    """503: it could be served at another time."""
    return RefusalError(503, message, retry=max(1, round(wait)))


def refusal(error: BaseException, *, of_value: bool = False) -> RefusalError:
    """An error of ptx as the answer to the client; one that is none of theirs goes to the log.

    Args:
        of_value: The input was a picture, a text or a row: it is understood, and cannot be used.
    """
    if isinstance(error, RefusalError):
        return error
    if isinstance(error, InputError):
        too_large = error.code in _TOO_LARGE
        return RefusalError(413 if too_large else 422 if of_value else 400, error.message)
    if isinstance(error, LimitError) and error.code == "E-TIMEOUT":
        return RefusalError(504, "the run took longer than the server's --timeout")
    if isinstance(error, LimitError | MemoryError):
        return busy("there is too little memory for this request now")
    if isinstance(error, PtxError) and error.code == "E-NONFINITE":
        return RefusalError(422, error.message)
    LOG.error("a request failed", exc_info=error)
    return RefusalError(500, "the server failed at this request; its log says why")
