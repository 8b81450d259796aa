"""Training a model of the catalog: data, network, loop, checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any

import torch
from torch import nn

from ptx.infer.artifact.artifact import SIZE_LIMIT, read_artifact
from ptx.infer.artifact.files import check_writable, make_folder, read_bytes
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.backends.pytorch.device import find_device, mapping_load_errors, use_channels_last
from ptx.infer.backends.pytorch.failures import map_device_failure
from ptx.infer.errors import ArtifactError, quote
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.ranges import SEED
from ptx.models import build
from ptx.models import checkpoint as checkpoints
from ptx.models.checkpoint import Checkpoint
from ptx.trainers.batches import Feed, as_read
from ptx.trainers.data import Dataset
from ptx.trainers.folder_lock import lock_folder
from ptx.trainers.history import write_metrics, write_plot
from ptx.trainers.interruption import deferred_interruption
from ptx.trainers.loop import Progress, Run, Totals, make_optimizer
from ptx.trainers.manifest import make_manifest
from ptx.trainers.processes import joined, own_device, rank, restarts
from ptx.trainers.recipe import Recipe
from ptx.trainers.samples import raw_examples, sample_inputs
from ptx.trainers.session import PREVIOUS, Session


@dataclass(frozen=True)
class TrainingResult:
    """What a training run left behind.

    Attributes:
        history: A row for each whole epoch, as in `metrics.csv`.
        interrupted: The signal that ended it early.
        trained: Epochs, whole or in part, that this call trained.
    """

    checkpoint: Path
    history: list[dict[str, float]]
    interrupted: Signals | None
    trained: int


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

    Ctrl-C and SIGTERM end the run after the step at hand, with everything saved. Under torchrun, or as
    `torchrun -m ptx.cli train`, each process takes its share of every batch and the first one writes.

    Args:
        folder: Where they are written; it is made where it is missing.
        seed: Of the first weights, the order of the rows and the dropout.
        resume: Go on from the folder's checkpoint; the result is what a run without the
            interruption would have given, bit for bit on the CPU. Without it a checkpoint that is
            there is kept as `checkpoint.previous.pt` when the first of this run is written. Under
            torchrun, which starts ended processes again in the same way, there may be none yet.

    Raises:
        UsageError: no such model or device, or a model that does not fit the data.
        BackendError: no such device here.
        InputError: data that cannot be trained on.
        OutputError: the folder cannot be written, found out before the training where it can be; or
            (`E-BUSY`) another process is training into it.
        ArtifactError: there is no checkpoint to resume, or it belongs to another run.
        LimitError: the device ran out of memory.
        BackendError: the device failed.
        PtxError: `E-DIVERGED`: a loss or a weight is no longer finite.
    """
    SEED.check("the seed", seed)
    device = own_device(find_device(device))
    manifest = make_manifest(model, dataset, recipe, seed)
    path, metrics, plot = (
        folder / name for name in ("checkpoint.pt", "metrics.csv", "training.png")
    )
    resume = resume and (path.exists() or not restarts())
    if not resume:
        make_folder(folder)
    with lock_folder(folder, "training") if rank() == 0 else nullcontext():
        before = _read_before(path, manifest) if resume else None
        for file in (path, metrics, plot, folder / PREVIOUS):
            check_writable(file)
        with (
            _mapping_device_failures(device),
            _without_denormals(),
            deferred_interruption() as interruption,
            joined(device) as group,
        ):
            run = _make_run(manifest, dataset, recipe, seed, device)
            session = Session(
                run,
                manifest,
                path,
                device,
                sample_inputs(manifest, dataset),
                raw_examples(manifest, dataset),
            )
            if before is not None:
                session.restore(before)
            elif former_training(path) is not None and group.rank == 0:
                session.former = read_bytes(path, limit=SIZE_LIMIT, error=ArtifactError)
            session.share(group)
            done = len(session.history)
            session.train(progress or _Silent(), interruption)
        if group.rank == 0:
            write_metrics(metrics, session.history)
            if session.history:
                write_plot(plot, session.history, f"{model} on {dataset.name}")
    trained = len(session.history) - done + bool(session.step)
    return TrainingResult(path, session.history, interruption.signal, trained)


def former_training(path: Path) -> dict[str, Any] | None:
    """What a checkpoint that stands there says of its training; None where it holds no whole epoch."""
    if not path.is_file():
        return None
    try:
        manifest = read_artifact(path).manifest
    except ArtifactError:
        return {}  # whatever it is, it is not ours to throw away
    training = {} if manifest is None else manifest.training
    return None if training.get("epochs") == 0 else training


@contextmanager
def _without_denormals() -> Iterator[None]:
    """Let numbers below 1e-38 be zero: the CPU computes with them many times slower.

    The momentum of a weight behind a pixel that is seldom lit decays into them: a softmax regression
    trains 3 times as fast without.
    """
    before = _denormals_are_zero()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def _denormals_are_zero() -> bool:
    """Whether the application has chosen so: PyTorch cannot be asked, but tried."""
    return not torch.tensor(1e-40).mul(1.0).item()


def _make_run(manifest: Manifest, dataset: Dataset, recipe: Recipe, seed: int, device: str) -> Run:
    torch.manual_seed(seed)
    preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
    network = build(manifest.model, manifest.config).to(device)
    use_channels_last(network, manifest.signature, device)
    if not recipe.dropout:
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    return Run(
        network=network,
        optimizer=make_optimizer(network, recipe),
        recipe=recipe,
        train=Feed(dataset.train, preprocessing, device),
        test=Feed(as_read(dataset.test, preprocessing), preprocessing, device),
        output=manifest.signature.outputs[0],
        seed=seed,
    )


def _read_before(path: Path, manifest: Manifest) -> Checkpoint:
    """The checkpoint to go on from, once it is known to be of the same run."""
    if not path.exists():
        raise ArtifactError(
            f"{quote(path)}: there is no checkpoint to resume; train without --resume first",
            code="E-IN-MISSING",
        )
    artifact = read_artifact(path)
    if not artifact.is_checkpoint:
        raise ArtifactError(
            f"{artifact.name} is {artifact.format.noun}; expected a checkpoint", code="E-RESUME"
        )
    found, wanted = _identity(artifact.require_manifest()), _identity(manifest)
    for what, expected in wanted.items():
        got = found.get(what)
        if got != expected:
            raise ArtifactError(
                f"{artifact.name} was trained with {what.replace('_', ' ')} {got}, and this run has"
                f" {expected}: give the same, or train anew without --resume",
                code="E-RESUME",
            )
    with mapping_load_errors(artifact):
        checkpoint = checkpoints.loads(artifact.data)
    if not checkpoint.progress:
        raise ArtifactError(
            f"{artifact.name} holds weights alone; there is no training to go on with",
            code="E-RESUME",
        )
    return checkpoint


def _identity(manifest: Manifest) -> dict[str, Any]:
    """What must be the same for a run to go on.

    All but the epochs, of which there may be more where the learning rate does not depend on them.
    """
    training = manifest.training
    recipe = Recipe.completed(training.get("recipe", {}))
    data = training.get("data", {})
    return {
        "model": manifest.model,
        "data": f"{data.get('name')} (sha256 {str(data.get('sha256'))[:12]})",
        "seed": training.get("seed"),
        **{what: value for what, value in recipe.items() if what != "epochs"},
        "epochs": "any" if recipe.get("schedule") == "constant" else recipe.get("epochs"),
        "the network's configuration": manifest.config,
        "the preprocessing": manifest.preprocessing,
    }


@contextmanager
def _mapping_device_failures(device: str) -> Iterator[None]:
    """PyTorch's errors of memory and of the device in our words."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if (failure := map_device_failure(error, "the training", device)) is None:
            raise
        raise failure from error
