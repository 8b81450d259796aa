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
from ptx.infer.errors import UsageError, did_you_mean, quote

# With published weights torchvision has these networks normalise their input anew; a state dict does not
# tell whether its network did.
TRANSFORM_INPUT = ("googlenet", "inception_v3")
INTERPOLATIONS = {InterpolationMode.BILINEAR: "bilinear", InterpolationMode.BICUBIC: "bicubic"}


def load(name: str, weights: Path | None) -> LibraryModel:
    """See `load_library_model`."""
    if name not in models.list_models():
        raise UsageError(
            f"torchvision has no model {name!r}; {did_you_mean(name, models.list_models())}"
        )
    published, is_exact = _choose_published(name, weights)
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
    if name in TRANSFORM_INPUT and weights is not None and not is_exact:
        raise UsageError(
            f"{quote(weights)} is not a published file of torchvision:{name}, so it is unknown whether"
            " its network had transform_input: write a function that returns it and describe its inputs"
        )
    categories = tuple(published.meta["categories"])
    height, width = _pair(transforms.crop_size)
    options: dict[str, Any] = {}
    if name in TRANSFORM_INPUT:
        options = {"aux_logits": True, "init_weights": False, "transform_input": is_exact}
    elif name.startswith("vit_"):
        options = {"image_size": height}

    def build(classes: int) -> nn.Module:
        network: nn.Module = models.get_model(name, weights=None, num_classes=classes, **options)
        return network

    network, classes = build_with_weights(build, len(categories), weights)
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
    default = "" if is_exact else ", the default of torchvision"
    notes = (f"transforms and labels are those of {published}{default}",)
    return LibraryModel(network, spec, notes)


def _choose_published(name: str, weights: Path | None) -> tuple[Any, bool]:
    """The published weights whose transforms are used, and whether the file has exactly their name."""
    every = models.get_model_weights(name)
    if weights is not None:
        for published in every:
            if Path(published.url).name == weights.name:
                return published, True
    return every.DEFAULT, False


def _pair(size: list[int]) -> tuple[int, int]:
    """Height and width."""
    return (size[0], size[0]) if len(size) == 1 else (size[0], size[1])


def _length(size: list[int]) -> int | list[int]:
    return size[0] if len(size) == 1 else list(size)
