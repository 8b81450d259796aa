"""Faults in a manifest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ptx.infer.artifact.manifest import Manifest
from ptx.infer.signature import Signature


def labels(manifest: Manifest, *order: int) -> dict[str, Any]:
    """The labels in another order."""
    return {"labels": tuple(manifest.labels[index] for index in order)}


def two_swapped(manifest: Manifest) -> dict[str, Any]:
    """3 and 8 have each other's place."""
    return labels(manifest, 0, 1, 2, 8, 4, 5, 6, 7, 3, 9)


def misspelt(manifest: Manifest) -> dict[str, Any]:
    """One label is another word."""
    return {"labels": (*manifest.labels[:-1], f"{manifest.labels[-1]}s")}


def columns_swapped(manifest: Manifest) -> dict[str, Any]:
    """The first two columns have each other's names."""
    first, second, *rest = manifest.preprocessing["names"]
    return {"preprocessing": {**manifest.preprocessing, "names": [second, first, *rest]}}


def standardised_otherwise(manifest: Manifest) -> dict[str, Any]:
    """Mean and standard deviation of the columns have changed places."""
    mean, std = ([float(n) + 1 for n in manifest.preprocessing[name]] for name in ("std", "mean"))
    return {"preprocessing": {**manifest.preprocessing, "mean": mean, "std": std}}


def outputs_swapped(manifest: Manifest) -> dict[str, Any]:
    """The second output stands first, and is what the labels are read from."""
    data = manifest.signature.to_data()
    data["outputs"] = dict(reversed(data["outputs"].items()))
    return {"signature": Signature.from_data(data)}


def axes_swapped(manifest: Manifest) -> dict[str, Any]:
    """Time and batch of the output have changed places."""
    data = manifest.signature.to_data()
    ((name, (dtype, (first, second, *rest))),) = data["outputs"].items()
    data["outputs"] = {name: [dtype, [second, first, *rest]]}
    return {"signature": Signature.from_data(data)}


def widened(manifest: Manifest) -> dict[str, Any]:
    """The golden samples allow everything."""
    free = dict.fromkeys(manifest.golden[0].tolerance, 1e9)
    golden = tuple(
        replace(each, tolerance=free, columns={}, predictions=()) for each in manifest.golden
    )
    end_to_end = tuple(
        replace(each, tolerance=free, columns={}, predictions=()) for each in manifest.end_to_end
    )
    return {"golden": golden, "end_to_end": end_to_end}


def recorded(manifest: Manifest, accuracy: float) -> dict[str, Any]:
    """The training is said to have reached another accuracy."""
    return {
        "training": {
            **manifest.training,
            "test": {**manifest.training["test"], "accuracy": accuracy},
        }
    }
