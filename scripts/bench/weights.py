"""Rows of the forms of a file: rounded weights and pixels in the graph, beside the plain ONNX file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pairing import Goal, Pair, Pending, calls
from predicting import BATCH, open_session
from setting import MODELS, Setting, ptx

from ptx.infer import read_artifact
from ptx.infer.signature import Array
from ptx.report.measurement import sample_batch

LAPS = {1: 500, BATCH: 20}  # calls of one round, by batch
_WEIGHTS = Goal(1 / 0.95)
_PIXELS = {"mlp": Goal(1.2)}  # of the others 1.1, where a batch takes milliseconds


def forms(setting: Setting) -> Iterator[Pending]:
    """Each form in one thread, beside the same session over the plain file."""
    for name in MODELS:
        for form in ("float16", "int8"):
            path = _exported(setting, name, f".{form}.onnx", "--weights", form)
            for batch in LAPS:
                yield _pair(setting, name, path, batch, _WEIGHTS)
        pixels = _exported(setting, name, ".pixels.onnx", "--inputs", "pixels")
        yield _pair(setting, name, pixels, BATCH, _PIXELS.get(name, Goal(1.1)))


def _pair(setting: Setting, name: str, path: Path, batch: int, goal: Goal) -> Pair:
    plain = setting.model(name, ".onnx")
    sides = [partial(open_session(at, 1).run, None, _inputs(at, batch)) for at in (path, plain)]
    ours, theirs = (calls(side, LAPS[batch]) for side in sides)
    form = path.name.removesuffix(".onnx")
    return Pair(f"{form}, batch {batch}", plain.name, ours, theirs, setting.effort.rounds, goal)


def _inputs(path: Path, batch: int) -> dict[str, Array]:
    return sample_batch(read_artifact(path).require_card(), batch)


def _exported(setting: Setting, name: str, suffix: str, *options: object) -> Path:
    path = setting.model(name, suffix)
    if not path.exists():
        ptx("export", name, *options, "--workspace", setting.workspace)
    return path
