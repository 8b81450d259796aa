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
from ptx.trainers.batches import BatchLoader, apply_inference_preprocessing
from ptx.trainers.data import Dataset
from ptx.trainers.folder_lock import lock_folder
from ptx.trainers.history import write_metrics, write_plot
from ptx.trainers.interruption import deferred_interruption
from ptx.trainers.loop import RunningMetrics, TrainingProgress, TrainingSetup, make_optimizer
from ptx.trainers.manifest import make_manifest
from ptx.trainers.processes import local_device, process_group, rank, restarts
from ptx.trainers.recipe import Recipe
from ptx.trainers.samples import raw_examples, sample_inputs
from ptx.trainers.trainer import PREVIOUS, Trainer


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training run.

    Attributes:
        checkpoint: Its file.
        history: A row for each complete epoch, as in `metrics.csv`.
        interrupted: The signal that ended the run early; None if it was completed.
        trained: The number of epochs that this call trained, complete or not.
    """

    checkpoint: Path
    history: list[dict[str, float]]
    interrupted: Signals | None
    trained: int


class _NoProgress:
    """A `TrainingProgress` that ignores all events."""

    def epoch_begins(self, epoch: int, epochs: int, rows: int, done: int) -> None: ...
    def step_done(self, rows: int, metrics: RunningMetrics) -> None: ...
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
    progress: TrainingProgress | None = None,
) -> TrainingResult:
    """Train a model of the catalog and write `checkpoint.pt`, `metrics.csv` and `training.png`.

    On Ctrl-C or SIGTERM the run saves its state after the current step and ends. Under torchrun, or as
    `torchrun -m ptx.cli train`, each process trains on its shard of every batch, and rank 0 writes.

    Args:
        folder: The output folder; it is created if it is missing.
        seed: For the initial weights, the order of the rows and the dropout.
        resume: Continue from the checkpoint in the folder; the result is the same as without the
            interruption, bit for bit on the CPU. If False, an existing checkpoint is kept as
            `checkpoint.previous.pt` when this run writes its first one. Under torchrun, which restarts
            failed processes with the same arguments, the checkpoint may be missing.

    Raises:
        UsageError: there is no such model or device, or the data is not for this model.
        BackendError: the device is not available on this machine.
        InputError: the data cannot be used for training.
        OutputError: the folder cannot be written (checked before the training if possible); `E-BUSY`:
            another process is training into it.
        ArtifactError: there is no checkpoint to resume, or it belongs to another run.
        LimitError: the device ran out of memory.
        BackendError: the device failed.
        PtxError: `E-DIVERGED`: a loss or a weight is no longer finite.
    """
    SEED.check("the seed", seed)
    device = local_device(find_device(device))
    manifest = make_manifest(model, dataset, recipe, seed)
    path, metrics, plot = (
        folder / name for name in ("checkpoint.pt", "metrics.csv", "training.png")
    )
    resume = resume and (path.exists() or not restarts())
    if not resume:
        make_folder(folder)
    with lock_folder(folder, "training") if rank() == 0 else nullcontext():
        checkpoint = _read_checkpoint(path, manifest) if resume else None
        for file in (path, metrics, plot, folder / PREVIOUS):
            check_writable(file)
        with (
            _mapping_device_failures(device),
            _without_denormals(),
            deferred_interruption() as interruption,
            process_group(device) as group,
        ):
            setup = _make_setup(manifest, dataset, recipe, seed, device)
            trainer = Trainer(
                setup,
                manifest,
                path,
                device,
                sample_inputs(manifest, dataset),
                raw_examples(manifest, dataset),
            )
            if checkpoint is not None:
                trainer.restore(checkpoint)
            elif previous_training(path) is not None and group.rank == 0:
                trainer.previous = read_bytes(path, limit=SIZE_LIMIT, error=ArtifactError)
            trainer.distribute(group)
            done = len(trainer.history)
            trainer.train(progress or _NoProgress(), interruption)
        if group.rank == 0:
            write_metrics(metrics, trainer.history)
            if trainer.history:
                write_plot(plot, trainer.history, f"{model} on {dataset.name}")
    trained = len(trainer.history) - done + bool(trainer.step)
    return TrainingResult(path, trainer.history, interruption.signal, trained)


def previous_training(path: Path) -> dict[str, Any] | None:
    """The training record of an existing checkpoint; None if there is none or no complete epoch."""
    if not path.is_file():
        return None
    try:
        manifest = read_artifact(path).manifest
    except ArtifactError:
        return {}  # an unknown file is kept, too
    training = {} if manifest is None else manifest.training
    return None if training.get("epochs") == 0 else training


@contextmanager
def _without_denormals() -> Iterator[None]:
    """Flush denormal numbers (below 1e-38) to zero: the CPU is many times slower with them.

    The momentum of weights of rarely used pixels decays into this range: a softmax regression trains 3
    times as fast with flushing.
    """
    before = _denormals_are_zero()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def _denormals_are_zero() -> bool:
    """Whether flushing is enabled already; PyTorch has no getter, so it is tested."""
    return not torch.tensor(1e-40).mul(1.0).item()


def _make_setup(
    manifest: Manifest, dataset: Dataset, recipe: Recipe, seed: int, device: str
) -> TrainingSetup:
    torch.manual_seed(seed)
    preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
    network = build(manifest.model, manifest.config).to(device)
    use_channels_last(network, manifest.signature, device)
    if not recipe.dropout:
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    return TrainingSetup(
        network=network,
        optimizer=make_optimizer(network, recipe),
        recipe=recipe,
        train=BatchLoader(dataset.train, preprocessing, device),
        test=BatchLoader(
            apply_inference_preprocessing(dataset.test, preprocessing), preprocessing, device
        ),
        output=manifest.signature.outputs[0],
        seed=seed,
    )


def _read_checkpoint(path: Path, manifest: Manifest) -> Checkpoint:
    """The checkpoint to continue from, checked to be of the same run."""
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
    saved = _identity(artifact.require_manifest())
    for setting, expected in _identity(manifest).items():
        actual = saved.get(setting)
        if actual != expected:
            raise ArtifactError(
                f"{artifact.name} was trained with {setting.replace('_', ' ')} {actual}, and this run"
                f" has {expected}: use the same, or start again without --resume",
                code="E-RESUME",
            )
    with mapping_load_errors(artifact):
        checkpoint = checkpoints.loads(artifact.data)
    if not checkpoint.progress:
        raise ArtifactError(
            f"{artifact.name} has only weights; there is no training to resume",
            code="E-RESUME",
        )
    return checkpoint


def _identity(manifest: Manifest) -> dict[str, Any]:
    """The settings that must be the same to resume a run.

    The number of epochs may change if the learning rate does not depend on it.
    """
    training = manifest.training
    recipe = training.get("recipe", {})
    data = training.get("data", {})
    return {
        "model": manifest.model,
        "data": f"{data.get('name')} (sha256 {str(data.get('sha256'))[:12]})",
        "seed": training.get("seed"),
        **{name: value for name, value in recipe.items() if name != "epochs"},
        "epochs": "any" if recipe.get("schedule") == "constant" else recipe.get("epochs"),
        "the network's configuration": manifest.config,
        "the preprocessing": manifest.preprocessing,
    }


@contextmanager
def _mapping_device_failures(device: str) -> Iterator[None]:
    """Map PyTorch's out-of-memory and device errors to those of ptx."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if (failure := map_device_failure(error, "the training", device)) is None:
            raise
        raise failure from error
