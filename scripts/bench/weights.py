"""Rows of the forms of a file: rounded weights and pixels in the graph, beside the plain ONNX file."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from pairing import WARM_UP, Goal, Pair, Pending
from predicting import BATCH, open_session
from setting import MODELS, Setting, ptx

from ptx.infer import read_artifact
from ptx.infer.signature import Array
from ptx.report.measurement import sample_batch

CALLS = {1: 50, BATCH: 1}  # of one block, by batch
BLOCKS = 40  # of one round
_WEIGHTS = Goal(1 / 0.95)
_PIXELS = {"mlp": Goal(1.2)}  # of the others 1.1, where a batch takes milliseconds


def forms(setting: Setting) -> Iterator[Pending]:
    """Each form in one thread, by its processor time, beside the same session over the plain file."""
    for name in MODELS:
        for form in ("float16", "int8"):
            path = _exported(setting, name, f".{form}.onnx", "--weights", form)
            for batch in CALLS:
                yield _pair(setting, name, path, batch, _WEIGHTS)
        pixels = _exported(setting, name, ".pixels.onnx", "--inputs", "pixels")
        yield _pair(setting, name, pixels, BATCH, _PIXELS.get(name, Goal(1.1)))


def _pair(setting: Setting, name: str, path: Path, batch: int, goal: Goal) -> Pair:
    plain = setting.model(name, ".onnx")
    sides = [partial(open_session(at, 1).run, None, _inputs(at, batch)) for at in (path, plain)]
    ours, theirs = (_processor_time(side, CALLS[batch]) for side in sides)
    form = path.name.removesuffix(".onnx")
    return Pair(f"{form}, batch {batch}", plain.name, ours, theirs, setting.effort.rounds, goal)


def _processor_time(run: Callable[[], object], count: int) -> Callable[[], float]:
    """Seconds of this thread for one run, which it does alone: the first decile of short blocks.

    What else the machine does is neither counted nor, mostly, felt.
    """

    def once() -> float:
        for _ in range(WARM_UP):
            run()
        return statistics.quantiles((block() for _ in range(BLOCKS)), n=10)[0]

    def block() -> float:
        started = time.thread_time()
        for _ in range(count):
            run()
        return (time.thread_time() - started) / count

    return once


def _inputs(path: Path, batch: int) -> dict[str, Array]:
    return sample_batch(read_artifact(path).require_card(), batch)


def _exported(setting: Setting, name: str, suffix: str, *options: object) -> Path:
    path = setting.model(name, suffix)
    if not path.exists():
        ptx("export", name, *options, "--workspace", setting.workspace)
    return path
