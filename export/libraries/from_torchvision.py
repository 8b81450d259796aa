"""`torchvision:NAME`: a classifier of torchvision with the transforms and categories of its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn
from torchvision import models
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from ptx.export.libraries import LibraryModel
from ptx.export.libraries.weights import build_with_weights
from ptx.infer.errors import UsageError, did_you_mean

INTERPOLATIONS = {InterpolationMode.BILINEAR: "bilinear", InterpolationMode.BICUBIC: "bicubic"}


def load(name: str, weights: Path | None) -> LibraryModel:
    """See `load_library_model`."""
    if name not in models.list_models():
        raise UsageError(
            f"torchvision has no model {name!r}; {did_you_mean(name, models.list_models())}"
        )
    published, choice = _choose_published(name, weights)
    transforms = published.transforms()
    if not isinstance(transforms, ImageClassification):
        raise UsageError(
            f"torchvision:{name} is not an image classifier: write a function that returns it and"
            " describe its inputs and outputs"
        )
    if transforms.interpolation not in INTERPOLATIONS:
        raise UsageError(
            f"torchvision:{name} resizes by {transforms.interpolation.value}; expected"
            f" {', '.join(INTERPOLATIONS.values())}"
        )
    categories = tuple(published.meta["categories"])

    def build(classes: int) -> nn.Module:
        options: dict[str, Any] = {"aux_logits": True} if name == "googlenet" else {}
        network: nn.Module = models.get_model(name, weights=None, num_classes=classes, **options)
        return network

    network, classes = build_with_weights(build, len(categories), weights)
    height, width = _pair(transforms.crop_size)
    spec: dict[str, Any] = {
        "name": name.replace("_", "-"),
        "task": "classification",
        "signature": {
            "inputs": {"image": ["float32", ["batch", 3, height, width]]},
            "outputs": {"logits": ["float32", ["batch", classes]]},
        },
        "preprocessing": {
            "kind": "rgb-image",
            "resize": _length(transforms.resize_size),
            "size": [height, width],
            "interpolation": INTERPOLATIONS[transforms.interpolation],
            "mean": list(transforms.mean),
            "std": list(transforms.std),
        },
    }
    if classes == len(categories):
        spec["labels"] = categories
    return LibraryModel(network, spec, (choice,))


def _choose_published(name: str, weights: Path | None) -> tuple[Any, str]:
    """The published weights whose transforms are taken: those of the file's name, else the default."""
    every = models.get_model_weights(name)
    default = every.DEFAULT
    if weights is not None:
        for published in every:
            if Path(published.url).name == weights.name:
                return published, f"transforms and labels are those of {published}"
    return default, f"transforms and labels are those of {default}, the default of torchvision"


def _pair(size: list[int]) -> tuple[int, int]:
    """Height and width."""
    return (size[0], size[0]) if len(size) == 1 else (size[0], size[1])


def _length(size: list[int]) -> int | list[int]:
    return size[0] if len(size) == 1 else list(size)
