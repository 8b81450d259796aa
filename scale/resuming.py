"""Resuming a run that writes JSON Lines: inputs that are already in the output are skipped."""

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

_START = b'{"input": '  # the start of every line of `ptx predict --json`


class ResumableOutput:
    """The JSON Lines output of an interrupted run, to which the missing lines are appended.

    It needs about 100 bytes of memory for each line.

    Attributes:
        succeeded: The number of lines with a prediction.
        failed: The number of lines with an error.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self._remaining: Counter[int] = Counter()
        self.succeeded = self.failed = 0
        self._end = 0  # bytes of complete lines

    def read(self, model: str) -> None:
        """Read the existing lines, which must be predictions of this model.

        Raises:
            ArtifactError: E-RESUME: the file is not such an output, or is that of another model.
        """
        truncated = 0  # number of the line
        for number, line in enumerate(self._file, 1):
            prediction = _parse_line(line)
            if prediction is None:
                truncated = truncated or number
                if not (
                    _START.startswith(line) or line.startswith(_START) or not line.strip(b"\0")
                ):
                    raise self._error(number, "was not written by `ptx predict --json`")
                continue
            if truncated:
                raise self._error(truncated, "is truncated, and complete lines follow")
            if prediction.get("model", model) != model:
                raise self._error(number, f"is of the model {quote(str(prediction['model']))}")
            self._remaining[name_hash(str(prediction["input"]))] += 1
            self.failed += "error" in prediction
            self.succeeded += "error" not in prediction
            self._end += len(line)

    def is_done(self, name: str | None) -> bool:
        """Whether the output has this input. Each line counts once: an input may occur twice."""
        key = name_hash(str(name))
        if not self._remaining[key]:
            return False
        self._remaining[key] -= 1
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

    def _error(self, number: int, problem: str) -> ArtifactError:
        return ArtifactError(
            f"{quote(self._path)} cannot be resumed: line {number} {problem}; give another --output, or"
            " leave out --resume",
            code="E-RESUME",
        )


def _parse_line(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content if isinstance(content, dict) and "input" in content else None


@contextmanager
def open_resumable(path: Path, model: str) -> Iterator[ResumableOutput]:
    """The output `path` of an interrupted run, created if it is missing; for one process at a time.

    Raises:
        ArtifactError: as `ResumableOutput.read`.
        OutputError: it cannot be written; E-BUSY: another process writes to it.
    """
    with mapping_os_errors(path):
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
    with file:
        _lock(path, file)
        output = ResumableOutput(path, file)
        output.read(model)
        yield output


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


def select_inputs(
    values: Iterable[Any], shard: Shard | None, previous: ResumableOutput | None
) -> Iterator[Any]:
    """The values that are in the shard and not in the output yet."""
    for value in values:
        name = value.name if isinstance(value, NamedInput) else input_name(value)
        if shard is not None and not shard.contains(str(name)):
            continue
        if previous is None or not previous.is_done(name):
            yield value
