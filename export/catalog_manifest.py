"""The manifest for a bare state dict of a catalog network, from the catalog and the user's overrides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ptx.infer.artifact.manifest import Manifest
from ptx.infer.errors import UsageError, did_you_mean, quote
from ptx.infer.external.spec import ModelSpec
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.ranges import MAX_PIXEL, MEAN, STD
from ptx.infer.signature import Signature
from ptx.infer.tasks import TASKS
from ptx.models import known_models, lookup

ASSUMED = "assumed"  # key of a manifest's `training`: the inferred defaults, by topic


def catalog_manifest(model: str, overrides: ModelSpec) -> Manifest:
    """The manifest of the catalog's `model` with the overrides, and a record of what is assumed.

    Only labels and preprocessing may be overridden; other fields must match the catalog.

    Raises:
        UsageError: there is no such model, or an overridden field does not apply to it.
        InputError: E-SPEC: an overridden field does not fit the model.
    """
    entry = lookup(model)
    if entry is None:
        raise UsageError(f"there is no model {quote(model)}; {did_you_mean(model, known_models())}")
    if overrides.labels and not entry.labels:
        raise UsageError(f"{model} predicts a number, so it has no labels")
    labels = overrides.labels or entry.labels
    config, sized = entry.sized(len(labels if TASKS[entry.task].any_labels else entry.labels))
    signature = Signature.from_data(sized)
    documented = ModelSpec(
        overrides.origin, model, entry.task, signature.inputs, signature.outputs, labels=labels
    )
    for key in ("name", "task", "inputs", "outputs"):
        if key in overrides.explicit_fields and getattr(overrides, key) != getattr(documented, key):
            raise UsageError(
                f"{overrides.origin}: {key} differs from that of the catalog's {model}; for a bare state"
                " dict only preprocessing and labels can be overridden"
            )
    explicit = "preprocessing" in overrides.explicit_fields
    preprocessing = dict(overrides.preprocessing if explicit else entry.preprocessing)
    normalization = _normalization(overrides, preprocessing, signature, model)
    if explicit and normalization:
        raise UsageError(
            "mean, std and scale cannot be combined with the spec's preprocessing; give one of them"
        )
    manifest = replace(documented, preprocessing={**preprocessing, **normalization}).manifest(
        signature, name=model
    )
    assumed = {}
    if not explicit and not normalization:
        assumed["preprocessing"] = describe_settings(manifest)
    if labels and not overrides.labels:
        assumed["labels"] = f"{', '.join(labels)}, in this order"
    return replace(manifest, config=config, training={ASSUMED: assumed})


def _normalization(
    overrides: ModelSpec, preprocessing: dict[str, Any], signature: Signature, model: str
) -> dict[str, Any]:
    """The settings `mean` and `std` for pixels in [0, 1]; empty if neither is overridden."""
    if not overrides.mean and not overrides.std and overrides.scale is None:
        return {}
    for number in overrides.mean:
        MEAN.check("mean", number)
    for number in overrides.std:
        STD.check("std", number)
    if overrides.scale is not None:
        MAX_PIXEL.check("scale", overrides.scale)
    if len(overrides.mean) != len(overrides.std):
        raise UsageError("mean and std belong together; expected both, or neither")
    opened = open_preprocessing(preprocessing, signature)
    image_spec = opened.image_spec
    if image_spec is None and (not opened.feature_names or overrides.scale is not None):
        options, inputs = "mean, std and scale are", opened.plural
        if opened.feature_names:
            options, inputs = "scale is", "columns"
        raise UsageError(f"{options} only for images; {model} takes {inputs}")
    scale = 1.0 if overrides.scale is None else overrides.scale
    channels = (image_spec and image_spec.channels) or 1
    mean = [number / scale for number in overrides.mean or [0.0] * channels]
    std = [number / scale for number in overrides.std or [1.0] * channels]
    if image_spec is not None and image_spec.channels is None and len(mean) == 1:
        return {"mean": mean[0], "std": std[0]}
    return {"mean": mean, "std": std}


def describe_settings(manifest: Manifest) -> str:
    """The preprocessing as text: `pixels scaled to [0, 1], less 0.1307, divided by 0.3081`."""
    settings = dict(manifest.preprocessing)
    opened = open_preprocessing(settings, manifest.signature)
    kind, mean, std = (settings.pop(key, None) for key in ("kind", "mean", "std"))
    normalization = "" if mean is None else f", less {mean}, divided by {std}"
    if opened.image_spec is not None:
        return f"pixels scaled to [0, 1]{normalization}"
    if opened.feature_names:
        return f"columns as they are{normalization}"
    return f"{kind}: {', '.join(f'{key} {value}' for key, value in settings.items())}"


def published_manifest(manifest: Manifest, network: Any) -> Manifest:
    """The manifest of a network as it was published, if the catalog's variant differs."""
    differences = ", ".join(
        f"{key.replace('_', ' ')}: {value}" for key, value in network.PUBLISHED_CONFIG.items()
    )
    assumed = {**manifest.training[ASSUMED], "network": f"as the lecture types it ({differences})"}
    return replace(
        manifest,
        config={**manifest.config, **network.PUBLISHED_CONFIG},
        training={**manifest.training, ASSUMED: assumed},
    )
