"""The spec of an image classifier of transformers, with its image processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers
from torch import nn

from ptx.infer.errors import UsageError, quote

RESAMPLING = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers
PIXEL_SCALE = 1 / 255


def specify_classifier(
    folder: Path, network: nn.Module, config: Any
) -> tuple[nn.Module, dict[str, Any]]:
    """The network, and the arguments of `describe` without the name.

    Raises:
        UsageError: the image processor has a step that ptx does not have.
        OSError, ValueError: it cannot be read.
    """
    processor = transformers.AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
        folder, local_files_only=True
    )
    preprocessing = _preprocessing(folder, processor.to_dict())
    height, width = preprocessing["size"]
    return network, {
        "task": "classification",
        "signature": {
            "inputs": {"pixel_values": ["float32", ["batch", config.num_channels, height, width]]},
            "outputs": {"logits": ["float32", ["batch", config.num_labels]]},
        },
        "preprocessing": preprocessing,
        "labels": tuple(config.id2label[index] for index in range(config.num_labels)),
    }


def _preprocessing(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The image processor's settings; it must resize, may crop the centre, and scales by 1/255.

    Raises:
        UsageError: it has a step that ptx does not have.
    """

    def refuse(what: str) -> UsageError:
        return UsageError(f"the image processor of {quote(folder)} {what}: describe it yourself")

    if not settings.get("do_resize", True):
        raise refuse("does not resize")
    if settings.get("do_pad"):
        raise refuse("pads images")
    if not settings.get("do_rescale", True) or settings.get("rescale_factor") != PIXEL_SCALE:
        raise refuse("does not scale pixels by 1/255")
    if int(settings.get("resample", 2)) not in RESAMPLING:
        raise refuse(f"resamples by Pillow's method {settings['resample']}")
    size = settings["size"]
    if settings.get("crop_pct"):  # ConvNeXT: resized to size / crop_pct, then cropped
        side = int(size["shortest_edge"])
        resize: int | list[int] = int(side / settings["crop_pct"]) if side < 384 else [side, side]
        crop = [side, side]
    elif "shortest_edge" in size:
        resize = int(size["shortest_edge"])
        crop = _crop(settings) or []
    else:
        resize = [int(size["height"]), int(size["width"])]
        crop = _crop(settings) or list(resize)
    if not crop:
        raise refuse("keeps the shape of an image, so that the network's input has no fixed size")
    normalize = settings.get("do_normalize", True)
    return {
        "kind": "rgb-image",
        "resize": resize,
        "size": crop,
        "interpolation": RESAMPLING[int(settings.get("resample", 2))],
        "mean": list(settings["image_mean"]) if normalize else [],
        "std": list(settings["image_std"]) if normalize else [],
    }


def _crop(settings: dict[str, Any]) -> list[int] | None:
    if not settings.get("do_center_crop"):
        return None
    return [int(settings["crop_size"]["height"]), int(settings["crop_size"]["width"])]
