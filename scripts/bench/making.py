"""Rows of what makes a model: an epoch of training, an export."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from pairing import OUTSIDE, Goal, Pair, Pending, ProcessPair, process_spent
from setting import PTX, Setting, naive


def training(setting: Setting) -> Iterator[Pending]:
    """An epoch of convnet, its second, on the CPU."""
    data = setting.data().train
    archive = setting.folder / "training.npz"
    np.savez(archive, images=data.inputs["image"], labels=data.targets)
    ours = partial(_our_epoch, setting.folder / "training")
    for form, goal in (("slices", 0.75), ("loader", 0.40)):
        theirs = partial(_their_epoch, archive, form)
        yield Pair(f"an epoch of convnet, {len(data):,} rows", f"plain PyTorch, {form}", ours,
                   theirs, setting.effort.long_rounds, Goal(goal))  # fmt: skip


def exporting(setting: Setting) -> Iterator[Pending]:
    """An export with its proof, whole process."""
    output, checkpoint = setting.folder / "exported.onnx", setting.checkpoint("convnet")
    command = [PTX, "export", "convnet", "--checkpoint", checkpoint, "--output", output,
               "--workspace", setting.workspace]  # fmt: skip
    yield ProcessPair(
        "`ptx export convnet --format onnx`, proof included", "`torch.onnx.export`",
        process_spent(command), process_spent(naive("export", checkpoint, output)),
        setting.effort.long_rounds, Goal(1.2),
    )  # fmt: skip


def _our_epoch(workspace: Path) -> float:
    command = [PTX, "train", "convnet", "--epochs", "2", "--device", "cpu", "--data", "mnist",
               "--workspace", workspace]  # fmt: skip
    _output(command)
    last = (workspace / "convnet" / "metrics.csv").read_text().splitlines()[-1]
    return float(last.split(",")[5])


def _their_epoch(archive: Path, form: str) -> float:
    return float(_output(naive("training", archive, form, 2)))


def _output(command: list[object]) -> str:
    words = list(map(str, command))
    return subprocess.run(words, check=True, capture_output=True, text=True, env=OUTSIDE).stdout
