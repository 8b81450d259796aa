"""Numbers that several processes count together: each in cells of its own, read by all of them."""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from http import HTTPStatus

from ptx.serve.refusals import GRPC

SECONDS = (
    1e-4,
    2.5e-4,
    5e-4,
    1e-3,
    2.5e-3,
    5e-3,
    1e-2,
    2.5e-2,
    5e-2,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    10.0,
)
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
WAYS = ("received", "sent")
# Histograms of a model: what they are called, what they say, and the ends of their buckets.
HISTOGRAMS = {
    "ptx_request_seconds": ("From a request's arrival to its answer.", SECONDS),
    "ptx_queue_seconds": ("That a request waited for its run.", SECONDS),
    "ptx_run_seconds": ("Of a run of the model.", SECONDS),
    "ptx_batch_rows": ("Rows of a run.", ROWS),
}
_CODES = [
    *(("http", str(status.value)) for status in HTTPStatus),
    *(("grpc", name) for name in ("OK", "INTERNAL", *dict.fromkeys(GRPC.values()))),
]


class Layout:
    """Where each number of a server stands, as its models are known.

    Attributes:
        requests: The cell of a model ("": none), a protocol and a code.
        transferred: The cells of the bytes of bodies, by their way.
        histograms: The first cell of each model's histogram: its buckets, one more for what is beyond
            them, and the sum.
        last: When a model ran last, in seconds since 1970.
        size: Cells of one process.
    """

    def __init__(self, models: Sequence[str]) -> None:
        self.models = list(models)
        places = [(model, *code) for model in ("", *models) for code in dict.fromkeys(_CODES)]
        self.requests = {key: place for place, key in enumerate(places)}
        self.transferred = {way: len(places) + place for place, way in enumerate(WAYS)}
        self.size = len(places) + len(WAYS)
        self.histograms: dict[tuple[str, str], int] = {}
        for model in models:
            for name, (_, ends) in HISTOGRAMS.items():
                self.histograms[name, model] = self.size
                self.size += len(ends) + 2
        self.last = {model: self.size + place for place, model in enumerate(models)}
        self.size += len(models)


class Cells:
    """The numbers of all processes of a server; made before these part."""

    def __init__(self, size: int, processes: int = 1) -> None:
        self._size = size
        self._all = memoryview(mmap.mmap(-1, 8 * size * processes)).cast("d")

    def own(self, process: int) -> memoryview[float]:
        """Those that one of them counts; who takes its place goes on with them."""
        return self._all[process * self._size : (process + 1) * self._size]

    def total(self, place: int) -> float:
        """A number, of all processes."""
        return sum(self._everywhere(place))

    def latest(self, place: int) -> float:
        """The largest of all processes."""
        return max(self._everywhere(place))

    def _everywhere(self, place: int) -> Iterator[float]:
        return iter(self._all[place :: self._size])


class Histogram:
    """One histogram in a process's own cells."""

    __slots__ = ("_cells", "_ends", "_place", "_sum")

    def __init__(self, cells: memoryview[float], place: int, ends: Sequence[float]) -> None:
        self._cells, self._place, self._ends = cells, place, ends
        self._sum = place + len(ends) + 1

    def observe(self, value: float) -> None:
        """Count a value."""
        self._cells[self._place + bisect_left(self._ends, value)] += 1
        self._cells[self._sum] += value
