"""A predictor in a process of its own: what ends it is one input's error, not the worker's end.

It is slower, and taken where a worker has been ended once. What was being answered is then divided until
the input that ends the process stands alone.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any

from ptx.infer.errors import InputError, LimitError, PtxError
from ptx.infer.prediction import Failure, Named, Prediction
from ptx.scale.sharing import Opening

_SERVE = "import sys; from ptx.scale.guard import serve; serve(int(sys.argv[1]))"


class Guarded:
    """Answers as the predictor's `predict_many`, computed in a child."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._start()

    def predict_many(
        self, values: Iterable[Named], *, batch_size: int, top: int, on_error: str = "yield"
    ) -> Iterator[Prediction | Failure]:
        """The answers in order, bad ones in their place."""
        iterator = iter(values)
        while window := list(islice(iterator, batch_size)):
            yield from self._answers(window, top)

    def close(self) -> None:
        """End the child."""
        self._pipe.close()
        self._child.kill()
        self._child.wait()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-c", _SERVE, str(theirs.fileno())]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            self._child = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment)
        self._pipe = Connection(ours.detach())
        try:
            self._pipe.send(self._opening)
            opened = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise LimitError(
                f"the process that opens the model ended with {self._child.wait()}; is there too"
                " little memory?",
                code="E-MEMORY",
            ) from error
        if isinstance(opened, PtxError):
            raise opened

    def _answers(self, window: list[Named], top: int) -> Iterator[Prediction | Failure]:
        try:
            self._pipe.send((window, top))
            answers = self._pipe.recv()
        except (EOFError, OSError):
            ended = self._child.wait()
            self._pipe.close()
            self._start()
            if len(window) == 1:
                error = InputError(
                    f"the process that reads it ends with {ended}", code="E-IN-CRASH"
                )
                yield Failure(error, window[0].name)
                return
            middle = len(window) // 2
            yield from self._answers(window[:middle], top)
            yield from self._answers(window[middle:], top)
            return
        if isinstance(answers, PtxError):
            raise answers
        yield from answers


def serve(descriptor: int) -> None:
    """The child: open what is sent first, answer what is sent then, until the parent is gone."""
    pipe = Connection(descriptor)
    try:
        predictor = pipe.recv().open()
    except PtxError as error:
        pipe.send(error)
        return
    pipe.send(None)
    while True:
        try:
            window, top = pipe.recv()
        except EOFError:
            return
        pipe.send(_answer(predictor, window, top))


def _answer(predictor: Any, window: list[Named], top: int) -> list[Prediction | Failure] | PtxError:
    try:
        return list(
            predictor.predict_many(window, batch_size=len(window) + 1, top=top, on_error="yield")
        )
    except PtxError as error:
        return error
