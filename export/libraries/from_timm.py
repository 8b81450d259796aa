"""`timm:NAME` or `timm:NAME.TAG`: a classifier of timm with the data configuration of its weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import timm
from timm.data.config import resolve_data_config
from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset
from torch import nn

from ptx.export.libraries import LibraryModel
from ptx.export.libraries.weights import build_with_weights
from ptx.infer.errors import UsageError, did_you_mean

INTERPOLATIONS = ("bilinear", "bicubic")


def load(name: str, weights: Path | None) -> LibraryModel:
    """See `load_library_model`."""
    architecture = name.partition(".")[0]
    if architecture not in timm.list_models():
        raise UsageError(
            f"timm has no model {name!r}; {did_you_mean(architecture, timm.list_models())}"
        )
    published = timm.get_pretrained_cfg(name)
    classes = published.num_classes if published and published.num_classes else 1000

    def build(number: int) -> nn.Module:
        network: nn.Module = timm.create_model(name, pretrained=False, num_classes=number)
        return network

    network, classes = build_with_weights(build, classes, weights)
    config = resolve_data_config({}, model=network)  # type: ignore[no-untyped-call]
    channels, height, width = config["input_size"]
    spec: dict[str, Any] = {
        "name": architecture.replace("_", "-"),
        "task": "classification",
        "signature": {
            "inputs": {"image": ["float32", ["batch", channels, height, width]]},
            "outputs": {"logits": ["float32", ["batch", classes]]},
        },
        "preprocessing": _preprocessing(name, config),
    }
    labels = _labels(network, published, classes)
    if labels:
        spec["labels"] = labels
    tag = f"{published.architecture}.{published.tag}" if published else architecture
    return LibraryModel(
        network, spec, (f"transforms and labels are those of {tag}, as timm configures it",)
    )


def _preprocessing(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """timm's evaluation transform: resize, crop the centre, normalise.

    Raises:
        UsageError: it pads, or uses an interpolation that ptx does not have.
    """
    _, height, width = config["input_size"]
    if config["interpolation"] not in INTERPOLATIONS:
        raise UsageError(
            f"timm:{name} resizes by {config['interpolation']}; expected {', '.join(INTERPOLATIONS)}"
        )
    if config["crop_mode"] == "border":
        raise UsageError(
            f"timm:{name} pads images to its size (crop mode 'border'), which ptx does not: describe"
            " its preprocessing yourself"
        )
    lengths = [math.floor(side / config["crop_pct"]) for side in (height, width)]
    squash = config["crop_mode"] == "squash" or lengths[0] != lengths[1]
    return {
        "kind": "rgb-image",
        "resize": lengths if squash else lengths[0],
        "size": [height, width],
        "interpolation": config["interpolation"],
        "mean": list(config["mean"]),
        "std": list(config["std"]),
    }


def _labels(network: nn.Module, published: Any, classes: int) -> tuple[str, ...]:
    """The names of the classes; none if timm does not know them."""
    if published is None or classes != published.num_classes:
        return ()
    if published.label_names:
        return tuple(published.label_names)
    subset = infer_imagenet_subset(network)
    if subset is None:
        return ()
    info = ImageNetInfo(subset)
    return tuple(info.index_to_description(index) for index in range(classes))
