"""Rows of whole processes: folders of pictures to JSON Lines, an epoch of training, an export."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from pairing import Goal, Pair, process, process_spent, run_outside
from setting import PTX, Setting, naive, photographs, pictures, train_epochs


def folder(setting: Setting) -> Iterator[Pair]:
    """Small pictures."""
    files, name = pictures(setting), f"{setting.effort.files:,} PNG files to JSON Lines"
    yield from _folder(setting, files, name, "Pillow, batches of 256", Goal(0.8))


def large_pictures(setting: Setting) -> Iterator[Pair]:
    """Photographs of 12 megapixels."""
    files, name = photographs(setting), f"{setting.effort.photographs:,} photographs of 12 Mpx"
    yield from _folder(setting, files, name, "Pillow's `draft`, batches of 256", Goal(0.9))


def _folder(setting: Setting, files: Path, name: str, reference: str, goal: Goal) -> Iterator[Pair]:
    model, output = setting.model("convnet", ".onnx"), setting.folder / "answers.jsonl"
    command = [PTX, "predict", files, "--model", model, "--backend", "ort-cpu", "--output", output]
    for processes, compared in ((0, reference), (2, "the same, two decoding processes")):
        yield Pair(
            name,
            compared,
            process(command),
            process(naive("folder", files, model, output, processes)),
            setting.effort.long_rounds,
            goal,
        )


def training(setting: Setting) -> Iterator[Pair]:
    """An epoch of convnet, its second, on the CPU."""
    data = setting.data().train
    archive = setting.folder / "training.npz"
    np.savez(archive, images=data.inputs["image"], labels=data.targets)
    for form, reference, goal in (
        ("slices", "PyTorch, slices of a tensor", 0.75),
        ("loader", "PyTorch, `DataLoader`", 0.40),
    ):
        yield Pair(
            f"an epoch of convnet, {len(data):,} rows",
            reference,
            partial(_our_epoch, setting.folder / "training"),
            partial(_their_epoch, archive, form),
            setting.effort.long_rounds,
            Goal(goal),
        )


def _our_epoch(workspace: Path) -> float:
    return float(train_epochs(workspace, "--epochs", 2, "--device", "cpu")[-1]["seconds"])


def _their_epoch(archive: Path, form: str) -> float:
    return float(run_outside(naive("training", archive, form, 2)))


def exporting(setting: Setting) -> Iterator[Pair]:
    """An export with its proof, whole process."""
    checkpoint, output = setting.checkpoint("convnet"), setting.folder / "exported.onnx"
    command = [PTX, "export", "convnet", "--checkpoint", checkpoint, "--output", output]
    yield Pair(
        "`ptx export convnet`, check included",
        "`torch.onnx.export`",
        process_spent([*command, "--workspace", setting.workspace]),
        process_spent(naive("export", checkpoint, output)),
        setting.effort.long_rounds,
        Goal(1.2),
    )
