"""`hf:FOLDER`: an image classifier of transformers, as `save_pretrained` writes it into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers
from torch import nn

from ptx.export.libraries import LibraryModel
from ptx.infer.artifact.files import NAME
from ptx.infer.errors import ArtifactError, UsageError, quote

RESAMPLING = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers
PIXEL_SCALE = 1 / 255


def load(name: str, weights: Path | None) -> LibraryModel:
    """See `load_library_model`; `name` is the folder."""
    folder = Path(name)
    if weights is not None:
        raise UsageError(
            f"hf:{name} takes its weights from the folder: leave out the file of weights"
        )
    if not (folder / "config.json").is_file():
        raise UsageError(f"{quote(folder)} has no config.json; expected a folder of transformers")
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        network_class = _find_class(folder, config)
        network: nn.Module = network_class.from_pretrained(folder, local_files_only=True)
        processor = transformers.AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            folder, local_files_only=True
        )
    except UsageError:  # a subclass of ValueError
        raise
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(
            f"{quote(folder)} cannot be loaded: {_first_line(error)}", code="E-TORCH-LOAD"
        ) from error
    preprocessing = _preprocessing(folder, processor.to_dict())
    height, width = preprocessing["size"]
    labels = tuple(config.id2label[index] for index in range(len(config.id2label)))
    spec = {
        "name": folder.resolve().name if NAME.fullmatch(folder.resolve().name) else "network",
        "task": "classification",
        "signature": {
            "inputs": {"pixel_values": ["float32", ["batch", config.num_channels, height, width]]},
            "outputs": {"logits": ["float32", ["batch", len(labels)]]},
        },
        "preprocessing": preprocessing,
        "labels": labels,
    }
    return LibraryModel(network.eval(), spec, ("weights, transforms and labels are the folder's",))


def _find_class(folder: Path, config: Any) -> Any:
    """The class that wrote the folder.

    Raises:
        UsageError: it is not an image classifier of transformers itself.
    """
    name = (getattr(config, "architectures", None) or [""])[0]
    network_class = getattr(transformers, name, None) if name else None
    if network_class is None or not name.endswith("ForImageClassification"):
        raise UsageError(
            f"{quote(folder)} has {name or 'no named network'}; expected an image classifier of"
            " transformers (…ForImageClassification): write a function that returns the network and"
            " describe its inputs and outputs"
        )
    return network_class


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


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
