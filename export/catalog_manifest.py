"""The manifest for a bare state dict of a catalog network: what the user states, else the catalog's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ptx.infer.artifact.manifest import Manifest
from ptx.infer.described.description import Description
from ptx.infer.errors import UsageError, nearest, quote
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.ranges import MAX_PIXEL, MEAN, STD
from ptx.infer.signature import Signature
from ptx.infer.tasks import TASKS
from ptx.models import known_models, lookup

ASSUMED = "assumed"  # key of a manifest's `training`: the inferred defaults, by topic


def catalog_manifest(model: str, stated: Description) -> Manifest:
    """The manifest of the catalog's `model` with what is stated, and a record of what is assumed.

    Only labels and preprocessing may be overridden; other fields must match the catalog.

    Raises:
        UsageError: there is no such model, or a stated field does not apply to it.
        InputError: E-DESCRIPTION: a stated field does not fit the model.
    """
    entry = lookup(model)
    if entry is None:
        raise UsageError(f"there is no model {quote(model)}; {nearest(model, known_models())}")
    if stated.labels and not entry.labels:
        raise UsageError(f"{model} gives a number: it has no labels")
    labels = stated.labels or entry.labels
    config, sized = entry.sized(len(labels if TASKS[entry.task].any_labels else entry.labels))
    signature = Signature.from_data(sized)
    documented = Description(
        stated.origin, model, entry.task, signature.inputs, signature.outputs, labels=labels
    )
    for key in ("name", "task", "inputs", "outputs"):
        if key in stated.given and getattr(stated, key) != getattr(documented, key):
            raise UsageError(
                f"{stated.origin}: {key} is not that of the catalog's {model}; of a bare state dict"
                " preprocessing and labels may be stated"
            )
    described = "preprocessing" in stated.given
    preprocessing = dict(stated.preprocessing if described else entry.preprocessing)
    normalization = _normalization(stated, preprocessing, signature, model)
    if described and normalization:
        raise UsageError("mean, std or scale is stated beside a description's preprocessing")
    manifest = replace(documented, preprocessing={**preprocessing, **normalization}).manifest(
        signature, name=model
    )
    assumed = {}
    if not described and not normalization:
        assumed["preprocessing"] = _describe_settings(manifest)
    if labels and not stated.labels:
        assumed["labels"] = f"{', '.join(labels)}, in this order"
    return replace(manifest, config=config, training={ASSUMED: assumed})


def _normalization(
    stated: Description, preprocessing: dict[str, Any], signature: Signature, model: str
) -> dict[str, Any]:
    """The settings `mean` and `std` for pixels in [0, 1]; none if nothing is stated."""
    if not stated.mean and not stated.std and stated.scale is None:
        return {}
    for number in stated.mean:
        MEAN.check("mean", number)
    for number in stated.std:
        STD.check("std", number)
    if stated.scale is not None:
        MAX_PIXEL.check("scale", stated.scale)
    if len(stated.mean) != len(stated.std):
        raise UsageError("mean and std belong together; expected both, or neither")
    opened = open_preprocessing(preprocessing, signature)
    pictures = opened.pictures
    if pictures is None and (not opened.columns or stated.scale is not None):
        what, taken = "mean, std and scale", opened.noun
        if opened.columns:
            what, taken = "scale", "columns"
        raise UsageError(f"{what} is said of pixels; {model} takes {taken}")
    scale = 1.0 if stated.scale is None else stated.scale
    channels = (pictures and pictures.channels) or 1
    mean = [number / scale for number in stated.mean or [0.0] * channels]
    std = [number / scale for number in stated.std or [1.0] * channels]
    if pictures is not None and pictures.channels is None and len(mean) == 1:
        return {"mean": mean[0], "std": std[0]}
    return {"mean": mean, "std": std}


def _describe_settings(manifest: Manifest) -> str:
    """`pixels scaled to [0, 1], less 0.1307, divided by 0.3081`."""
    settings = dict(manifest.preprocessing)
    opened = open_preprocessing(settings, manifest.signature)
    kind, mean, std = (settings.pop(key, None) for key in ("kind", "mean", "std"))
    normalised = "" if mean is None else f", less {mean}, divided by {std}"
    if opened.pictures is not None:
        return f"pixels scaled to [0, 1]{normalised}"
    if opened.columns:
        return f"columns as they are{normalised}"
    return f"{kind}: {', '.join(f'{key} {value}' for key, value in settings.items())}"


def published_manifest(manifest: Manifest, network: Any) -> Manifest:
    """The manifest of a network as it was published, if the catalog's variant differs."""
    words = ", ".join(
        f"{key.replace('_', ' ')}: {value}" for key, value in network.PUBLISHED_CONFIG.items()
    )
    assumed = {**manifest.training[ASSUMED], "network": f"as the lecture types it ({words})"}
    return replace(
        manifest,
        config={**manifest.config, **network.PUBLISHED_CONFIG},
        training={**manifest.training, ASSUMED: assumed},
    )
