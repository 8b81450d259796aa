"""Rows of many pictures on engines: whole processes, the slope of a row, the memory of a worker.

Each section can be taken alone, in less than five minutes; `--only scale` takes them all.
"""

from __future__ import annotations

import resource
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from many import ROWS, Tables, many_files, slow_model
from pairing import OUTSIDE, Goal, Missing, Pair, Pending, Result, Row, run_outside
from setting import PTX, Setting, naive

from ptx.scale.parts import FEWEST

DOCUMENTED = "Ray's documented way"
FACTOR = 10  # how many times as many rows tell the slope from the start
TIMES = 15  # so often the pictures, for what a worker holds
_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # of both sides
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}
_OTHERS = {"Daft with ptx": ("daft", "daft_udf"), "Spark with ptx": ("pyspark", "spark_arrow")}
Command = Sequence[object]  # without the output, which is its last word


@dataclass(frozen=True)
class Computed:
    """Rows from more than two figures."""

    name: str
    rows: Callable[[], Iterator[Result]]

    def __str__(self) -> str:
        return self.name

    def take(self) -> Iterator[Result]:
        yield from self.rows()


def beside_ray(setting: Setting, workers: int) -> Iterator[Pending]:
    """ptx on Ray beside Ray's own way, in turns."""
    given = Tables(setting).make(1)
    theirs = partial(_seconds, setting, _engine(setting, "ray_documented", given), workers)
    sides = {
        "ptx predict --on ray": _on_ray(setting, given, workers),
        "ptx.scale.ray.predict": _engine(setting, "ray_class", given),
    }
    for name, side in sides.items():
        yield Pair(f"{ROWS:,} rows of Parquet, `{name}`, {_workers(workers)}", DOCUMENTED,
                   partial(_seconds, setting, side, workers), theirs,
                   min(3, setting.effort.long_rounds), Goal(0.85))  # fmt: skip


def engines(setting: Setting, workers: int) -> Iterator[Pending]:
    """Each engine once, in one run."""
    given = Tables(setting).make(1)
    sides = {
        "ptx, one process": _engine(setting, "one", given),
        "`ptx.scale.ray.predict`": _engine(setting, "ray_class", given),
        "`ptx predict --on ray`": _on_ray(setting, given, workers),
    }
    for name, (package, file) in _OTHERS.items():
        if find_spec(package) is None or (package == "pyspark" and shutil.which("java") is None):
            yield Missing(name, f"{package} is not installed")
        else:
            sides[name] = _engine(setting, file, given)
    what = f"{ROWS:,} rows of Parquet, {_workers(workers)}"
    documented = _engine(setting, "ray_documented", given)
    yield Computed(what, partial(_several, setting, what, workers, sides, documented))


def files(setting: Setting) -> Iterator[Pending]:
    """Small files in a folder."""
    given, model = many_files(setting), setting.model("convnet", ".onnx")
    sides = {
        "`ptx predict FOLDER`": [
            PTX, "predict", given, "--model", model, "--backend", "ort-cpu", "--output"],
        "`ptx predict --on ray`": _on_ray(setting, given, 2),
    }  # fmt: skip
    what, documented = f"{ROWS:,} PNG files, 2 workers", _engine(setting, "ray_documented", given)
    yield Computed(what, partial(_several, setting, what, 2, sides, documented))


def slope(setting: Setting) -> Iterator[Pending]:
    """What a row costs once all has started: between many rows and ten times as many."""

    def rows() -> Iterator[Result]:
        tables = [Tables(setting).make(times) for times in (1, FACTOR)]
        first = [_seconds(setting, _on_ray(setting, given, 1), 1) for given in tables]
        second = [_seconds(setting, _engine(setting, "one", given), 1) for given in tables]
        for name, (few, many) in (("Ray", first), ("one process", second)):
            print(f"{name}: {few:.1f} s for {ROWS:,} rows, {many:.1f} s for {FACTOR * ROWS:,}")
        ours, theirs = ((many - few) / (FACTOR - 1) / ROWS for few, many in (first, second))
        yield Row("a row once started, `ptx predict --on ray`, 1 worker", "ptx, one process", ours,
                  theirs, ours / theirs, Goal(1.3))  # fmt: skip

    yield Computed("a row once started", rows)


def network(setting: Setting) -> Iterator[Pending]:
    """A network of more than 10 ms a row: two workers beside two processes at the same time.

    The start is taken off both sides: what is measured is the seconds of two whole parts a worker more.
    """

    def rows() -> Iterator[Result]:
        model, tables = slow_model(setting), Tables(setting)
        counts = 2 * FEWEST, 6 * FEWEST
        few, many = (tables.some(count) for count in counts)
        halves = [tables.some(count // 2) for count in counts]
        ours, theirs = [], []
        for _ in range(min(2, setting.effort.long_rounds)):
            short, long = (_seconds(setting, _on_ray(setting, given, 2, model), 2)
                           for given in (few, many))  # fmt: skip
            ours.append(long - short)
            short, long = (_at_once(setting, _engine(setting, "one", given, model))
                           for given in halves)  # fmt: skip
            theirs.append(long - short)
        print("Ray", *map("{:.1f} s".format, ours), "beside", *map("{:.1f} s".format, theirs))
        whole, sum_of_two = median(ours), median(theirs)
        what = f"{counts[1] - counts[0]:,} rows of a network of 10 ms or more, Ray, 2 workers"
        yield Row(
            what, "2 processes at once", whole, sum_of_two, whole / sum_of_two, Goal(1 / 0.95)
        )

    yield Computed("a network of 10 ms or more", rows)


def memory(setting: Setting) -> Iterator[Pending]:
    """The most that a worker holds, in the first half of a long job and in the second."""

    def rows() -> Iterator[Result]:
        held = _held(setting, _on_ray(setting, Tables(setting).make(TIMES), 2))
        early, late = (max(half) for half in (held[: len(held) // 2], held[len(held) // 2 :]))
        yield Row(f"the most that a worker holds, second half of {TIMES * ROWS:,} rows", "first half",
                  late, early, late / early, Goal(1.1), _megabytes)  # fmt: skip

    yield Computed("memory of a worker", rows)


SCALE: Mapping[str, Callable[[Setting], Iterator[Pending]]] = {
    "scale-ray-1": partial(beside_ray, workers=1),
    "scale-ray-2": partial(beside_ray, workers=2),
    "scale-ray-4": partial(beside_ray, workers=4),
    "scale-engines-1": partial(engines, workers=1),
    "scale-engines-2": partial(engines, workers=2),
    "scale-files": files,
    "scale-slope": slope,
    "scale-network": network,
    "scale-memory": memory,
}


def _several(
    setting: Setting, what: str, workers: int, sides: Mapping[str, Command], reference: Command
) -> Iterator[Result]:
    theirs = _seconds(setting, reference, workers)
    for name, command in sides.items():
        ours = _seconds(setting, command, workers)
        yield Row(f"{what}: {name}", DOCUMENTED, ours, theirs, ours / theirs)


def _engine(setting: Setting, name: str, given: Path, model: Path | None = None) -> Command:
    return [*naive(f"../engines/{name}", given, model or setting.model("convnet", ".onnx"))]


def _on_ray(setting: Setting, given: Path, workers: int, model: Path | None = None) -> Command:
    return [PTX, "predict", given, "--model", model or setting.model("convnet", ".onnx"),
            "--backend", "ort-cpu", "--on", "ray", "--concurrency", workers, "--output"]  # fmt: skip


def _complete(setting: Setting, command: Command, workers: int, number: int = 0) -> list[str]:
    """With the output, which is not there, and for the programs of `engines` the number of workers."""
    output = setting.folder / f"scale-answers-{number}"
    shutil.rmtree(output, ignore_errors=True)
    output.unlink(missing_ok=True)
    counted = [] if command[0] == PTX else [workers]
    return [str(word) for word in (*command, output.resolve(), *counted)]


def _seconds(setting: Setting, command: Command, workers: int) -> float:
    """Of a whole process, whose output is thrown away."""
    words = _complete(setting, command, workers)
    started = time.perf_counter()
    run_outside(words, **_RAY)
    return time.perf_counter() - started


def _at_once(setting: Setting, command: Command, count: int = 2) -> float:
    """So many processes of one thread at the same time, until the last is done."""
    commands = [_complete(setting, command, 1, number) for number in range(count)]
    started = time.perf_counter()
    running = [subprocess.Popen(words, env=OUTSIDE) for words in commands]
    if any(list(map(subprocess.Popen.wait, running))):
        raise RuntimeError(f"{commands[0]} failed")
    return time.perf_counter() - started


def _held(setting: Setting, command: Command) -> list[float]:
    """Bytes, twice a second while parts are predicted: the largest resident set of a worker."""
    held: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            largest = max(map(_resident, Path("/proc").glob("[0-9]*")), default=0.0)
            if largest:
                held.append(largest)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        _seconds(setting, command, 2)
    finally:
        over.set()
        watcher.join()
    return held


def _resident(process: Path) -> float:
    """Bytes in memory of a process that predicts parts; 0 of any other."""
    try:
        if not (process / "cmdline").read_bytes().startswith(b"ray::MapWorker(Map(PredictPart))"):
            return 0.0
        return float((process / "statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0.0


def _megabytes(value: float) -> str:
    return f"{value / 1e6:.0f} MB"


def _workers(count: int) -> str:
    return f"{count} worker{'s' * (count > 1)}"
