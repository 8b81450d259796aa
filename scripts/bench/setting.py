"""What the benchmark works on: trained and exported models, folders of pictures; made once, kept."""

from __future__ import annotations

import compileall
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from ptx.trainers.data import Dataset, open_dataset

MODELS = ("convnet", "lstm", "mlp")
NAIVE = Path(__file__).parent / "naive"
PTX = Path(sysconfig.get_path("scripts")) / "ptx"


@dataclass(frozen=True)
class Setting:
    """Where everything stands, and how much of it is measured."""

    folder: Path
    rounds: int
    files: int  # pictures in the folder
    photographs: int  # of 12 megapixels

    @property
    def workspace(self) -> Path:
        """Holds MODELS, trained and exported."""
        return self.folder / "runs"

    def model(self, name: str, suffix: str) -> Path:
        """An artifact."""
        return self.workspace / name / f"{name}{suffix}"

    def checkpoint(self, name: str) -> Path:
        """A checkpoint."""
        return self.workspace / name / "checkpoint.pt"

    def data(self) -> Dataset:
        """Whole MNIST: under PTX_DATA, or downloaded."""
        return open_dataset("mnist", default="mnist", cache=self.folder)


def ptx(*arguments: object) -> None:
    """A verb, quietly."""
    subprocess.run([str(PTX), *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def prepare(setting: Setting) -> None:
    """Make what is missing."""
    for package in ("infer", "models", "trainers", "export", "cli"):
        # As pip does for what it installs; an editable checkout may never have been compiled.
        spec = find_spec(f"ptx.{package}")
        assert spec is not None
        for folder in spec.submodule_search_locations or ():
            compileall.compile_dir(folder, quiet=1)
    for name in MODELS:
        options = ("--workspace", setting.workspace)
        if not setting.checkpoint(name).exists():
            ptx("train", name, "--epochs", 1, "--data", "bundled", *options)
        for kind, suffix in (("onnx", ".onnx"), ("torchscript", ".torchscript")):
            if not setting.model(name, suffix).exists():
                ptx("export", name, "--format", kind, *options)
    pictures(setting)


def pictures(setting: Setting) -> Path:
    """The folder of `setting.files` digits as PNG files, in a folder of its own."""
    folder = setting.folder / f"digits-{setting.files}" / "pictures"
    if not folder.exists():
        folder.mkdir(parents=True)
        pixels = setting.data().test.inputs["image"]
        for number in range(setting.files):
            Image.fromarray(pixels[number % len(pixels)]).save(folder / f"{number:05}.png")
    return folder


def photographs(setting: Setting) -> Path:
    """The folder of `setting.photographs` JPEG files of 4000 × 3000: a digit on grainy paper."""
    folder = setting.folder / f"photographs-{setting.photographs}"
    if not folder.exists():
        folder.mkdir(parents=True)
        random = np.random.default_rng(0)
        pixels = setting.data().test.inputs["image"]
        for number in range(setting.photographs):
            digit = Image.fromarray(pixels[number % len(pixels)]).resize((2400, 2400))
            paper = random.integers(200, 216, (3000, 4000, 3), np.uint8)
            paper[300:2700, 800:3200] -= (np.asarray(digit)[..., None] * 0.7).astype(np.uint8)
            Image.fromarray(paper).save(folder / f"{number:05}.jpg", quality=90)
    return folder


def naive(name: str, *arguments: object) -> list[object]:
    """The command of a reference program."""
    return [sys.executable, NAIVE / f"{name}.py", *arguments]
