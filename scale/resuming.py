"""Resuming a run that writes JSON Lines: inputs that the output has already are skipped."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ptx.infer.artifact.files import mapping_os_errors
from ptx.infer.errors import ArtifactError, OutputError, quote
from ptx.infer.prediction import NamedInput, input_name
from ptx.scale.shards import Shard, name_hash

_START = b'{"input": '  # of every line of `ptx predict --json`


class Continued:
    """The output of an interrupted run: its numbers of predictions and errors, and their inputs.

    Memory: about 100 bytes for each line.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self._left: Counter[int] = Counter()
        self.good = self.bad = 0
        self._end = 0  # bytes of complete lines

    def read(self, model: str) -> None:
        """Read the lines of the file, which must be of this model.

        Raises:
            ArtifactError: E-RESUME: the file is not such an output, or is one of another model.
        """
        truncated = 0  # number of the line
        for number, line in enumerate(self._file, 1):
            answer = _answer(line)
            if answer is None:
                truncated = truncated or number
                if not (
                    _START.startswith(line) or line.startswith(_START) or not line.strip(b"\0")
                ):
                    raise self._error(number, "was not written by `ptx predict --json`")
                continue
            if truncated:
                raise self._error(truncated, "is truncated, and complete lines follow")
            if answer.get("model", model) != model:
                raise self._error(number, f"is of the model {quote(str(answer['model']))}")
            self._left[name_hash(str(answer["input"]))] += 1
            self.bad += "error" in answer
            self.good += "error" not in answer
            self._end += len(line)

    def skips(self, name: str | None) -> bool:
        """Whether the output has an input of this name; each line counts for one input."""
        key = name_hash(str(name))
        if not self._left[key]:
            return False
        self._left[key] -= 1
        return True

    def append(self, lines: Iterable[str]) -> None:
        """Write these lines after the complete ones; a truncated line is overwritten."""
        with mapping_os_errors(self._path):
            self._file.seek(self._end)
            self._file.truncate()
        for line in lines:
            with mapping_os_errors(self._path):
                self._file.write(f"{line}\n".encode(errors="backslashreplace"))  # in file names
        with mapping_os_errors(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())

    def _error(self, number: int, why: str) -> ArtifactError:
        return ArtifactError(
            f"{quote(self._path)} cannot be resumed: line {number} {why}; give another --output, or"
            " leave out --resume",
            code="E-RESUME",
        )


def _answer(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        answer = json.loads(line)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and "input" in answer else None


@contextmanager
def continued(path: Path, model: str) -> Iterator[Continued]:
    """The output `path` of an interrupted run, created if it is missing; for one process at a time.

    Raises:
        ArtifactError: as `Continued.read`.
        OutputError: it cannot be written; E-BUSY: another process writes to it.
    """
    with mapping_os_errors(path):
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
    with file:
        _lock(path, file)
        former = Continued(path, file)
        former.read(model)
        yield former


def _lock(path: Path, file: BinaryIO) -> None:
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(
            f"{quote(path)} is busy: another process writes to it; wait for it, or give another"
            " --output",
            code="E-BUSY",
        ) from error
    except OSError:  # a file system without locks
        return


def choose(values: Iterable[Any], shard: Shard | None, former: Continued | None) -> Iterator[Any]:
    """The values that are in the shard and not in the output yet."""
    for value in values:
        name = value.name if isinstance(value, NamedInput) else input_name(value)
        if shard is not None and not shard.takes(str(name)):
            continue
        if former is None or not former.skips(name):
            yield value
