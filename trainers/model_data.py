"""The data set of a model: from --data, else that of its training, else the documented one."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ptx import models
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.errors import UsageError
from ptx.infer.preprocessing import Preprocessing, open_preprocessing
from ptx.infer.signature import Signature
from ptx.infer.tasks import find_task
from ptx.trainers.data import DATASETS, Dataset, Split, open_dataset
from ptx.trainers.data.dataset import ROW_TYPES

if TYPE_CHECKING:
    from ptx.models import ModelEntry

SELECTED = "selected"  # key of a manifest's `training`: what was found by trying, and its data

Notify = Callable[[str], None]


def open_model_data(
    model: str,
    source: str | None,
    *,
    cache: Path,
    manifest: Manifest | None = None,
    notify: Notify | None = None,
) -> Dataset:
    """The data set that a model is trained or evaluated on.

    Args:
        model: A name of the catalog, or of a custom model with a manifest.
        source: As in `open_dataset`. None means the data that the manifest names, else the
            documented data if it can be opened without the network, else the bundled data.
        cache: The folder of downloaded data.
        manifest: The manifest of a trained model, whose labels, columns and split bounds apply.
        notify: Called with a line about the data that is used, and about anything unusual in it.

    Raises:
        UsageError: there is no such data, or it is not for this model.
        InputError: the data cannot be used.
    """
    notify = notify or (lambda line: None)
    if manifest is not None and find_task(manifest.task).is_array:
        raise UsageError(
            f"no data has targets for the task {manifest.task!r}: evaluate its arrays yourself"
        )
    entry = models.lookup(model)
    if entry is None or not has_data(entry):
        dataset = _open_user_files(model, source, entry, manifest)
    else:
        dataset = _open_documented(model, entry, source, cache, manifest, notify)
    notify(
        f"data {dataset.name}: {len(dataset.train):,} training and {len(dataset.test):,} test rows"
        f" ({dataset.source})"
    )
    if dataset.note:
        notify(f"data {dataset.name}: {dataset.note}")
    if (
        manifest is not None
        and dataset.split_bounds
        and _split_bounds(manifest) is not None
        and manifest.training["data"]["sha256"] != dataset.sha256
    ):
        notify(
            f"data {dataset.name}: the rows differ from those of the training; no training row is a"
            " test row"
        )
    return dataset


def _open_documented(
    model: str,
    entry: ModelEntry,
    source: str | None,
    cache: Path,
    manifest: Manifest | None,
    notify: Notify,
) -> Dataset:
    resize_mode = str(entry.preprocessing.get("resize_mode", "mnist"))
    labels = None
    columns = (entry if manifest is None else manifest).preprocessing.get("names", ())
    if manifest is not None:
        resize_mode = str(manifest.preprocessing.get("resize_mode", resize_mode))
        labels = manifest.labels or None
        trained = str(manifest.training.get("data", {}).get("name", ""))
        selected = manifest.training.get(SELECTED, {}).get("data")
        if source is None and selected in DATASETS:
            source = selected
        if source is None and trained in DATASETS:
            source = trained
        elif source is None and trained:
            raise UsageError(
                f"{model} was trained on {trained}, which ptx does not have: give it as --data"
            )
    if source is None and is_local(entry.data, cache):
        source = entry.data
    elif source is None:
        source = "bundled"
        notify(
            f"{entry.data} is neither under PTX_DATA nor in {cache}: using the bundled data;"
            f" --data {entry.data} downloads it"
        )
    return open_dataset(
        source,
        default=entry.data,
        cache=cache,
        resize_mode=resize_mode,
        labels=labels,
        columns=columns,
        trained=manifest is not None,
        split_bounds=_split_bounds(manifest),
    )


def _open_user_files(
    model: str, source: str | None, entry: ModelEntry | None, manifest: Manifest | None
) -> Dataset:
    """The user's images, texts or table, for a model that ptx has no data for."""
    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] = ()  # without a manifest: training takes those of the data
    if manifest is not None:
        preprocessing, labels = (
            open_preprocessing(manifest.preprocessing, manifest.signature),
            manifest.labels,
        )
    elif entry is not None:
        preprocessing = documented_preprocessing(entry)
    if preprocessing is not None and preprocessing.image_spec and preprocessing.row_spec is None:
        raise UsageError(
            f"{model} takes images of any size, and a data set has images of one size: state `size` in"
            " the preprocessing of its model spec"
        )
    if preprocessing is None or preprocessing.row_spec is None:
        raise UsageError(f"ptx has no data for {model}, which takes neither images, texts nor rows")
    row_type, shape = preprocessing.row_spec
    rows = ROW_TYPES[row_type]
    if rows.loader is None:
        raise UsageError(f"ptx has no data for {model} and reads no files of {rows.plural}")
    if source is None:
        raise UsageError(f"ptx has no data for {model}: give --data, {rows.accepted_files}")
    split_bounds = _split_bounds(manifest)
    if (image_spec := preprocessing.image_spec) is not None:
        height, width = shape
        return open_dataset(
            source,
            default="mnist",
            cache=Path(),
            size=(height, width),
            labels=labels or None,
            split_bounds=split_bounds,
            **(
                {"resize_mode": image_spec.resize_mode}
                if image_spec.resize_mode
                else {"read": image_spec.to_pixels}
            ),
        )
    no_rows = Split({row_type: np.zeros((0, *shape), np.float32)}, np.zeros(0, np.int64))
    options = {
        "columns": preprocessing.feature_names,
        "trained": True,
        "split_bounds": split_bounds,
    }
    expected = Dataset(model, row_type, no_rows, no_rows, labels, "")
    load = pkgutil.resolve_name(rows.loader)
    dataset: Dataset = load(Path(source), labels or None, lambda: expected, options)
    return dataset


def _split_bounds(manifest: Manifest | None) -> list[int] | None:
    """The bounds that identify the test rows of a model trained on files; None for other models."""
    data = {} if manifest is None else manifest.training.get("data", {})
    bounds: list[int] | None = data.get("split_bounds")
    return bounds


def has_data(entry: ModelEntry) -> bool:
    """Whether ptx has data for a model; it has none for images without a named resize mode."""
    image_spec = documented_preprocessing(entry).image_spec
    return image_spec is None or image_spec.resize_mode is not None


def documented_preprocessing(entry: ModelEntry) -> Preprocessing:
    """The preprocessing of a model in the catalog."""
    return open_preprocessing(entry.preprocessing, Signature.from_data(entry.signature))


def is_local(name: str, cache: Path) -> bool:
    """Whether a data set of DATASETS can be opened without the network."""
    from ptx.trainers.data.mnist import FASHION, MNIST, find_folder

    files = FASHION if name == "fashion-mnist" else MNIST
    return not DATASETS[name].download or find_folder(files, cache) is not None


def labelled_test_rows(manifest: Manifest, dataset: Dataset) -> Split | None:
    """The test rows, with indices into the manifest's labels as targets.

    None if the manifest lacks one of the labels.
    """
    if bool(manifest.labels) != bool(dataset.labels) or not set(dataset.labels) <= set(
        manifest.labels
    ):
        return None
    if not manifest.labels:
        return dataset.test
    index = np.array([manifest.labels.index(label) for label in dataset.labels], np.int64)
    return replace(dataset.test, targets=index[dataset.test.targets])
