"""Rows of whole processes: folders of pictures to JSON Lines, an epoch of training, an export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from pairing import Goal, Pair, Pending, process, process_spent, run_outside
from setting import PTX, Setting, naive, photographs, pictures, train_epochs

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
        f"{setting.effort.files:,} PNG files to JSON Lines",
        "ImageFolder + DataLoader + eager (weak)",
        _ptx(setting, files),
        process(naive("loader", files.parent, setting.checkpoint("convnet"), _answers(setting))),
        setting.effort.long_rounds,
        Goal(0.12),
    )


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
    return process(
        [
            PTX,
            "predict",
            files,
            "--model",
            model,
            "--backend",
            "ort-cpu",
            "--output",
            _answers(setting),
        ]
    )


def _answers(setting: Setting) -> Path:
    return setting.folder / "answers.jsonl"


def training(setting: Setting) -> Iterator[Pending]:
    """An epoch of convnet, its second, on the CPU."""
    data = setting.data().train
    archive = setting.folder / "training.npz"
    np.savez(archive, images=data.inputs["image"], labels=data.targets)
    ours = partial(_our_epoch, setting.folder / "training")
    for form, goal in (("slices", 0.75), ("loader", 0.40)):
        theirs = partial(_their_epoch, archive, form)
        yield Pair(
            f"an epoch of convnet, {len(data):,} rows",
            f"plain PyTorch, {form}",
            ours,
            theirs,
            setting.effort.long_rounds,
            Goal(goal),
        )


def exporting(setting: Setting) -> Iterator[Pending]:
    """An export with its proof, whole process."""
    output, checkpoint = setting.folder / "exported.onnx", setting.checkpoint("convnet")
    command = [
        PTX,
        "export",
        "convnet",
        "--checkpoint",
        checkpoint,
        "--output",
        output,
        "--workspace",
        setting.workspace,
    ]
    yield Pair(
        "`ptx export convnet --format onnx`, proof included",
        "`torch.onnx.export`",
        process_spent(command),
        process_spent(naive("export", checkpoint, output)),
        setting.effort.long_rounds,
        Goal(1.2),
    )


def _our_epoch(workspace: Path) -> float:
    return float(train_epochs(workspace, "--epochs", 2, "--device", "cpu")[-1]["seconds"])


def _their_epoch(archive: Path, form: str) -> float:
    return float(run_outside(naive("training", archive, form, 2)))
