"""What goes wrong, where workers can import it: decoders that end their process, stores that fail."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

from pyarrow import fs

from ptx import infer
from ptx.scale.ray import Shared
from ptx.scale.sharing import Opening

CRASH, MEMORY = b"crash", b"memory"  # values that end the process: each time; the first time
SECONDS = 0.004  # for each row, so that something can be ended in the midst of the job


class BrokenOpening(Opening):
    """A model whose decoder is slow, and ends the process on some values."""

    def open(self) -> infer.Predictor:
        predictor = super().open()
        read = predictor.preprocessing.read

        def broken(value: Any) -> Any:
            time.sleep(SECONDS)
            marker = Path(os.environ["PTX_TEST_MARKER"])
            if value == CRASH:
                os.kill(os.getpid(), 11)
            if value == MEMORY and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), 9)  # as the kernel does
            return read(value)

        object.__setattr__(predictor.preprocessing, "read", broken)
        return predictor


class BrokenShared(Shared):
    """The same, as it travels."""

    def opening(self, backend: str, options: infer.Options) -> Opening:
        return BrokenOpening(**vars(super().opening(backend, options)))


class Failing(fs.FileSystemHandler):  # type: ignore[misc]
    """This machine's files. Each `reads`-th read fails, and each write behind the first `writes`."""

    def __init__(self, reads: int = 0, writes: int = 10**9) -> None:
        self.every, self.writes, self.reads = reads, writes, 0
        self.inner = fs.LocalFileSystem()

    def __reduce__(self) -> Any:
        return Failing, (self.every, self.writes)

    def _read(self) -> None:
        self.reads += 1
        if self.every and self.reads % self.every == 0:
            raise OSError(errno.EIO, "the store is busy")

    def get_type_name(self) -> str:
        return "failing"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> Any:
        return self.inner.get_file_info(paths)

    def get_file_info_selector(self, selector: Any) -> Any:
        return self.inner.get_file_info(selector)

    def open_input_stream(self, path: str) -> Any:
        self._read()
        return self.inner.open_input_stream(path, compression=None)

    def open_input_file(self, path: str) -> Any:
        self._read()
        return self.inner.open_input_file(path)

    def open_output_stream(self, path: str, metadata: Any) -> Any:
        if len(list(Path(path).parent.glob("part-*"))) >= self.writes:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.inner.open_output_stream(path)

    def create_dir(self, path: str, recursive: bool) -> None:
        self.inner.create_dir(path, recursive=recursive)

    def delete_file(self, path: str) -> None:
        self.inner.delete_file(path)

    def move(self, src: str, dest: str) -> None:
        self.inner.move(src, dest)

    def _unused(self, *_: Any) -> Any:
        raise NotImplementedError

    delete_dir = delete_dir_contents = delete_root_dir_contents = _unused
    copy_file = open_append_stream = _unused
