"""Several processes that train one network: each takes its share of every batch.

The gradients are averaged by PyTorch's DistributedDataParallel, so that a step is that of the recipe's
batch, whatever the number of processes. torchrun starts them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from ptx.infer.backends.threads import usable_processors
from ptx.infer.errors import LimitError

_NOTICED = 3.0  # seconds in which whoever started the processes ends those that are left


@dataclass(frozen=True)
class Group:
    """The processes of one training, and which of them this is."""

    rank: int = 0
    size: int = 1

    def part(self, rows: Tensor) -> Tensor:
        """This process's rows of a batch; where there are none for it one that counts nothing."""
        return rows[self.rank :: self.size] if self.counts(rows) else rows[:1]

    def weigh(self, loss: Tensor, rows: Tensor, *, summed: bool) -> Tensor:
        """The loss of `part(rows)`, such that the average over the processes is that of all rows."""
        if self.size == 1:
            return loss
        count = self._count(rows)
        return loss * (self.size * (float(count > 0) if summed else count / len(rows)))

    def counts(self, rows: Tensor) -> bool:
        """Whether this process has rows of the batch."""
        return self._count(rows) > 0

    def sum(self, figures: Tensor) -> Tensor:
        """The sum over the processes."""
        if self.size > 1:
            distributed.all_reduce(figures)
        return figures

    def agree(self, flag: bool) -> bool:
        """Whether any process says so: what is to be done after this step is done by all."""
        return flag if self.size == 1 else bool(self.sum(torch.tensor(int(flag))).item())

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with averaged gradients."""
        return network if self.size == 1 else nn.parallel.DistributedDataParallel(network)

    def _count(self, rows: Tensor) -> int:
        return len(range(self.rank, len(rows), self.size))


def world_size() -> int:
    """How many processes train together; 1 where this is the only one."""
    return int(os.environ.get("WORLD_SIZE", 1))


def rank() -> int:
    """Of this process; 0 where it is the only one."""
    return int(os.environ.get("RANK", 0)) if world_size() > 1 else 0


def restarts() -> bool:
    """Whether torchrun started this process: after a failure it does so again, with the same words."""
    return "TORCHELASTIC_RESTART_COUNT" in os.environ


def own_device(device: str) -> str:
    """`cuda` as the GPU of this process, of those on its machine."""
    alone = device != "cuda" or world_size() == 1
    return device if alone else f"cuda:{os.environ['LOCAL_RANK']}"


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """The group that torchrun's variables name, while the block lasts.

    Raises:
        LimitError: E-PEER: another process of it has ended.
    """
    size = world_size()
    if size == 1:
        yield Group()
        return
    local = int(os.environ.get("LOCAL_WORLD_SIZE", size))
    torch.set_num_threads(max(1, usable_processors() // local))
    backend, own = "gloo", dict[str, Any]()
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
        # NCCL for what is on a GPU, gloo for what is not, such as the flag of `agree`. Told its device,
        # NCCL connects at once: what hinders it is found out here and not at the first step.
        backend, own = "cpu:gloo,cuda:nccl", {"device_id": torch.device(device)}
    distributed.init_process_group(backend, **own, **_meeting(size, local))
    try:
        yield Group(rank(), size)
    except RuntimeError as error:
        if not _is_of_a_peer(error):
            raise
        time.sleep(_NOTICED)
        raise LimitError(
            "another process of the training has ended: --resume goes on from the last checkpoint",
            code="E-PEER",
        ) from error
    finally:
        distributed.destroy_process_group()


def _meeting(size: int, local: int) -> dict[str, Any]:
    """Where the processes find each other.

    A torchrun of one machine keeps one store over its restarts, in which the addresses of those that
    have ended still stand: each attempt has names of its own there. (Machines count theirs apart.)
    """
    if not restarts() or local != size:
        return {}
    store, *_ = next(rendezvous("env://"))
    attempt = f"ptx/{os.environ['TORCHELASTIC_RESTART_COUNT']}"
    return {"store": PrefixStore(attempt, store), "rank": rank(), "world_size": size}


def _is_of_a_peer(error: RuntimeError) -> bool:
    lost = ("connection closed", "connection reset", "connection refused", "broken pipe", "gloo")
    text = str(error).lower()
    return isinstance(error, distributed.DistError) or any(word in text for word in lost)
