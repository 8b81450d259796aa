"""The state of a training run between its steps, and how it is saved and restored."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ptx.infer.artifact import zip_archive
from ptx.infer.artifact.files import write_atomic
from ptx.infer.artifact.golden import RawInput
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.backends.pytorch.precision import read_precision
from ptx.infer.errors import PtxError
from ptx.models import checkpoint as checkpoints
from ptx.models.checkpoint import Checkpoint
from ptx.trainers.interruption import Interruption
from ptx.trainers.loop import (
    RunningMetrics,
    TrainingProgress,
    TrainingSetup,
    epoch_row,
    train_steps,
)
from ptx.trainers.manifest import with_calibration
from ptx.trainers.processes import Group
from ptx.trainers.recorded_metrics import final_test_metrics

PREVIOUS = "checkpoint.previous.pt"  # the checkpoint of the previous run, next to the current one


class Trainer:
    """A training run, its progress and its checkpoint file."""

    def __init__(
        self,
        setup: TrainingSetup,
        manifest: Manifest,
        path: Path,
        device: str,
        samples: dict[str, torch.Tensor],
        examples: list[RawInput],
    ) -> None:
        self.setup, self.manifest, self.path, self.device = setup, manifest, path, device
        # Test rows, with which an export is verified.
        self.samples, self.examples = samples, examples
        self.epoch = 1  # the current epoch
        self.step = 0  # number of steps done in it
        self.metrics = RunningMetrics.zero(device)
        self.history: list[dict[str, float]] = []
        # The checkpoint of the previous run, which the first save writes to PREVIOUS.
        self.previous: bytes | None = None

    def train(self, progress: TrainingProgress, interruption: Interruption) -> None:
        """Train the remaining epochs; save after each one and when interrupted.

        Raises:
            PtxError: `E-DIVERGED`; the last saved checkpoint is kept.
            OutputError: the checkpoint cannot be written; the last one is kept.
        """
        while self.epoch <= self.setup.recipe.epochs:
            if self._train_epoch(progress, interruption):
                return

    def _train_epoch(self, progress: TrainingProgress, interruption: Interruption) -> bool:
        """Train the current epoch; True if the run was interrupted."""
        rows = len(self.setup.train)
        started, done_before = time.perf_counter(), self.metrics.rows
        progress.epoch_begins(self.epoch, self.setup.recipe.epochs, rows, done_before)
        single = self.setup.group.size == 1
        for step in train_steps(self.setup, self.epoch, self.step, self.metrics, interruption):
            self.step = step
            progress.step_done(self.metrics.rows, self.metrics)
            stop = bool(interruption) if single else self.metrics.stop
            if stop and self.metrics.rows < rows:
                self._require_finite([float(self.metrics.loss)])
                self.save()
                return True
        row = epoch_row(self.setup, self.epoch, self.metrics, started, rows - done_before)
        self._require_finite(row.values())
        self.history.append(row)
        self.epoch, self.step, self.metrics = self.epoch + 1, 0, RunningMetrics.zero(self.device)
        self.save()
        progress.epoch_ends(row)
        return self.setup.group.any_rank(bool(interruption))

    def distribute(self, group: Group) -> None:
        """Train with these processes; each rank gets its own random dropout masks."""
        if group.size == 1:
            return
        if group.rank:
            torch.manual_seed(hash((self.setup.seed, group.rank, self.epoch, self.step)) % 2**63)
        parallel = group.wrap(self.setup.network)
        self.setup = replace(self.setup, group=group, parallel=parallel)

    def save(self) -> None:
        """Write the checkpoint with its manifest, atomically; of several processes, rank 0 writes."""
        if self.setup.group.rank:
            return
        if self.previous is not None:
            write_atomic(self.path.with_name(PREVIOUS), self.previous)
            self.previous = None
        weights = self.setup.network.state_dict()
        checkpoint = Checkpoint(
            weights=weights,
            optimizer=self.setup.optimizer.state_dict(),
            progress={"epoch": self.epoch, "step": self.step, "metrics": self.metrics.to_data()},
            random=_random_states(self.device),
            history=self.history,
            samples=self.samples,
            examples=list(self.examples),
        )
        last = self.history[-1] if self.history else {}
        manifest = replace(
            self.manifest,
            weights_sha256=checkpoints.weights_digest(weights),
            training={
                **self.manifest.training,
                "device": self.device,
                "precision": read_precision(self.device),
                "epochs": self.epoch - 1,
                "metrics": {
                    name: last[name] for name in last if name.startswith(("train", "test"))
                },
                **self._test_metrics(),
            },
        )
        if self.epoch > self.setup.recipe.epochs:
            manifest = with_calibration(manifest, self.setup)
        write_atomic(
            self.path, zip_archive.embed_manifest(checkpoints.dumps(checkpoint), manifest.to_json())
        )

    def _test_metrics(self) -> dict[str, Any]:
        """The test metrics for the manifest; empty in the middle of an epoch, as none are measured."""
        if self.step or not self.history:
            return {}
        return {"test": final_test_metrics(self.manifest, self.history[-1], len(self.setup.test))}

    def _require_finite(self, losses: Iterable[float]) -> None:
        weights = self.setup.network.state_dict().values()
        if not all(map(math.isfinite, losses)) or not all(w.isfinite().all() for w in weights):
            raise PtxError(
                f"the training diverged in epoch {self.epoch}: a loss or a weight is not finite;"
                f" use a learning rate below {self.setup.recipe.lr:g}",
                code="E-DIVERGED",
            )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint as if the run had not been interrupted."""
        checkpoints.load_weights(self.setup.network, checkpoint.weights)
        self.setup.optimizer.load_state_dict(checkpoint.optimizer)
        self.epoch, self.step = checkpoint.progress["epoch"], checkpoint.progress["step"]
        self.metrics.restore(checkpoint.progress["metrics"])
        self.history = list(checkpoint.history)
        _restore_random(checkpoint.random, self.device)


def _random_states(device: str) -> dict[str, torch.Tensor]:
    states = {"cpu": torch.get_rng_state()}
    kind, _, index = device.partition(":")
    if kind != "cpu":
        # Without an index it is the current device; MPS has one device and takes no index.
        states[kind] = torch.get_device_module(kind).get_rng_state(*([device] if index else []))
    return states


def _restore_random(states: Mapping[str, torch.Tensor], device: str) -> None:
    torch.set_rng_state(states["cpu"])
    kind, _, index = device.partition(":")
    # If the device has changed, the run cannot be bit-identical anyway.
    if kind != "cpu" and kind in states:
        torch.get_device_module(kind).set_rng_state(states[kind], *([device] if index else []))
