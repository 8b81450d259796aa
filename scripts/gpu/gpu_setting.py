"""What the check works on: the device, trained models, their exported files."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import torch

from ptx.export import FORMATS, export, read_model
from ptx.infer.artifact.formats import FORMATS as FILES
from ptx.models import CATALOG
from ptx.trainers import Dataset, open_dataset

Paths = dict[str, Path]
PTX = [sys.executable, "-c", "from ptx.cli import main; main()"]


@dataclass
class Setting:
    """Where everything stands."""

    folder: Path
    models: list[str]
    epochs: int  # of each model's training, at most
    source: str  # of the digits
    files: int  # pictures in the folder
    pool: ProcessPoolExecutor
    checkpoints: Paths = field(default_factory=dict)
    _exports: dict[str, Future[Paths]] = field(default_factory=dict)

    @property
    def device(self) -> str:
        """The accelerator, or what the check is rehearsed on."""
        return "cuda" if torch.cuda.is_available() else "cpu"

    def dataset(self, model: str) -> Dataset:
        default = CATALOG[model].data
        source = self.source if default == "mnist" else "bundled"
        return open_dataset(source, default=default, cache=self.folder)

    def trained(self, model: str, checkpoint: Path) -> None:
        """Keep a checkpoint, and begin to export it in another process."""
        self.checkpoints[model] = checkpoint
        self._exports[model] = self.pool.submit(export_all, model, checkpoint)

    def paths(self, model: str) -> Paths:
        """A model's files by format, "checkpoint" among them; waits for the exports."""
        if model not in self._exports:
            raise LookupError(f"{model} was not trained")
        return {"checkpoint": self.checkpoints[model], **self._exports[model].result()}


def make_pool() -> ProcessPoolExecutor:
    """Processes for the exports, which work on the CPU; the check keeps two processors for itself."""
    count = max(1, min(8, (os.cpu_count() or 1) - 2))
    return ProcessPoolExecutor(count, get_context("spawn"), _one_thread)


def _one_thread() -> None:
    torch.set_num_threads(1)


def export_all(model: str, checkpoint: Path) -> Paths:
    """Every format, proved on the CPU."""
    trained = read_model(checkpoint)
    return {
        name: export(trained, name, checkpoint.parent / f"{model}{FILES[name].suffix}").path
        for name in FORMATS
    }


def run_ptx(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """A verb in a process of its own."""
    return subprocess.run(
        [*PTX, *map(str, arguments)], env=os.environ | environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
