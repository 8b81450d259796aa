"""The manifest of a model before its training: labels and sizes are those of the data."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ptx.infer.artifact.manifest import Manifest, check_lines
from ptx.infer.digits import ood
from ptx.infer.errors import InputError, UsageError, pluralise, quote
from ptx.infer.external.spec import ModelSpec
from ptx.infer.signature import Signature
from ptx.infer.tasks import TASKS
from ptx.models import ModelEntry
from ptx.trainers.batches import check_split
from ptx.trainers.data import Dataset
from ptx.trainers.data.bundled import DIGITS
from ptx.trainers.loop import TrainingSetup, fit_temperature
from ptx.trainers.model_data import documented_preprocessing
from ptx.trainers.recipe import Recipe, find_entry


def make_manifest(model: str, dataset: Dataset, recipe: Recipe, seed: int) -> Manifest:
    """The manifest of a model before its training: labels and sizes are those of the data.

    Raises:
        UsageError: there is no such model, or the data or the recipe is not for it.
        InputError: the data cannot be used for training.
    """
    entry = find_entry(model)
    preprocessing = dict(entry.preprocessing)
    _check_names(dataset)
    _check_data(entry, model, dataset)
    _check_recipe(entry, model, recipe)
    any_labels = TASKS[entry.task].any_labels
    config, signature = entry.sized(len(dataset.labels if any_labels else entry.labels))
    if recipe.standardise:
        columns = dataset.train.inputs[dataset.row_type].astype(np.float64)
        preprocessing["mean"] = columns.mean(axis=0).tolist()
        preprocessing["std"] = np.maximum(columns.std(axis=0), 1e-12).tolist()
    if recipe.max_pixel is not None:
        preprocessing.update(mean=0.0, std=1 / recipe.max_pixel)
    if dataset.resize_mode is not None:
        preprocessing["resize_mode"] = dataset.resize_mode
    if dataset.columns:
        preprocessing["names"] = list(dataset.columns)
    specification = ModelSpec(
        name=model, task=entry.task, preprocessing=preprocessing, labels=dataset.labels
    )
    return replace(
        specification.manifest(Signature.from_data(signature), name=model),
        config=config,
        training={
            "data": {
                "name": dataset.name,
                "source": dataset.source,
                "sha256": dataset.sha256,
                "rows": len(dataset.train),
                "test_rows": len(dataset.test),
                **({"split_bounds": list(dataset.split_bounds)} if dataset.split_bounds else {}),
            },
            "recipe": recipe.to_data(),
            "seed": seed,
        },
        versions={"ptx": importlib.metadata.version("ptx-toolkit"), "torch": torch.__version__},
    )


def with_calibration(manifest: Manifest, setup: TrainingSetup) -> Manifest:
    """The manifest of a fully trained network with its temperature, if it is a classifier.

    A model for digits resized as in MNIST also gets the out-of-distribution detector.
    """
    if not TASKS[manifest.task].reads_logits:
        return manifest
    calibration: dict[str, Any] = {"temperature": fit_temperature(setup)}
    resizing = [manifest.preprocessing.get(key) for key in ("resize_mode", "size")]
    if manifest.labels == DIGITS and resizing == ["mnist", list(ood.SIZE)]:
        calibration["ood_detector"] = ood.CURRENT
    return replace(manifest, calibration=calibration)


def _check_names(dataset: Dataset) -> None:
    """File names need not be valid text, but the manifest needs it."""
    for name in (dataset.name, dataset.source, *dataset.labels, *dataset.columns):
        if any(0xD800 <= ord(char) <= 0xDFFF for char in name):
            raise InputError(
                f"{quote(name)}, of the data set, is not valid text: rename the file or folder",
                code="E-DATA",
            )
    try:
        check_lines(dataset.labels)
    except ValueError as error:
        raise InputError(f"the data set's label {error}: rename it", code="E-DATA") from error


def _check_data(entry: ModelEntry, model: str, dataset: Dataset) -> None:
    preprocessing = documented_preprocessing(entry)
    for part, split in (("training", dataset.train), ("test", dataset.test)):
        name = f"the {part} split of {dataset.name}"
        labels = dataset.labels if entry.labels else ()
        check_split(split, preprocessing, labels, name=name, model=model)
    classes = len(dataset.labels)
    any_labels = TASKS[entry.task].any_labels
    expected = max(classes, 2) if any_labels else len(entry.labels)
    if classes != expected:
        minimum = "at least " if any_labels else ""
        raise UsageError(
            f"{dataset.name} has {pluralise(classes, 'class', 'classes')}; {model}, a model for"
            f" {entry.task}, takes {minimum}{expected}"
        )


def _check_recipe(entry: ModelEntry, model: str, recipe: Recipe) -> None:
    documented = entry.recipe["loss"]
    if recipe.loss.partition("-")[0] != documented.partition("-")[0]:
        raise UsageError(f"{model} cannot be trained with {recipe.loss}; expected {documented}")
    preprocessing = documented_preprocessing(entry)
    if recipe.standardise and not preprocessing.feature_names:
        raise UsageError(f"{model} has no columns to standardise")
    image_spec = preprocessing.image_spec
    if recipe.max_pixel is not None and (image_spec is None or image_spec.channels is not None):
        raise UsageError(f"{model} has no gray images for max_pixel {recipe.max_pixel:g}")
