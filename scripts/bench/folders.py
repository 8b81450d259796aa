"""Rows of folders of pictures that become JSON Lines, in whole processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from pairing import Goal, Pair, Pending, process
from setting import PTX, Setting, naive, photographs, pictures

FOLDER, PHOTOGRAPHS = Goal(0.8), Goal(0.9)
_ONE_BY_ONE = "one by one, one picture a run (weak)"


def folder(setting: Setting) -> Iterator[Pending]:
    """Small pictures."""
    files = pictures(setting)
    row = partial(_row, setting, f"{setting.effort.files:,} PNG files to JSON Lines", files)
    yield row("in batches", "batched", FOLDER)
    yield row("in batches, two reader processes", "readers", FOLDER)
    yield row(_ONE_BY_ONE, "folder", Goal(0.35))
    yield Pair(
        f"{setting.effort.files:,} PNG files to JSON Lines", "ImageFolder + DataLoader + eager (weak)",
        _ptx(setting, files),
        process(naive("loader", files.parent, setting.checkpoint("convnet"), _answers(setting))),
        setting.effort.long_rounds, Goal(0.12),
    )  # fmt: skip


def large_pictures(setting: Setting) -> Iterator[Pending]:
    """Photographs of 12 megapixels."""
    files = photographs(setting)
    row = partial(_row, setting, f"{setting.effort.photographs:,} photographs of 12 Mpx", files)
    yield row("`draft`, in batches", "batched", PHOTOGRAPHS)
    yield row("`draft`, in batches, two reader processes", "readers", PHOTOGRAPHS)
    few = photographs(setting, share=8)
    count = len(list(few.iterdir()))
    yield _row(setting, f"{count:,} photographs of 12 Mpx", few, _ONE_BY_ONE, "folder", None)


def _row(
    setting: Setting, name: str, files: Path, reference: str, program: str, goal: Goal | None
) -> Pair:
    model = setting.model("convnet", ".onnx")
    theirs = process(naive(program, files, model, _answers(setting)))
    return Pair(name, reference, _ptx(setting, files), theirs, setting.effort.long_rounds, goal)


def _ptx(setting: Setting, files: Path) -> Callable[[], float]:
    model = setting.model("convnet", ".onnx")
    return process([PTX, "predict", files, "--model", model, "--backend", "ort-cpu",
                    "--output", _answers(setting)])  # fmt: skip


def _answers(setting: Setting) -> Path:
    return setting.folder / "answers.jsonl"
