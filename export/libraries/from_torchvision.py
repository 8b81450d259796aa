"""`torchvision:NAME`: a network of torchvision with the transforms and categories of its weights.

Classifiers, and segmentation networks with a free height and width.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn
from torchvision import models
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification, SemanticSegmentation

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
    if not isinstance(transforms, ImageClassification | SemanticSegmentation):
        raise UsageError(
            f"torchvision:{name} is neither an image classifier nor a segmentation network: write a"
            " function that returns it and describe its inputs and outputs"
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
    default = "" if is_exact else ", the default of torchvision"
    notes = (f"transforms and labels are those of {published}{default}",)
    if isinstance(transforms, SemanticSegmentation):
        network, spec = _segmentation(name, published, weights)
    else:
        network, spec = _classification(name, published, weights, is_exact=is_exact)
    spec["preprocessing"] |= {
        "interpolation": INTERPOLATIONS[transforms.interpolation],
        "mean": list(transforms.mean),
        "std": list(transforms.std),
    }
    return LibraryModel(network, {"name": name.replace("_", "-"), **spec}, notes)


def _segmentation(name: str, published: Any, path: Path | None) -> tuple[nn.Module, dict[str, Any]]:
    """The network and its specification, but for what all images have in common."""
    categories = tuple(published.meta["categories"])

    def build(classes: int) -> nn.Module:
        network: nn.Module = models.get_model(
            name, weights=None, weights_backbone=None, num_classes=classes
        )
        return network

    network, classes = build_with_weights(build, len(categories), path, ignored="aux_classifier.")
    axes = ["height", "width"]
    spec: dict[str, Any] = {
        "task": "segmentation",
        "signature": {
            "inputs": {"image": ["float32", ["batch", 3, *axes]]},
            "outputs": {"out": ["float32", ["batch", classes, *axes]]},
        },
        "preprocessing": {
            "kind": "rgb-image",
            "resize": _length(published.transforms().resize_size),
        },
    }
    if classes == len(categories):
        spec["labels"] = categories
    return network, spec


def _classification(
    name: str, published: Any, path: Path | None, *, is_exact: bool
) -> tuple[nn.Module, dict[str, Any]]:
    """As `_segmentation`, for a classifier of cropped images."""
    transforms, categories = published.transforms(), tuple(published.meta["categories"])
    height, width = _pair(transforms.crop_size)
    options: dict[str, Any] = {}
    if name in TRANSFORM_INPUT:
        options = {"aux_logits": True, "init_weights": False, "transform_input": is_exact}
    elif name.startswith("vit_"):
        options = {"image_size": height}

    def build(classes: int) -> nn.Module:
        network: nn.Module = models.get_model(name, weights=None, num_classes=classes, **options)
        return network

    network, classes = build_with_weights(build, len(categories), path)
    spec: dict[str, Any] = {
        "task": "classification",
        "signature": {
            "inputs": {"image": ["float32", ["batch", 3, height, width]]},
            "outputs": {"logits": ["float32", ["batch", classes]]},
        },
        "preprocessing": {
            "kind": "rgb-image",
            "resize": _length(transforms.resize_size),
            "size": [height, width],
        },
    }
    if classes == len(categories):
        spec["labels"] = categories
    return network, spec


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
