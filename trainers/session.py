"""The state of a training run between its steps, and its checkpoint."""

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
from ptx.trainers.loop import Progress, Run, Totals, epoch_row, train_steps
from ptx.trainers.manifest import with_calibration
from ptx.trainers.processes import Group
from ptx.trainers.reached import reached_figures

PREVIOUS = "checkpoint.previous.pt"  # the checkpoint of the run before, beside that of this one


class Session:
    """A run, how far it has come, and where it is saved."""

    def __init__(
        self,
        run: Run,
        manifest: Manifest,
        path: Path,
        device: str,
        samples: dict[str, torch.Tensor],
        examples: list[RawInput],
    ) -> None:
        self.run, self.manifest, self.path, self.device = run, manifest, path, device
        self.samples, self.examples = samples, examples  # of the test rows: for the proof at export
        self.epoch = 1  # the one that is being trained
        self.step = 0  # done in it
        self.totals = Totals.zero(device)
        self.history: list[dict[str, float]] = []
        self.former: bytes | None = None  # the checkpoint of the run before, kept by the first save

    def train(self, progress: Progress, interruption: Interruption) -> None:
        """Train the epochs that are left; save after each, and when interrupted.

        Raises:
            PtxError: `E-DIVERGED`; what was saved before is kept.
            OutputError: the checkpoint cannot be written; likewise.
        """
        while self.epoch <= self.run.recipe.epochs:
            if self._train_epoch(progress, interruption):
                return

    def _train_epoch(self, progress: Progress, interruption: Interruption) -> bool:
        """True where the epoch was interrupted."""
        rows = len(self.run.train)
        started, done_before = time.perf_counter(), self.totals.rows
        progress.epoch_begins(self.epoch, self.run.recipe.epochs, rows, done_before)
        alone = self.run.group.size == 1
        for step in train_steps(self.run, self.epoch, self.step, self.totals, interruption):
            self.step = step
            progress.step_done(self.totals.rows, self.totals)
            stop = bool(interruption) if alone else self.totals.stop
            if stop and self.totals.rows < rows:
                self._require_finite([float(self.totals.loss)])
                self.save()
                return True
        row = epoch_row(self.run, self.epoch, self.totals, started, rows - done_before)
        self._require_finite(row.values())
        self.history.append(row)
        self.epoch, self.step, self.totals = self.epoch + 1, 0, Totals.zero(self.device)
        self.save()
        progress.epoch_ends(row)
        return self.run.group.agree(bool(interruption))

    def share(self, group: Group) -> None:
        """Train with these processes; the others draw dropout of their own."""
        if group.size == 1:
            return
        if group.rank:
            torch.manual_seed(hash((self.run.seed, group.rank, self.epoch, self.step)) % 2**63)
        parallel = group.wrap(self.run.network)
        self.run = replace(self.run, group=group, parallel=parallel)

    def save(self) -> None:
        """Write the checkpoint with its manifest, whole or not at all; of several processes the
        first.
        """
        if self.run.group.rank:
            return
        if self.former is not None:
            write_atomic(self.path.with_name(PREVIOUS), self.former)
            self.former = None
        weights = self.run.network.state_dict()
        checkpoint = Checkpoint(
            weights=weights,
            optimizer=self.run.optimizer.state_dict(),
            progress={"epoch": self.epoch, "step": self.step, "totals": self.totals.to_data()},
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
                **self._reached_figures(),
            },
        )
        if self.epoch > self.run.recipe.epochs:
            manifest = with_calibration(manifest, self.run)
        write_atomic(
            self.path, zip_archive.embed_manifest(checkpoints.dumps(checkpoint), manifest.to_json())
        )

    def _reached_figures(self) -> dict[str, Any]:
        """The manifest's record of the test rows; in the midst of an epoch the weights have none."""
        if self.step or not self.history:
            return {}
        return {"test": reached_figures(self.manifest, self.history[-1], len(self.run.test))}

    def _require_finite(self, figures: Iterable[float]) -> None:
        weights = self.run.network.state_dict().values()
        if not all(map(math.isfinite, figures)) or not all(w.isfinite().all() for w in weights):
            raise PtxError(
                f"the training diverged in epoch {self.epoch}: a loss or a weight is not finite;"
                f" use a learning rate below {self.run.recipe.lr:g}",
                code="E-DIVERGED",
            )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint, as if there had been no interruption."""
        checkpoints.load_weights(self.run.network, checkpoint.weights)
        self.run.optimizer.load_state_dict(checkpoint.optimizer)
        self.epoch, self.step = checkpoint.progress["epoch"], checkpoint.progress["step"]
        self.totals.restore(checkpoint.progress["totals"])
        self.history = list(checkpoint.history)
        _restore_random(checkpoint.random, self.device)


def _random_states(device: str) -> dict[str, torch.Tensor]:
    states = {"cpu": torch.get_rng_state()}
    kind, _, index = device.partition(":")
    if kind != "cpu":
        # Without an index it is the current device; MPS, which has one device, takes none.
        states[kind] = torch.get_device_module(kind).get_rng_state(*([device] if index else []))
    return states


def _restore_random(states: Mapping[str, torch.Tensor], device: str) -> None:
    torch.set_rng_state(states["cpu"])
    kind, _, index = device.partition(":")
    if kind != "cpu" and kind in states:  # else the run changes its device: not bit for bit
        torch.get_device_module(kind).set_rng_state(states[kind], *([device] if index else []))
