"""Data-parallel training: several processes train one network, each on its shard of every batch.

PyTorch's DistributedDataParallel averages the gradients, so that a step is that of the recipe's batch
for any number of processes. torchrun starts them.
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

from ptx.infer.backends.threads import available_cpus
from ptx.infer.errors import LimitError

# Seconds in which the launcher ends the remaining processes after one has failed.
_LAUNCHER_GRACE = 3.0


@dataclass(frozen=True)
class Group:
    """The number of processes of a training, and the rank of this one."""

    rank: int = 0
    size: int = 1

    def shard(self, rows: Tensor) -> Tensor:
        """This rank's rows of a batch; if it has none, one row, whose loss `scale_loss` sets to zero.

        Every rank needs a row because the backward pass synchronises the gradients.
        """
        return rows[self.rank :: self.size] if self.has_rows(rows) else rows[:1]

    def scale_loss(self, loss: Tensor, rows: Tensor, *, summed: bool) -> Tensor:
        """The loss of `shard(rows)`, scaled so that its mean over the ranks is the loss of all rows."""
        if self.size == 1:
            return loss
        count = self._count(rows)
        return loss * (self.size * (float(count > 0) if summed else count / len(rows)))

    def has_rows(self, rows: Tensor) -> bool:
        """Whether this rank has rows of the batch."""
        return self._count(rows) > 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the ranks, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def any_rank(self, flag: bool) -> bool:
        """Whether the flag is set on any rank; the result is the same on all of them."""
        return flag if self.size == 1 else bool(self.sum(torch.tensor(int(flag))).item())

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network in DistributedDataParallel, which averages the gradients over the ranks."""
        return network if self.size == 1 else nn.parallel.DistributedDataParallel(network)

    def _count(self, rows: Tensor) -> int:
        return len(range(self.rank, len(rows), self.size))


def world_size() -> int:
    """How many processes train together; 1 if this is the only one."""
    return int(os.environ.get("WORLD_SIZE", 1))


def rank() -> int:
    """The rank of this process; 0 if it is the only one."""
    return int(os.environ.get("RANK", 0)) if world_size() > 1 else 0


def restarts() -> bool:
    """Whether torchrun started this process, and restarts it with the same arguments if it fails."""
    return "TORCHELASTIC_RESTART_COUNT" in os.environ


def local_device(device: str) -> str:
    """`cuda` as `cuda:N`, the GPU that torchrun assigns to this process; other devices unchanged."""
    unchanged = device != "cuda" or world_size() == 1
    return device if unchanged else f"cuda:{os.environ['LOCAL_RANK']}"


@contextmanager
def process_group(device: str) -> Iterator[Group]:
    """The process group of torchrun's environment variables, for the duration of the block.

    Raises:
        LimitError: E-PEER: another process of the group has ended.
    """
    size = world_size()
    if size == 1:
        yield Group()
        return
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", size))
    torch.set_num_threads(max(1, available_cpus() // local_size))
    backend, options = "gloo", dict[str, Any]()
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
        # NCCL for tensors on a GPU, gloo for the others, such as the flag of `any_rank`. With
        # `device_id` NCCL connects at once, so that it fails here and not in the first step.
        backend, options = "cpu:gloo,cuda:nccl", {"device_id": torch.device(device)}
    distributed.init_process_group(backend, **options, **_rendezvous(size, local_size))
    try:
        yield Group(rank(), size)
    except RuntimeError as error:
        if not _is_peer_failure(error):
            raise
        time.sleep(_LAUNCHER_GRACE)
        raise LimitError(
            "another process of the training has ended: continue from the last checkpoint with --resume",
            code="E-PEER",
        ) from error
    finally:
        distributed.destroy_process_group()


def _rendezvous(size: int, local_size: int) -> dict[str, Any]:
    """Arguments of `init_process_group` by which the processes find each other.

    On one machine torchrun keeps one store over its restarts, which still has the addresses of the ended
    processes; a prefix for each attempt keeps them apart. (Not for several machines: each counts its own
    restarts.)
    """
    if not restarts() or local_size != size:
        return {}
    store, *_ = next(rendezvous("env://"))
    attempt = f"ptx/{os.environ['TORCHELASTIC_RESTART_COUNT']}"
    return {"store": PrefixStore(attempt, store), "rank": rank(), "world_size": size}


def _is_peer_failure(error: RuntimeError) -> bool:
    symptoms = (
        "connection closed",
        "connection reset",
        "connection refused",
        "broken pipe",
        "gloo",
    )
    text = str(error).lower()
    return isinstance(error, distributed.DistError) or any(word in text for word in symptoms)
