"""The output of a job: a folder of Parquet parts, each whole or not there."""

from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from ptx.infer.errors import ArtifactError, OutputError, quote
from ptx.infer.prediction import Failure, Prediction
from ptx.scale.records import answer_arrays, answer_schema
from ptx.scale.store import Store, patiently

_PART = re.compile(r"part-[0-9]{6}-([0-9a-f]{12})\.parquet")
_GOOD, _BAD = b"ptx.predictions", b"ptx.failures"
_NO_SPACE = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


class Done(NamedTuple):
    """A part that is there."""

    number: int
    good: int
    bad: int


class Output(NamedTuple):
    """The folder of the parts of one job."""

    store: Store
    folder: str
    job: str  # from `ptx.scale.parts.digest`

    def file(self, number: int) -> str:
        """The name of a part."""
        return f"part-{number:06}-{self.job}.parquet"

    def begin(self) -> set[int]:
        """Make the folder, see that it can be written, and say which parts are there.

        Raises:
            OutputError: it cannot be made or written.
            ArtifactError: E-RESUME: it holds parts of another job.
        """
        system, path = self.store.find(self.folder)
        try:
            system.create_dir(path, recursive=True)
            self._put(f".{self.job}.tmp", b"")
            system.delete_file(f"{path}/.{self.job}.tmp")
            found = system.get_file_info(fs.FileSelector(path))
        except OSError as error:
            raise self._error(error) from error
        parts = [match for one in found if (match := _PART.fullmatch(one.base_name))]
        if others := [match for match in parts if match[1] != self.job]:
            raise ArtifactError(
                f"{quote(self.folder)} holds {others[0].string}, of another job: the inputs, the model"
                " or the options have changed; give another --output",
                code="E-RESUME",
            )
        return {int(match.string[5:11]) for match in parts}

    def read(self, number: int) -> Done:
        """What a part that is there says of itself."""
        system, path = self.store.find(f"{self.folder}/{self.file(number)}")
        metadata = patiently(path, lambda: pq.read_schema(system.open_input_file(path)).metadata)
        return Done(number, int(metadata[_GOOD]), int(metadata[_BAD]))

    def write(self, number: int, answers: Iterable[Prediction | Failure]) -> Done:
        """Write a part under its name once it is whole.

        Raises:
            OutputError: it cannot be written; no part of it is there.
        """
        given = list(answers)
        bad = sum(isinstance(answer, Failure) for answer in given)
        names = pa.array([answer.input for answer in given], pa.string())
        schema = pa.schema([("input", pa.string()), *answer_schema()]).with_metadata(
            {_GOOD: str(len(given) - bad), _BAD: str(bad)}
        )
        stream = io.BytesIO()
        pq.write_table(pa.Table.from_arrays([names, *answer_arrays(given)], schema=schema), stream)
        system, path = self.store.find(self.folder)
        temporary = f".{self.file(number)}.{os.urandom(4).hex()}.tmp"
        try:
            self._put(temporary, stream.getbuffer())
            system.move(f"{path}/{temporary}", f"{path}/{self.file(number)}")
        except OSError as error:
            _remove(system, f"{path}/{temporary}")
            raise self._error(error) from error
        return Done(number, len(given) - bad, bad)

    def end(self) -> None:
        """Take away what killed workers had begun to write."""
        system, path = self.store.find(self.folder)
        for one in system.get_file_info(fs.FileSelector(path)):
            if one.base_name.startswith(".part-") and self.job in one.base_name:
                _remove(system, one.path)

    def _put(self, name: str, data: bytes | memoryview) -> None:
        system, path = self.store.find(self.folder)
        with system.open_output_stream(f"{path}/{name}") as stream:
            stream.write(data)

    def _error(self, error: OSError) -> OutputError:
        text = f"{quote(PurePath(self.folder))} cannot be written: {' '.join(str(error).split())}"
        return OutputError(text, code="E-OUT-SPACE" if error.errno in _NO_SPACE else "E-OUT")


def _remove(system: Any, path: str) -> None:
    try:
        system.delete_file(path)
    except OSError:  # it is not there, or nothing can be done there now
        return
