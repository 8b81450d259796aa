"""Training a model of the catalog: data, network, loop, checkpoint."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from signal import Signals
from typing import Any

import numpy as np
import torch

from ptx.infer import zip_archive
from ptx.infer.artifact import read_artifact
from ptx.infer.backends.torch_device import find_device
from ptx.infer.card import Card
from ptx.infer.errors import ArtifactError, InputError, UsageError, quoted
from ptx.infer.files import check_writable, write_atomic
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.signature import Signature
from ptx.models import Entry, build
from ptx.models import checkpoint as checkpoints
from ptx.models.checkpoint import Checkpoint
from ptx.trainers.data import Dataset
from ptx.trainers.feed import Feed
from ptx.trainers.history import write_metrics, write_plot
from ptx.trainers.interruption import Interruption, deferred_interruption
from ptx.trainers.loop import Progress, Run, Totals, epoch_row, make_optimizer, train_steps
from ptx.trainers.recipe import Recipe, find_entry

SAMPLES = 64  # real test inputs that a checkpoint carries, for the proof at export

PREPROCESSINGS = {"image": "image", "columns": "columns", "text": "text", "sequence": "symbols"}


@dataclass(frozen=True)
class TrainingResult:
    """What a training run left behind."""

    checkpoint: Path
    history: list[dict[str, float]]  # a row for each whole epoch, as in `metrics.csv`
    interrupted: Signals | None  # the signal that ended it early


class _Silent:
    """A progress that tells nobody."""

    def epoch_begins(self, epoch: int, epochs: int, rows: int, done: int) -> None: ...
    def step_done(self, rows: int, totals: Totals) -> None: ...
    def epoch_ends(self, row: dict[str, float]) -> None: ...


def train(
    model: str,
    dataset: Dataset,
    recipe: Recipe,
    *,
    folder: Path,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train a model of the catalog and write `checkpoint.pt`, `metrics.csv` and `training.png`.

    `folder`: where they are written; it is made where it is missing. `seed`: of the first weights, the
    order of the rows and the dropout. `resume`: go on from the folder's checkpoint; the result is what
    a run without the interruption would have given, bit for bit on the CPU.

    Ctrl-C and SIGTERM end the run after the step at hand, with everything saved.

    Raises:
        UsageError: no such model, or one that does not fit the data.
        BackendError: no such device here.
        OutputError: the folder cannot be written; found out before the training.
        ArtifactError: there is no checkpoint to resume, or it belongs to another run.
    """
    device = find_device(device)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "checkpoint.pt"
    check_writable(path)
    card = make_card(model, dataset, recipe, seed)
    before = _read_before(path, card) if resume else None
    run = _make_run(card, dataset, recipe, seed, device)
    session = _Session(run, card, path, device, _samples(card, dataset))
    if before is not None:
        session.restore(before)
    with deferred_interruption() as interruption:
        session.train(progress or _Silent(), interruption)
    write_metrics(folder / "metrics.csv", session.history)
    if session.history:
        write_plot(folder / "training.png", session.history, f"{model} on {dataset.name}")
    return TrainingResult(path, session.history, interruption.signal)


def make_card(model: str, dataset: Dataset, recipe: Recipe, seed: int) -> Card:
    """The card of a model that is to be trained on this data: labels and sizes follow the data.

    Raises:
        UsageError: no such model, or data of another kind.
    """
    entry = find_entry(model)
    if PREPROCESSINGS[dataset.kind] != entry.preprocessing["kind"]:
        raise UsageError(
            f"{model} takes {entry.preprocessing['kind']} inputs; {dataset.name} holds {dataset.kind}"
        )
    config, signature = _sized(entry, dataset)
    preprocessing = dict(entry.preprocessing)
    if recipe.standardise:
        columns = dataset.train.inputs["columns"].astype(np.float64)
        preprocessing["mean"] = columns.mean(axis=0).tolist()
        preprocessing["std"] = np.maximum(columns.std(axis=0), 1e-12).tolist()
    if dataset.fit is not None:
        preprocessing["fit"] = dataset.fit
    return Card(
        model=model,
        task=entry.task,
        signature=signature,
        preprocessing=preprocessing,
        labels=dataset.labels,
        config=config,
        training={
            "data": {
                "name": dataset.name,
                "source": dataset.source,
                "sha256": dataset.sha256,
                "rows": len(dataset.train),
                "test_rows": len(dataset.test),
            },
            "recipe": recipe.to_data(),
            "seed": seed,
        },
        versions={"ptx": importlib.metadata.version("ptx"), "torch": torch.__version__},
    )


def _sized(entry: Entry, dataset: Dataset) -> tuple[dict[str, Any], Signature]:
    """The network's configuration and signature for as many classes as the data has."""
    config, data = dict(entry.config), dict(entry.signature)
    if entry.task == "classification" and len(dataset.labels) != len(entry.labels):
        config["classes"] = len(dataset.labels)
        (name, (dtype, axes)), *_ = entry.signature["outputs"].items()
        data["outputs"] = {name: [dtype, [*axes[:-1], len(dataset.labels)]]}
    expected = {"regression": 0, "binary": 2, "tagging": len(entry.labels)}.get(entry.task)
    if expected is not None and len(dataset.labels) != expected:
        raise InputError(
            f"{dataset.name} has {len(dataset.labels)} classes; a model for {entry.task} takes"
            f" {expected}",
            code="E-DATA",
        )
    return config, Signature.from_data(data)


def _make_run(card: Card, dataset: Dataset, recipe: Recipe, seed: int, device: str) -> Run:
    torch.manual_seed(seed)
    preprocessing = open_preprocessing(card.preprocessing, card.signature)
    network = build(card.model, card.config).to(device)
    return Run(
        network=network,
        optimizer=make_optimizer(network, recipe),
        recipe=recipe,
        train=Feed(dataset.train, preprocessing, device),
        test=Feed(dataset.test, preprocessing, device),
        output=card.signature.outputs[0],
        seed=seed,
    )


def _samples(card: Card, dataset: Dataset) -> dict[str, torch.Tensor]:
    """The first test rows as model inputs, by input name."""
    preprocessing = open_preprocessing(card.preprocessing, card.signature)
    feed = Feed(dataset.test, preprocessing, "cpu")
    inputs, _ = feed.batch(torch.arange(min(SAMPLES, len(feed))))
    return {
        spec.name: tensor.contiguous()
        for spec, tensor in zip(card.signature.inputs, inputs, strict=True)
    }


def _read_before(path: Path, card: Card) -> Checkpoint:
    """The checkpoint to go on from, once it is known to be of the same run."""
    if not path.exists():
        raise ArtifactError(
            f"{quoted(path)}: there is no checkpoint to resume; train without --resume first",
            code="E-IN-MISSING",
        )
    artifact = read_artifact(path)
    found = artifact.require_card()
    for what, got, expected in (
        ("model", found.model, card.model),
        ("data", found.training["data"]["sha256"], card.training["data"]["sha256"]),
        ("seed", found.training["seed"], card.training["seed"]),
        (
            "recipe",
            _without_epochs(found.training["recipe"]),
            _without_epochs(card.training["recipe"]),
        ),
    ):
        if got != expected:
            raise ArtifactError(
                f"{quoted(path)} was trained with {what} {got}, and this run has {expected}: give the"
                " same, or train anew without --resume",
                code="E-RESUME",
            )
    return checkpoints.loads(artifact.data)


def _without_epochs(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A run may be resumed with more epochs."""
    return {name: value for name, value in recipe.items() if name != "epochs"}


class _Session:
    """The state of a run between its steps, and its checkpoint."""

    def __init__(
        self, run: Run, card: Card, path: Path, device: str, samples: dict[str, torch.Tensor]
    ) -> None:
        self.run, self.card, self.path, self.device, self.samples = run, card, path, device, samples
        self.epoch = 1  # the one that is being trained
        self.step = 0  # done in it
        self.totals = Totals.zero(device)
        self.history: list[dict[str, float]] = []

    def train(self, progress: Progress, interruption: Interruption) -> None:
        """Train the epochs that are left; save after each, and when interrupted."""
        while self.epoch <= self.run.recipe.epochs:
            if self._train_epoch(progress, interruption):
                self.save()
                return

    def _train_epoch(self, progress: Progress, interruption: Interruption) -> bool:
        """True where the epoch was interrupted."""
        rows = len(self.run.train)
        started, done_before = time.perf_counter(), self.totals.rows
        progress.epoch_begins(self.epoch, self.run.recipe.epochs, rows, done_before)
        for step in train_steps(self.run, self.epoch, self.step, self.totals):
            self.step = step
            progress.step_done(self.totals.rows, self.totals)
            if interruption and self.totals.rows < rows:
                return True
        row = epoch_row(self.run, self.epoch, self.totals, started, rows - done_before)
        self.history.append(row)
        self.epoch, self.step, self.totals = self.epoch + 1, 0, Totals.zero(self.device)
        self.save()
        progress.epoch_ends(row)
        return bool(interruption)

    def save(self) -> None:
        """Write the checkpoint with its card, whole or not at all."""
        weights = self.run.network.state_dict()
        checkpoint = Checkpoint(
            weights=weights,
            optimizer=self.run.optimizer.state_dict(),
            progress={"epoch": self.epoch, "step": self.step, "totals": self.totals.to_data()},
            random=_random_states(self.device),
            history=self.history,
            samples=self.samples,
        )
        last = self.history[-1] if self.history else {}
        card = replace(
            self.card,
            weights_sha256=checkpoints.weights_digest(weights),
            training={
                **self.card.training,
                "device": self.device,
                "epochs": self.epoch - 1,
                "metrics": {
                    name: last[name] for name in last if name.startswith(("train", "test"))
                },
            },
        )
        write_atomic(self.path, zip_archive.attach(checkpoints.dumps(checkpoint), card.to_json()))

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
    kind = device.partition(":")[0]
    if kind != "cpu":
        states[kind] = torch.get_device_module(kind).get_rng_state()
    return states


def _restore_random(states: Mapping[str, torch.Tensor], device: str) -> None:
    torch.set_rng_state(states["cpu"])
    kind = device.partition(":")[0]
    if kind != "cpu" and kind in states:  # else the run changes its device: not bit for bit
        torch.get_device_module(kind).set_rng_state(states[kind])
