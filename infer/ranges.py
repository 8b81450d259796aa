"""The numbers that people give: a range for each, held by the library and by the command line."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from ptx.infer.errors import UsageError


@dataclass(frozen=True)
class Range:
    """The numbers from `least` to `most`, both among them."""

    least: float
    most: float
    whole: bool = True

    def __contains__(self, value: Any) -> bool:
        if type(value) is int:  # mostly: the abstract numbers take ten times as long
            return self.least <= value <= self.most
        number = isinstance(value, Integral if self.whole else Real) and not isinstance(value, bool)
        return number and bool(self.least <= value <= self.most)

    def __str__(self) -> str:
        return f"a {'whole ' if self.whole else ''}number from {self.least} to {self.most}"

    def check(self, what: str, value: Any) -> None:
        """UsageError where the value lies outside, NaN included."""
        if value not in self:
            raise UsageError(f"{what} is {value!r}; expected {self}")


THREADS = Range(1, 1024)
TIMEOUT = Range(0.001, 604_800, whole=False)  # seconds: a week
SHOWN_LABELS = Range(1, 1_000_000)
BATCH_SIZE = Range(1, 1_000_000)  # rows
MEASURED_BATCH = Range(1, 65_536)
EPOCHS = Range(1, 1_000_000)
LEARNING_RATE = Range(1e-12, 1_000_000, whole=False)
SEED = Range(0, 2**32 - 1)  # each epoch has a generator seed of its own in 64 bits
OPSETS = Range(18, 26)  # of ONNX: what the exporter writes itself, and ONNX Runtime runs
SECONDS = Range(0.001, 3600, whole=False)  # of measuring
MEAN = Range(-(10**9), 10**9, whole=False)  # of pixels or columns
STD = Range(1e-9, 10**9, whole=False)
DROP = Range(0.001, 100, whole=False)  # points of accuracy
MAX_PIXEL = Range(1e-9, 10**9, whole=False)  # the number of a white pixel
DEVICE_MEMORY = Range(2**20, 2**44)  # bytes
PORT = Range(0, 65_535)
PROCESSES = Range(1, 1024)
WORKERS_CPUS = Range(0.001, 1024, whole=False)  # processors of each
WORKERS_GPUS = Range(0, 1024, whole=False)
COUNT = Range(1, 10**9)  # rows and connections of a server
WAITING = Range(0, 604_800, whole=False)  # seconds: a week
DELAY = Range(0, 60_000, whole=False)  # milliseconds
