"""Small data, quick runs, and processes that may be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx.models import CATALOG
from ptx.trainers import Dataset, open_dataset

Few = Callable[..., Dataset]

# Imports what is slow to import, then forks for each job: a line of JSON with the arguments of `train`,
# the largest file that may be written, and the seconds after which the child is killed. Answers with
# the child's process and its exit status.
_WORKER = """
import json, os, resource, signal, sys, time
from dataclasses import replace
from pathlib import Path
import numpy as np
import torch
torch.set_num_threads(1)
torch.optim.SGD([torch.zeros(1)])  # the first one imports much
import ptx.trainers.training
from ptx.infer.errors import PtxError
from ptx.trainers import default_recipe, open_dataset, train

ptx.trainers.training.write_plot = lambda *arguments: None
whole = open_dataset("bundled", default="mnist", cache=Path("nowhere"))
rows = np.arange(60)
data = replace(whole, train=whole.train.take(rows), test=whole.test.take(rows))

def run(model, folder, recipe, resume, file_limit):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, before[1]))
    try:
        train(model, data, default_recipe(model, **recipe), folder=Path(folder), device="cpu",
              resume=resume)
    except PtxError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        sys.stderr.write(f"{error.code} {error}\\n")
        sys.stderr.flush()
        return error.exit_code
    return 0

print("ready", flush=True)
for line in sys.stdin:
    job = json.loads(line)
    kill_after = job.pop("kill_after")
    process = os.fork()
    if process == 0:
        status = 99
        try:
            status = run(**job)
        finally:
            os._exit(status)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(process, signal.SIGKILL)  # it is not reaped yet: there is no other of this number
    print(process, os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""


class Worker:
    """A process that trains in children of its own, on 60 rows of the bundled digits."""

    def __init__(self, errors: Path) -> None:
        self._errors = errors
        self.process = 0  # of the last run
        with errors.open("wb") as stderr:
            self._worker = subprocess.Popen(
                [sys.executable, "-W", "error", "-c", _WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        assert self._read() == "ready", self.errors

    def run(
        self,
        model: str,
        folder: Path,
        *,
        resume: bool = False,
        file_limit: int | None = None,
        kill_after: float | None = None,
        **recipe: Any,
    ) -> int:
        """Train; returns the exit status, which is negative after a signal."""
        job = {
            "model": model,
            "folder": str(folder),
            "recipe": recipe,
            "resume": resume,
            "file_limit": file_limit,
            "kill_after": kill_after,
        }
        assert self._worker.stdin is not None
        self._worker.stdin.write(f"{json.dumps(job)}\n")
        self._worker.stdin.flush()
        self.process, status = map(int, self._read().split())
        return status

    @property
    def errors(self) -> str:
        """What all runs have said on stderr."""
        return self._errors.read_text()

    def close(self) -> None:
        """End the process."""
        self._worker.communicate()
        assert self._worker.returncode == 0, self.errors

    def _read(self) -> str:
        assert self._worker.stdout is not None
        return self._worker.stdout.readline().strip()


@pytest.fixture(scope="session")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker, with torch imported."""
    worker = Worker(tmp_path_factory.mktemp("worker") / "stderr.txt")
    yield worker
    worker.close()


@pytest.fixture(scope="session")
def few() -> Few:
    """`few(model, train=230, test=60)`: the first rows, shuffled once, of the model's bundled data."""

    @cache
    def make(model: str, train: int = 230, test: int = 60) -> Dataset:
        whole = open_dataset("bundled", default=CATALOG[model].data, cache=Path("nowhere"))
        order = np.random.RandomState(0).permutation
        return replace(
            whole,
            train=whole.train.take(order(len(whole.train))[:train]),
            test=whole.test.take(order(len(whole.test))[:test]),
        )

    return make


@pytest.fixture
def without_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs draw no picture: that takes longer than the few steps of a test."""
    monkeypatch.setattr("ptx.trainers.training.write_plot", lambda *arguments: None)
