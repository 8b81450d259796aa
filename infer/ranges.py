"""The valid ranges of numeric settings, checked by the library and by the command line."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from ptx.infer.errors import UsageError


@dataclass(frozen=True)
class Range:
    """The numbers from `min` to `max`, both included."""

    min: float
    max: float
    integer: bool = True

    def __contains__(self, value: Any) -> bool:
        if type(value) is int:  # the common case: the abstract number classes are ten times as slow
            return self.min <= value <= self.max
        number = isinstance(value, Integral if self.integer else Real) and not isinstance(
            value, bool
        )
        return number and bool(self.min <= value <= self.max)

    def __str__(self) -> str:
        return f"{'an integer' if self.integer else 'a number'} from {self.min} to {self.max}"

    def check(self, what: str, value: Any) -> None:
        """UsageError if the value is outside the range; NaN always is."""
        if value not in self:
            raise UsageError(f"{what} is {value!r}; expected {self}")


THREADS = Range(1, 1024)
TIMEOUT = Range(0.001, 604_800, integer=False)  # seconds: a week
SHOWN_LABELS = Range(1, 1_000_000)
BATCH_SIZE = Range(1, 1_000_000)  # rows
MEASURED_BATCH = Range(1, 65_536)
EPOCHS = Range(1, 1_000_000)
LEARNING_RATE = Range(1e-12, 1_000_000, integer=False)
SEED = Range(0, 2**32 - 1)  # each epoch has its own 64-bit generator seed
OPSETS = Range(18, 26)  # ONNX opsets that the exporter can write and ONNX Runtime can run
SECONDS = Range(0.001, 3600, integer=False)  # how long to measure
MEAN = Range(-(10**9), 10**9, integer=False)  # of pixels or columns
STD = Range(1e-9, 10**9, integer=False)
DROP = Range(0.001, 100, integer=False)  # percentage points of accuracy
BOX_THRESHOLD = Range(0, 1, integer=False)  # the lowest score of a box
MAX_PIXEL = Range(1e-9, 10**9, integer=False)  # the value of a white pixel
DEVICE_MEMORY = Range(2**20, 2**44)  # bytes
PORT = Range(0, 65_535)
PROCESSES = Range(1, 1024)
WORKERS_CPUS = Range(0.001, 1024, integer=False)  # CPUs per worker
WORKERS_GPUS = Range(0, 1024, integer=False)
COUNT = Range(1, 10**9)  # limits of a server: rows, connections
WAITING = Range(0, 604_800, integer=False)  # seconds: a week
DELAY = Range(0, 60_000, integer=False)  # milliseconds
SHARE = Range(0, 1, integer=False)  # of the requests
