"""What the check works on: the device, trained models, their exported files."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from page import SkippedError
from PIL import Image

from ptx.export import export, read_model
from ptx.export.catalog_manifest import catalog_manifest
from ptx.export.formats import EXPORTERS
from ptx.export.tracing import trace
from ptx.infer import BackendError
from ptx.infer.artifact import zip_archive
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.artifact.formats import FORMATS as FILES
from ptx.infer.backends.ort.cpu import import_onnxruntime
from ptx.infer.backends.ort.cuda_libraries import require_cuda
from ptx.infer.external.spec import ModelSpec
from ptx.models import CATALOG, build
from ptx.models.checkpoint import Checkpoint, dumps, weights_digest
from ptx.trainers import Dataset, default_recipe, open_dataset, train

Paths = dict[str, Path]
FIRST = ("softmax-regression", "convnet", "lstm", "name-classifier")
ROWS = 2000  # that a model is prepared with
PTX = [sys.executable, "-c", "from ptx.cli import main; main()"]


@dataclass
class Setting:
    """Where everything stands."""

    folder: Path
    models: list[str]
    epochs: int  # of each model's training, at most
    source: str  # of the digits
    pool: ProcessPoolExecutor
    checkpoints: Paths = field(default_factory=dict)
    _exports: dict[str, Future[Paths]] = field(default_factory=dict)

    @property
    def device(self) -> str:
        """Of PyTorch: the accelerator, or what the check is rehearsed on."""
        return "cuda" if torch.cuda.is_available() else "cpu"

    @cached_property
    def runtime_device(self) -> str:
        """Of ONNX Runtime: likewise."""
        try:
            require_cuda(import_onnxruntime())
        except BackendError:
            return "cpu"
        return "cuda"

    def torch_device(self) -> str:
        """The device of PyTorch, for a row beside one of ONNX Runtime.

        Raises:
            SkippedError: they have different ones.
        """
        if self.device != self.runtime_device:
            raise SkippedError(
                f"PyTorch is on {self.device!r} here and ONNX Runtime on {self.runtime_device!r}"
            )
        return self.device

    @property
    def first_models(self) -> list[str]:
        """Those that are looked at before the others."""
        return [model for model in self.models if model in FIRST] or self.models

    def dataset(self, model: str) -> Dataset:
        default = CATALOG[model].data
        source = self.source if default == "mnist" else "bundled"
        return open_dataset(source, default=default, cache=self.folder)

    def trained(self, model: str, checkpoint: Path) -> None:
        """Keep a checkpoint, and begin to export it in another process."""
        self.checkpoints[model] = checkpoint
        self._exports[model] = self.pool.submit(export_all, model, checkpoint)

    def prepare(self, model: str) -> None:
        """Train a model for one epoch of some rows, where it has not been trained."""
        if model not in self._exports:
            whole, recipe = self.dataset(model), default_recipe(model, epochs=1)
            some = whole.train.take(np.arange(0, len(whole.train), -(-len(whole.train) // ROWS)))
            result = train(
                model,
                replace(whole, train=some),
                recipe,
                folder=self.folder / "prepared" / model,
                device=self.device,
            )
            self.trained(model, result.checkpoint)

    def paths(self, model: str) -> Paths:
        """A model's files by format, "checkpoint" among them; waits for the exports."""
        self.prepare(model)
        return {"checkpoint": self.checkpoints[model], **self._exports[model].result()}

    def untrained(self, model: str) -> Paths:
        """A model with its first weights, as a checkpoint and an ONNX file without a proof."""
        paths = {
            kind: self.folder / f"untrained-{model}{FILES[kind].suffix}"
            for kind in (CHECKPOINT, "onnx")
        }
        if not all(path.exists() for path in paths.values()):
            torch.manual_seed(0)
            network = build(model, dict(CATALOG[model].config)).eval()
            weights = network.state_dict()
            manifest = replace(
                catalog_manifest(model, ModelSpec()),
                training={},
                weights_sha256=weights_digest(weights),
            )
            content = EXPORTERS["onnx"].convert(trace(network, manifest.signature), opset=None)
            paths["onnx"].write_bytes(EXPORTERS["onnx"].embed_manifest(content, manifest.to_json()))
            checkpoint = zip_archive.embed_manifest(dumps(Checkpoint(weights)), manifest.to_json())
            paths[CHECKPOINT].write_bytes(checkpoint)
        return paths

    def image(self) -> Path:
        """The PNG file of a digit."""
        path = self.folder / "digit.png"
        if not path.exists():
            Image.fromarray(np.squeeze(self.dataset("convnet").test.inputs["image"][0])).save(path)
        return path


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
        for name in EXPORTERS
    }


def run_ptx(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """A verb in a process of its own."""
    return subprocess.run(
        [*PTX, *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
