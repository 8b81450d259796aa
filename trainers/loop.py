"""The training loop: zero_grad, forward, loss, backward, step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ptx.infer.signature import TensorSpec
from ptx.trainers.batches import Feed
from ptx.trainers.interruption import Interruption
from ptx.trainers.processes import Group
from ptx.trainers.recipe import LOSSES, Loss, Recipe

TEST_BATCH = 1000  # rows; only a matter of speed and memory


class Progress(Protocol):
    """Told how the training goes on; the command line draws a bar."""

    def epoch_begins(self, epoch: int, epochs: int, rows: int, done: int) -> None:
        """`epoch` counts from 1; `done` rows of it were trained before an interruption."""

    def step_done(self, rows: int, totals: Totals) -> None:
        """`totals` may stand on the device: reading it waits for the device."""

    def epoch_ends(self, row: dict[str, float]) -> None:
        """`row`: the epoch's line of `metrics.csv`."""


@dataclass
class Totals:
    """Sums over the rows seen so far; they stay on the device until they are read."""

    loss: Tensor  # float64 (): the sum of each row's loss
    correct: Tensor  # int64 (): rows, or steps of a sequence, with the right class
    answers: int = 0  # rows, or steps of a sequence
    rows: int = 0
    stop: bool = False  # whether one of several processes was asked to stop before the last step

    @classmethod
    def zero(cls, device: str) -> Totals:
        """No rows yet."""
        # MPS has no float64.
        kind = torch.float32 if device.startswith("mps") else torch.float64
        return cls(
            torch.zeros((), dtype=kind, device=device),
            torch.zeros((), dtype=torch.int64, device=device),
        )

    def add(self, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        """Count one batch; `loss` is the sum over its rows."""
        self.loss += loss.detach()
        self.rows += len(targets)
        if not targets.is_floating_point():
            self.correct += (_classes(outputs.detach()) == targets).sum()
            self.answers += targets.numel()

    def to_data(self) -> dict[str, Any]:
        """Plain numbers, from which `restore` goes on."""
        return {
            "loss": float(self.loss),
            "correct": int(self.correct),
            "answers": self.answers,
            "rows": self.rows,
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Go on from `to_data`."""
        self.loss.fill_(data["loss"])
        self.correct.fill_(data["correct"])
        self.answers, self.rows = data["answers"], data["rows"]

    def metrics(self, prefix: str) -> dict[str, float]:
        """The mean loss, and the accuracy where the targets are classes."""
        result = {f"{prefix}_loss": float(self.loss) / max(self.rows, 1)}
        if self.answers:
            result[f"{prefix}_accuracy"] = int(self.correct) / self.answers
        return result


@dataclass(frozen=True)
class Run:
    """What one training run is made of."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    recipe: Recipe
    train: Feed
    test: Feed
    output: TensorSpec
    seed: int
    group: Group = field(default_factory=Group)  # the processes that train it
    parallel: nn.Module | None = None  # the network, its gradients averaged over them

    @property
    def loss(self) -> Loss:
        """The recipe's loss."""
        return LOSSES[self.recipe.loss]

    def total_loss(self, loss: Tensor, rows: int) -> Tensor:
        """The sum over the rows of a batch whose loss is `loss`, whatever the recipe minimises."""
        return loss if self.loss.summed else loss * rows

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The first output with the batch axis in front."""
        parallel = self.parallel if self.network.training else None
        outputs: Tensor = (self.network if parallel is None else parallel)(*inputs)
        return outputs.movedim(self.output.batch_axis, 0)


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over all parameters."""
    parameters, lr, decay = network.parameters(), recipe.lr, recipe.weight_decay
    # Fused: the same steps in one pass over the memory, in 0.6 of the time on the CPU.
    if recipe.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=lr, weight_decay=decay, fused=True)
    return torch.optim.SGD(
        parameters, lr=lr, momentum=recipe.momentum, weight_decay=decay, fused=True
    )


def epoch_order(run: Run, epoch: int) -> Tensor:
    """int64 (rows,): the order of the training rows, from the seed and the epoch alone."""
    if not run.recipe.shuffle:
        return torch.arange(len(run.train))
    generator = torch.Generator().manual_seed(run.seed * 1_000_003 + epoch)
    return torch.randperm(len(run.train), generator=generator)


def train_steps(
    run: Run, epoch: int, first_step: int, totals: Totals, interruption: Interruption
) -> Iterator[int]:
    """Train one epoch from step `first_step` on; yields the number of steps done after each.

    An interruption does not end it: with the sums of a step, `totals` is told of one in any process.
    """
    run.network.train()
    order = epoch_order(run, epoch).to(run.train.device)
    if run.recipe.drop_last:
        whole = len(order) // run.recipe.batch_size * run.recipe.batch_size
        order = order[: whole or len(order)]
    batches = torch.split(order, run.recipe.batch_size)
    for step in range(first_step, len(batches)):
        done = (epoch - 1) * len(batches) + step
        _set_learning_rate(run, run.recipe.learning_rate(done, run.recipe.epochs * len(batches)))
        rows = batches[step]
        inputs, targets = run.train.batch(run.group.part(rows))
        run.optimizer.zero_grad()
        outputs = run.forward(inputs)
        loss = run.loss.compute(outputs, targets)
        weighed = run.group.weigh(loss, rows, summed=run.loss.summed)
        weighed.backward()  # type: ignore[no-untyped-call]
        run.optimizer.step()
        if run.group.size == 1:
            totals.add(run.total_loss(loss, len(targets)), outputs, targets)
        else:
            _add_shares(run, totals, rows, (loss, outputs, targets), stop=bool(interruption))
        yield step + 1


def _add_shares(
    run: Run, totals: Totals, rows: Tensor, done: tuple[Tensor, Tensor, Tensor], *, stop: bool
) -> None:
    """Count one batch, of which each process has computed a part."""
    loss, outputs, targets = done
    mine = Totals.zero(run.train.device)
    if run.group.counts(rows):
        mine.add(run.total_loss(loss, len(targets)), outputs, targets)
    counts = torch.tensor([mine.answers, stop]).to(mine.loss)
    figures = run.group.sum(torch.cat([torch.stack([mine.loss, mine.correct]), counts]))
    answers, stops = figures[2:].tolist()
    totals.loss += figures[0]
    totals.correct += figures[1].long()
    totals.answers += int(answers)
    totals.stop = stops > 0
    totals.rows += len(rows)


def _set_learning_rate(run: Run, rate: float) -> None:
    for group in run.optimizer.param_groups:
        group["lr"] = rate


def test(run: Run) -> dict[str, float]:
    """Loss and accuracy over the test rows."""
    run.network.eval()
    totals = Totals.zero(run.test.device)
    with torch.inference_mode():
        for rows in torch.split(torch.arange(len(run.test), device=run.test.device), TEST_BATCH):
            inputs, targets = run.test.batch(rows)
            outputs = run.forward(inputs)
            loss = run.loss.compute(outputs, targets)
            totals.add(run.total_loss(loss, len(targets)), outputs, targets)
    return totals.metrics("test")


def fit_temperature(run: Run) -> float:
    """The softmax temperature, 0.1 to 10, that minimises the cross-entropy of the test split."""
    run.network.eval()
    candidates = torch.logspace(-1, 1, 81).tolist()
    losses = torch.zeros(len(candidates))
    with torch.inference_mode():
        for rows in torch.split(torch.arange(len(run.test), device=run.test.device), TEST_BATCH):
            inputs, targets = run.test.batch(rows)
            logits, targets = run.forward(inputs).float().cpu(), targets.cpu()
            for index, candidate in enumerate(candidates):
                losses[index] += nn.functional.cross_entropy(
                    logits / candidate, targets, reduction="sum"
                )
    return float(candidates[int(losses.argmin())])


def epoch_row(run: Run, epoch: int, totals: Totals, started: float, rows: int) -> dict[str, float]:
    """The epoch's line of `metrics.csv`, with the test set's part measured now."""
    train = totals.metrics("train")  # reads the totals: the device is done with the epoch
    seconds = time.perf_counter() - started
    return {
        "epoch": epoch,
        **train,
        **test(run),
        "seconds": seconds,
        "rows_per_second": rows / seconds,
    }


def _classes(outputs: Tensor) -> Tensor:
    """The class of each answer: the largest logit, or a probability of at least one half."""
    if outputs.shape[-1] == 1:
        return (outputs[..., 0] >= 0.5).long()
    return outputs.argmax(dim=-1)
