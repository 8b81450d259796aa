"""What the benchmark works on: trained and exported models, folders of pictures; made once, kept."""

from __future__ import annotations

import compileall
import csv
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from pairing import run_outside
from PIL import Image

from ptx.trainers.data import Dataset, open_dataset

MODELS = ("convnet", "lstm", "mlp")
HERE = Path(__file__).parent
PTX = Path(sysconfig.get_path("scripts")) / "ptx"


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int  # of the short rows
    long_rounds: int  # of the rows of seconds
    laps: int  # calls of one round, for one prediction
    files: int  # pictures in the folder
    photographs: int  # of 12 megapixels
    rows: int  # of the table


FULL = Effort(rounds=9, long_rounds=3, laps=2000, files=10_000, photographs=200, rows=70_000)
QUICK = Effort(rounds=2, long_rounds=1, laps=300, files=500, photographs=10, rows=2000)


@dataclass(frozen=True)
class Setting:
    """Where everything stands, and how much of it is measured."""

    folder: Path
    effort: Effort

    @property
    def workspace(self) -> Path:
        """Holds MODELS, trained and exported."""
        return self.folder / "runs"

    def model(self, name: str, suffix: str) -> Path:
        return self.workspace / name / f"{name}{suffix}"

    def checkpoint(self, name: str) -> Path:
        return self.workspace / name / "checkpoint.pt"

    def data(self) -> Dataset:
        """Whole MNIST: under PTX_DATA, or downloaded."""
        return open_dataset("mnist", default="mnist", cache=self.folder)


def ptx(*arguments: object) -> None:
    """A verb, quietly."""
    subprocess.run([str(PTX), *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def train_epochs(workspace: Path, *options: object) -> list[dict[str, str]]:
    """Train the ConvNet on MNIST; what `metrics.csv` says of each epoch."""
    command = [PTX, "train", "convnet", "--data", "mnist", "--workspace", workspace, *options]
    run_outside(command)
    with (workspace / "convnet" / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def prepare(setting: Setting) -> None:
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
    """The folder of digits as PNG files, in a folder of its own."""
    count = setting.effort.files
    folder = setting.folder / f"digits-{count}" / "pictures"
    if not folder.exists():
        with whole(folder) as part:
            pixels = setting.data().test.inputs["image"]
            for number in range(count):
                Image.fromarray(pixels[number % len(pixels)]).save(part / f"{number:05}.png")
    return folder


def photographs(setting: Setting) -> Path:
    """The folder of JPEG files of 4000 × 3000, a digit on grainy paper."""
    count = setting.effort.photographs
    folder = setting.folder / f"photographs-{count}"
    if not folder.exists():
        with whole(folder) as part:
            paper = np.random.default_rng(0).integers(200, 216, (3000, 4000, 3), np.uint8)
            pixels = setting.data().test.inputs["image"]
            for number in range(count):
                digit = Image.fromarray(pixels[number % len(pixels)]).resize((2400, 2400))
                ink = np.asarray(digit.point([value * 7 // 10 for value in range(256)]))
                photograph = paper.copy()
                photograph[300:2700, 800:3200] -= ink[..., np.newaxis]
                Image.fromarray(photograph).save(part / f"{number:05}.jpg", quality=90)
    return folder


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name when it is full: a run that was stopped leaves no half."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    part.rename(folder)


def program(name: str, *arguments: object) -> list[object]:
    """The command of a program of this folder."""
    return [sys.executable, HERE / f"{name}.py", *arguments]


def naive(name: str, *arguments: object) -> list[object]:
    """The command of a reference program."""
    return program(f"naive/{name}", *arguments)
