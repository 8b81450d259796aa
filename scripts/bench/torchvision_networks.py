"""Four networks of torchvision, trained on MNIST in 32×32 pixels and three channels: for `form_table`.

Nothing is downloaded, so their weights are random at first, and no label of random weights means
anything. Two to six passes over MNIST's 60,000 rows, 4 to 9 minutes each on two cores, bring each above
98 %. A training that was cut off goes on after the last epoch that it wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from torchvision import models

from ptx.export import KnownRows
from ptx.infer.signature import Array
from ptx.trainers import Dataset

CLASSES, SMALL, LARGE = 10, 32, 224  # labels; pixels a side: trained at, and of the networks' papers
EPOCHS: Final = {
    "resnet18": 2,
    "mobilenet_v3_small": 3,
    "efficientnet_b0": 3,
    "vision_transformer": 6,
}
BATCH, SEED = 128, 0
RATES: Final = {"vision_transformer": 1e-3}  # the largest learning rate, where it is not RATE
RATE = 2e-3
# torchvision's class at 32 pixels: patches of 8, 4 blocks, 3 heads, width 192; at 224 it is vit_b_16.
TRANSFORMER = (SMALL, 8, 4, 3, 192, 768)


def make(name: str, size: int) -> nn.Module:
    """The network for pictures of that many pixels a side, with random weights."""
    torch.manual_seed(SEED)
    if name == "vision_transformer" and size == SMALL:
        return models.VisionTransformer(*TRANSFORMER, num_classes=CLASSES)
    build: Callable[..., nn.Module] = getattr(models, name.replace("vision_transformer", "vit_b_16"))
    return build(weights=None, num_classes=CLASSES)


def train(name: str, dataset: Dataset, path: Path) -> nn.Module:
    """The network with what it learned, in `path`, or learns now: Adam, one cycle, batches of 128."""
    network = make(name, SMALL).to(memory_format=torch.channels_last)
    rate, epochs = RATES.get(name, RATE), EPOCHS[name]
    optimizer = torch.optim.Adam(network.parameters(), rate)
    steps = len(dataset.train.targets) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps * epochs)
    parts = {"network": network, "optimizer": optimizer, "schedule": schedule}
    done = 0
    if path.exists():
        saved = torch.load(path, weights_only=True)
        done = saved["epochs"]
        for key, part in parts.items():
            part.load_state_dict(saved[key])
    for epoch in range(done, epochs):
        loss = _pass(network, optimizer, schedule, _batches(dataset, epoch))
        print(f"{name}: epoch {epoch + 1} of {epochs}, loss {loss:.3f}", flush=True)
        states = {key: part.state_dict() for key, part in parts.items()}
        torch.save({"epochs": epoch + 1, **states}, path)
    return network.to(memory_format=torch.contiguous_format).eval()


def _pass(network: nn.Module, optimizer: Any, schedule: Any, batches: Iterator[Any]) -> float:
    """One epoch; the mean loss."""
    network.train()
    losses = []
    for images, targets in batches:
        loss = nn.functional.cross_entropy(network(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return float(np.mean(losses))


def _batches(dataset: Dataset, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Every training row once, in an order of the epoch's own."""
    pixels, targets = dataset.train.inputs["image"], dataset.train.targets
    order = np.random.default_rng([SEED, epoch]).permutation(len(targets))
    for start in range(0, len(order) - BATCH + 1, BATCH):
        rows = order[start : start + BATCH]
        batch = torch.from_numpy(images(pixels[rows]))
        yield batch.contiguous(memory_format=torch.channels_last), torch.from_numpy(targets[rows])


def images(pixels: Array) -> Array:
    """float32 (rows, 3, 32, 32) in [−1, 1] of uint8 (rows, 28, 28): the digit within a margin of 2."""
    padded = np.pad(pixels, ((0, 0), (2, 2), (2, 2)))
    scaled = padded.astype(np.float32) / np.float32(127.5) - np.float32(1)
    return np.ascontiguousarray(np.repeat(scaled[:, np.newaxis], 3, axis=1))


def known(pixels: Array, targets: Array) -> KnownRows:
    """The rows in batches of 250, as the gates take them."""

    def batches() -> Iterator[tuple[dict[str, Array], Array]]:
        for start in range(0, len(targets), 250):
            part = slice(start, start + 250)
            yield {"image": images(pixels[part])}, targets[part]

    return KnownRows("mnist", len(targets), batches)


def signature(size: int) -> dict[str, Any]:
    """Its inputs and outputs, as a card has them."""
    return {
        "inputs": {"image": ["float32", ["batch", 3, size, size]]},
        "outputs": {"logits": ["float32", ["batch", CLASSES]]},
    }
