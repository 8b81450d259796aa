"""Four networks of torchvision, trained on MNIST in 32×32 pixels and three channels: for `form_table`.

Nothing is downloaded, so their weights are random at first, and no label of random weights means
anything. One or two passes over MNIST's 60,000 rows, a few minutes each on two cores, bring each above
98 %. A training that was cut off goes on after the last steps that it wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn
from torchvision import models

from ptx.export import KnownRows
from ptx.infer.signature import Array
from ptx.trainers import Dataset

CLASSES, SMALL, LARGE = 10, 32, 224  # labels; pixels a side: trained at, and of the papers
EPOCHS: Final = {
    "resnet18": 1,
    "mobilenet_v3_small": 1,
    "efficientnet_b0": 1,
    "vision_transformer": 2,
}
BATCH, RATE, SEED, SAVED = 128, 1e-3, 0, 50  # rows; the largest learning rate; steps
NORMALISED: Final = 12_800  # rows
# torchvision's class at 32 pixels: patches of 8, 4 blocks, 3 heads, width 192; at 224 it is vit_b_16.
# Its patches are read by four convolutions, https://arxiv.org/abs/2106.14881, as the class offers.
TRANSFORMER = (SMALL, 8, 4, 3, 192, 768)
STEM = ((48, 3, 2), (96, 3, 2), (192, 3, 2))  # channels, kernel, stride


def make(name: str, size: int) -> nn.Module:
    """The network for pictures of that many pixels a side, with random weights."""
    torch.manual_seed(SEED)
    if name == "vision_transformer" and size == SMALL:
        stem = [models.vision_transformer.ConvStemConfig(*layer) for layer in STEM]
        network: nn.Module = models.VisionTransformer(
            *TRANSFORMER, num_classes=CLASSES, conv_stem_configs=stem
        )
        return network
    build: Callable[..., nn.Module] = getattr(
        models, name.replace("vision_transformer", "vit_b_16")
    )
    return build(weights=None, num_classes=CLASSES)


def train(name: str, dataset: Dataset, path: Path) -> nn.Module:
    """The network with what it learned, in `path`, or learns now: Adam, one cycle, batches of 128."""
    network = make(name, SMALL).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    each = len(dataset.train.targets) // BATCH
    steps = each * EPOCHS[name]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    parts: dict[str, Any] = {"network": network, "optimizer": optimizer, "schedule": schedule}
    done = _go_on(parts, path)
    network.train()
    for step in range(done, steps):
        loss = nn.functional.cross_entropy(*_batch(network, dataset, step, each))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if (step + 1) % SAVED == 0 or step + 1 == steps:
            print(f"{name}: step {step + 1} of {steps}, loss {loss.item():.3f}", flush=True)
            states = {key: part.state_dict() for key, part in parts.items()}
            torch.save({"steps": step + 1, **states}, path)
    update_bn(_normalised(dataset), network)
    return network.to(memory_format=torch.contiguous_format).eval()


def _normalised(dataset: Dataset) -> Iterator[Tensor]:
    """What the statistics of batch normalisation are taken of: those of a short training lag behind."""
    pixels = dataset.train.inputs["image"]
    for start in range(0, NORMALISED, BATCH):
        part = torch.from_numpy(images(pixels[start : start + BATCH]))
        yield part.contiguous(memory_format=torch.channels_last)


def _go_on(parts: dict[str, Any], path: Path) -> int:
    """Read what a training wrote that was cut off; the steps that it had done."""
    if not path.exists():
        return 0
    saved = torch.load(path, weights_only=True)
    for key, part in parts.items():
        part.load_state_dict(saved[key])
    return int(saved["steps"])


def _batch(network: nn.Module, dataset: Dataset, step: int, each: int) -> tuple[Tensor, Tensor]:
    """Logits and targets of a step's rows; an epoch has every row once, in an order of its own."""
    pixels, targets = dataset.train.inputs["image"], dataset.train.targets
    epoch, place = divmod(step, each)
    order = np.random.default_rng([SEED, epoch]).permutation(len(targets))
    rows = order[place * BATCH : (place + 1) * BATCH]
    batch = torch.from_numpy(images(pixels[rows])).contiguous(memory_format=torch.channels_last)
    return network(batch), torch.from_numpy(targets[rows])


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
