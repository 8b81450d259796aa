"""The training loop: zero_grad, forward, loss, backward, step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ptx.infer.signature import TensorSpec
from ptx.trainers.batches import BatchLoader
from ptx.trainers.interruption import Interruption
from ptx.trainers.processes import Group
from ptx.trainers.recipe import LOSSES, Loss, Recipe

TEST_BATCH = 1000  # rows; only a matter of speed and memory


class TrainingProgress(Protocol):
    """Receives the progress of a training; the command line draws a bar."""

    def epoch_begins(self, epoch: int, epochs: int, rows: int, done: int) -> None:
        """`epoch` counts from 1; `done` rows of it were trained before the training was resumed."""

    def step_done(self, rows: int, metrics: RunningMetrics) -> None:
        """`rows`: trained in this epoch. Reading `metrics` may wait for the device."""

    def epoch_ends(self, row: dict[str, float]) -> None:
        """`row`: the epoch's line of `metrics.csv`."""


@dataclass
class RunningMetrics:
    """Sums over the rows seen so far; they stay on the device until they are read."""

    loss: Tensor  # float64 (): the sum of each row's loss
    correct: Tensor  # int64 (): predictions of the right class
    predictions: int = 0  # one for each row, or for each step of a sequence
    rows: int = 0
    stop: bool = False  # several processes: whether any was interrupted before the last step

    @classmethod
    def zero(cls, device: str) -> RunningMetrics:
        """No rows yet."""
        # MPS has no float64.
        kind = torch.float32 if device.startswith("mps") else torch.float64
        return cls(
            torch.zeros((), dtype=kind, device=device),
            torch.zeros((), dtype=torch.int64, device=device),
        )

    def add(self, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        """Add one batch; `loss` is the sum over its rows."""
        self.loss += loss.detach()
        self.rows += len(targets)
        if not targets.is_floating_point():
            self.correct += (_classes(outputs.detach()) == targets).sum()
            self.predictions += targets.numel()

    def to_data(self) -> dict[str, Any]:
        """Plain numbers for the checkpoint; see `restore`."""
        return {
            "loss": float(self.loss),
            "correct": int(self.correct),
            "predictions": self.predictions,
            "rows": self.rows,
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Set the sums to what `to_data` returned."""
        self.loss.fill_(data["loss"])
        self.correct.fill_(data["correct"])
        self.predictions, self.rows = data["predictions"], data["rows"]

    def summary(self, prefix: str) -> dict[str, float]:
        """The mean loss, and the accuracy if the targets are classes; the names begin with `prefix`."""
        result = {f"{prefix}_loss": float(self.loss) / max(self.rows, 1)}
        if self.predictions:
            result[f"{prefix}_accuracy"] = int(self.correct) / self.predictions
        return result


@dataclass(frozen=True)
class TrainingSetup:
    """The parts of one training run."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    recipe: Recipe
    train: BatchLoader
    test: BatchLoader
    output: TensorSpec
    seed: int
    group: Group = field(default_factory=Group)  # the processes that train together
    parallel: nn.Module | None = None  # the network in DistributedDataParallel

    @property
    def loss(self) -> Loss:
        """The recipe's loss."""
        return LOSSES[self.recipe.loss]

    def total_loss(self, loss: Tensor, rows: int) -> Tensor:
        """The loss summed over the rows of a batch, whether the recipe's `loss` is a sum or a mean."""
        return loss if self.loss.summed else loss * rows

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The first output, with the batch axis moved to the front."""
        parallel = self.parallel if self.network.training else None
        outputs: Tensor = (self.network if parallel is None else parallel)(*inputs)
        return outputs.movedim(self.output.batch_axis, 0)


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over all parameters."""
    parameters, lr, decay = network.parameters(), recipe.lr, recipe.weight_decay
    # Fused: the same steps in one pass over memory; takes 0.6 of the time on the CPU.
    if recipe.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=lr, weight_decay=decay, fused=True)
    return torch.optim.SGD(
        parameters, lr=lr, momentum=recipe.momentum, weight_decay=decay, fused=True
    )


def epoch_order(setup: TrainingSetup, epoch: int) -> Tensor:
    """int64 (rows,): the order of the training rows, which depends only on the seed and the epoch."""
    if not setup.recipe.shuffle:
        return torch.arange(len(setup.train))
    generator = torch.Generator().manual_seed(setup.seed * 1_000_003 + epoch)
    return torch.randperm(len(setup.train), generator=generator)


def train_steps(
    setup: TrainingSetup,
    epoch: int,
    first_step: int,
    metrics: RunningMetrics,
    interruption: Interruption,
) -> Iterator[int]:
    """Train one epoch from step `first_step` on; yields the number of steps done after each.

    An interruption does not end the loop; of several processes, any that is interrupted sets
    `metrics.stop` in all of them after the step.
    """
    setup.network.train()
    order = epoch_order(setup, epoch).to(setup.train.device)
    if setup.recipe.drop_last:
        rows_in_full_batches = len(order) // setup.recipe.batch_size * setup.recipe.batch_size
        order = order[: rows_in_full_batches or len(order)]
    batches = torch.split(order, setup.recipe.batch_size)
    for step in range(first_step, len(batches)):
        steps_done = (epoch - 1) * len(batches) + step
        _set_learning_rate(
            setup, setup.recipe.learning_rate(steps_done, setup.recipe.epochs * len(batches))
        )
        rows = batches[step]
        inputs, targets = setup.train.batch(setup.group.shard(rows))
        setup.optimizer.zero_grad()
        outputs = setup.forward(inputs)
        loss = setup.loss.compute(outputs, targets)
        scaled = setup.group.scale_loss(loss, rows, summed=setup.loss.summed)
        scaled.backward()  # type: ignore[no-untyped-call]
        setup.optimizer.step()
        if setup.group.size == 1:
            metrics.add(setup.total_loss(loss, len(targets)), outputs, targets)
        else:
            _add_sharded(setup, metrics, rows, (loss, outputs, targets), stop=bool(interruption))
        yield step + 1


def _add_sharded(
    setup: TrainingSetup,
    metrics: RunningMetrics,
    rows: Tensor,
    results: tuple[Tensor, Tensor, Tensor],
    *,
    stop: bool,
) -> None:
    """Add one batch, of which each process has computed its shard: the (loss, outputs, targets)."""
    loss, outputs, targets = results
    local = RunningMetrics.zero(setup.train.device)
    if setup.group.has_rows(rows):
        local.add(setup.total_loss(loss, len(targets)), outputs, targets)
    counts = torch.tensor([local.predictions, stop]).to(local.loss)
    sums = setup.group.sum(torch.cat([torch.stack([local.loss, local.correct]), counts]))
    predictions, stops = sums[2:].tolist()
    metrics.loss += sums[0]
    metrics.correct += sums[1].long()
    metrics.predictions += int(predictions)
    metrics.stop = stops > 0
    metrics.rows += len(rows)


def _set_learning_rate(setup: TrainingSetup, rate: float) -> None:
    for group in setup.optimizer.param_groups:
        group["lr"] = rate


def test(setup: TrainingSetup) -> dict[str, float]:
    """Loss and accuracy over the test rows."""
    setup.network.eval()
    metrics = RunningMetrics.zero(setup.test.device)
    with torch.inference_mode():
        for rows in torch.split(
            torch.arange(len(setup.test), device=setup.test.device), TEST_BATCH
        ):
            inputs, targets = setup.test.batch(rows)
            outputs = setup.forward(inputs)
            loss = setup.loss.compute(outputs, targets)
            metrics.add(setup.total_loss(loss, len(targets)), outputs, targets)
    return metrics.summary("test")


def fit_temperature(setup: TrainingSetup) -> float:
    """The softmax temperature, 0.1 to 10, that minimises the cross-entropy of the test split."""
    setup.network.eval()
    candidates = torch.logspace(-1, 1, 81).tolist()
    losses = torch.zeros(len(candidates))
    with torch.inference_mode():
        for rows in torch.split(
            torch.arange(len(setup.test), device=setup.test.device), TEST_BATCH
        ):
            inputs, targets = setup.test.batch(rows)
            logits, targets = setup.forward(inputs).float().cpu(), targets.cpu()
            for index, candidate in enumerate(candidates):
                losses[index] += nn.functional.cross_entropy(
                    logits / candidate, targets, reduction="sum"
                )
    return float(candidates[int(losses.argmin())])


def epoch_row(
    setup: TrainingSetup, epoch: int, metrics: RunningMetrics, started: float, rows: int
) -> dict[str, float]:
    """The epoch's line of `metrics.csv`, with the metrics of the test split measured now."""
    train = metrics.summary("train")  # waits until the device has finished the epoch
    seconds = time.perf_counter() - started
    return {
        "epoch": epoch,
        **train,
        **test(setup),
        "seconds": seconds,
        "rows_per_second": rows / seconds,
    }


def _classes(outputs: Tensor) -> Tensor:
    """The predicted classes: the largest logit, or for one output a probability of at least 0.5."""
    if outputs.shape[-1] == 1:
        return (outputs[..., 0] >= 0.5).long()
    return outputs.argmax(dim=-1)
