"""Where the verbs run: a folder with pictures, a workspace and two trainings that were left alone."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from verb import run

SUFFIXES = {"torchscript": ".torchscript", "onnx": ".onnx", "pt2": ".pt2"}
PICTURES = 24  # of each of two classes


@dataclass
class Place:
    """A folder with pictures, a workspace, and what the verbs are called with."""

    root: Path

    @property
    def workspace(self) -> Path:
        return self.root / "runs"

    @property
    def model(self) -> Path:
        return self.workspace / "convnet"

    @property
    def checkpoints(self) -> list[Path]:
        """Of two runs that were left alone."""
        return [self.root / name / "convnet" / "checkpoint.pt" for name in ("whole", "other")]

    @property
    def answers(self) -> Path:
        return self.root / "out" / "answers.jsonl"

    def train(self, *more: str, workspace: Path | None = None) -> list[str]:
        return ["train", "convnet", "--data", str(self.root / "data"), "--epochs", "6",
                "--batch-size", "8", "--device", "cpu", *more,
                "--workspace", str(workspace or self.workspace)]  # fmt: skip

    def export(self, form: str, checkpoint: Path) -> list[str]:
        target = self.model / f"convnet{SUFFIXES[form]}"
        return ["export", "convnet", "--format", form, "--checkpoint", str(checkpoint),
                "--output", str(target), "--workspace", str(self.workspace)]  # fmt: skip

    def predict(self) -> list[str]:
        return ["predict", str(self.root / "data"), "--model", str(self.root / "model.onnx"),
                "--backend", "ort-cpu", "--output", str(self.answers)]  # fmt: skip


def prepare(place: Place, seed: int) -> None:
    """Import what the verbs need, and draw two classes of pictures."""
    import numpy as np
    import torch
    from PIL import Image

    torch.set_num_threads(1)
    import matplotlib.figure
    import onnx
    import onnxruntime
    import onnxscript

    import ptx.cli.verbs.evaluate
    import ptx.cli.verbs.export
    import ptx.cli.verbs.predict
    import ptx.cli.verbs.train
    import ptx.export
    import ptx.trainers

    verbs = ptx.cli.verbs
    imported = (matplotlib.figure, onnx, onnxruntime, onnxscript, verbs.evaluate, verbs.export,
                verbs.predict, verbs.train, ptx.export, ptx.trainers)  # fmt: skip
    assert all(imported)
    noise = np.random.default_rng(seed)
    for label, columns in (("left", slice(4, 10)), ("right", slice(18, 24))):
        (place.root / "data" / label).mkdir(parents=True)
        for index in range(PICTURES):
            pixels = noise.integers(0, 99, (28, 28)).astype(np.uint8)
            pixels[4:24, columns] = 255
            Image.fromarray(pixels).save(place.root / "data" / label / f"{index}.png")
    run(place.train(workspace=place.root / "whole"))
    run(place.train("--seed", "1", workspace=place.root / "other"))
    place.model.mkdir(parents=True)
    place.answers.parent.mkdir()
    run(place.export("onnx", place.checkpoints[0]))
    shutil.move(place.model / "convnet.onnx", place.root / "model.onnx")
