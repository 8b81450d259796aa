"""The labels and preprocessing of a bare state dict, found by counting right test rows.

A state dict does not say how its network was trained. If labelled images are at hand, the network
predicts some of them with each known list of labels and each usual preprocessing. The combination that
is clearly right replaces what is otherwise assumed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ptx import models
from ptx.export import TrainedModel
from ptx.export.catalog_manifest import ASSUMED, describe_settings
from ptx.infer import Manifest
from ptx.infer.errors import InputError
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.signature import Array
from ptx.infer.tasks import classification, find_task
from ptx.trainers import DATASETS, Dataset, Split, has_data, is_local, open_dataset
from ptx.trainers.batches import apply_inference_preprocessing
from ptx.trainers.model_data import SELECTED

ROWS = 500  # test rows for each combination
MORE_ROWS = 2000  # for combinations that ROWS do not distinguish
BATCH = 100  # rows of one run of the network
# A combination counts as better than another if chance would make it so less often than this.
SIGNIFICANCE = 0.001
# The data sets that are tried if the user names none; each has its own list of labels.
IMAGE_DATASETS = ("bundled-mnist", "fashion-mnist")
# Usual preprocessings of gray images: the settings `mean` and `std`, for pixels from 0 to 1.
NORMALIZATIONS: dict[str, dict[str, float]] = {
    "pixels scaled to [0, 1]": {},
    "pixels from 0 to 255": {"mean": 0.0, "std": 1 / 255},
    "pixels scaled to [-1, 1]": {"mean": 0.5, "std": 0.5},
    "pixels scaled to [0, 1], less 0.1307, divided by 0.3081": {"mean": 0.1307, "std": 0.3081},
    "pixels scaled to [0, 1], less 0.286, divided by 0.353": {"mean": 0.286, "std": 0.353},
    "inverted pixels, scaled to [0, 1]": {"mean": 1.0, "std": -1.0},
    "inverted pixels, scaled to [-1, 1]": {"mean": 0.5, "std": -0.5},
}

Notify = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Combination:
    """Labels and a preprocessing, and the data on which they are tried.

    Attributes:
        manifest: With these labels and this preprocessing.
        preprocessing: The preprocessing, for messages.
        documented: Whether the preprocessing is the one that is assumed or stated.
    """

    dataset: Dataset
    manifest: Manifest
    preprocessing: str
    documented: bool

    @property
    def title(self) -> str:
        """For messages: `labels of bundled-mnist, pixels scaled to [0, 1]`."""
        return f"labels of {self.dataset.name}, {self.preprocessing}"

    @property
    def topics(self) -> dict[str, Any]:
        """What is tried, by the topics of `training["assumed"]`."""
        return {"labels": self.manifest.labels, "preprocessing": self.preprocessing}


@dataclass(frozen=True, eq=False)
class Trial:
    """The predictions of a network with one combination.

    Attributes:
        right: bool (rows,): whether the network's label is that of the data.
        baseline: The largest number of rows that have the same label.
    """

    combination: Combination
    right: Array
    baseline: int

    @property
    def count(self) -> int:
        """How many rows are right."""
        return int(self.right.sum())

    @property
    def is_right(self) -> bool:
        """Whether it makes at most half of the errors of always answering the most frequent label."""
        rows = len(self.right)
        return 2 * (rows - self.count) <= rows - self.baseline

    def __str__(self) -> str:
        return f"{self.combination.title}: {self.count:,} of {len(self.right):,} test rows right"


def resolve_assumptions(
    trained: TrainedModel, source: str | None, *, cache: Path, notify: Notify | None = None
) -> TrainedModel:
    """The model of a bare state dict with the labels and preprocessing that are clearly right.

    Only for classifiers of gray images; what the user stated is not changed. A combination is clearly
    right if it makes at most half of the errors of always answering the most frequent label, and all
    others are significantly worse. The count is stored in the manifest's `training["selected"]`; what
    is not decided stays in `training["assumed"]`.

    Args:
        source: As in `open_dataset`; None means the bundled digits, and Fashion-MNIST if it can be
            opened without the network.
        cache: The folder of downloaded data.
        notify: Called with a line about what was counted.

    Raises:
        UsageError: there is no such data, or it is not for this model.
        InputError: the data of `source` cannot be used.
    """
    notify = notify or (lambda line: None)
    combinations = list(_combinations(trained.manifest, source, cache, notify))
    if not combinations:
        return trained
    best, *others = _try(trained, combinations, ROWS)
    rivals = _rivals(best, others)
    if rivals and len(best.combination.dataset.test) > ROWS:
        close = [trial.combination for trial in (best, *rivals)]
        best, *closest = _try(trained, close, MORE_ROWS)
        rivals = _rivals(best, closest)
    if not best.is_right:
        notify(
            f"no known labels and preprocessing are clearly right; the best of {len(combinations)}"
            f" combinations is {best}; --data takes other labelled images"
        )
        return trained
    equal = [best, *rivals]
    chosen = next((trial for trial in equal if trial.combination.documented), best)
    line, record = str(chosen), _record(chosen)
    if rivals:
        shown = (f"{trial.combination.preprocessing}: {trial.count:,}" for trial in equal)
        line += f"; too close to decide between {', '.join(shown)}"
    elif others:
        line += f"; next best {others[0].count:,}"
        record["next_best"] = others[0].count
    notify(line)
    assumed = dict(trained.manifest.training[ASSUMED])
    for topic, value in chosen.combination.topics.items():
        if all(trial.combination.topics[topic] == value for trial in equal):
            assumed.pop(topic, None)
        elif topic in assumed:
            assumed[topic] = value
    training = {**trained.manifest.training, ASSUMED: assumed, SELECTED: record}
    return replace(trained, manifest=replace(chosen.combination.manifest, training=training))


def _record(trial: Trial) -> dict[str, Any]:
    """What the manifest stores about the choice."""
    return {
        "data": trial.combination.dataset.name,
        "preprocessing": trial.combination.preprocessing,
        "right": trial.count,
        "rows": len(trial.right),
    }


def _takes_gray_images(manifest: Manifest) -> bool:
    image_spec = open_preprocessing(manifest.preprocessing, manifest.signature).image_spec
    return image_spec is not None and image_spec.channels is None


def _combinations(
    manifest: Manifest, source: str | None, cache: Path, notify: Notify
) -> Iterator[Combination]:
    """All combinations for a model; none if nothing is assumed or no data has images for it."""
    assumed = manifest.training.get(ASSUMED, {})
    entry = models.lookup(manifest.model)
    if (
        not {"labels", "preprocessing"} & set(assumed)
        or entry is None
        or find_task(manifest.task).decode is not classification
        or not _takes_gray_images(manifest)
        or not has_data(entry)
    ):
        return
    for dataset in _datasets(manifest, entry.data, source, cache, notify):
        labels = manifest.labels
        if "labels" in assumed:
            labels = _label_order(dataset.labels, manifest.labels)
        if set(dataset.labels) <= set(labels):
            for text, settings in _preprocessings(manifest, dataset, "preprocessing" in assumed):
                yield Combination(
                    dataset,
                    replace(manifest, labels=labels, preprocessing=settings),
                    text,
                    documented=_normalization(settings) == _normalization(manifest.preprocessing),
                )


def _datasets(
    manifest: Manifest, default: str, source: str | None, cache: Path, notify: Notify
) -> Iterator[Dataset]:
    """The labelled images at hand."""
    if source is not None:
        mode = str(manifest.preprocessing["resize_mode"])
        yield open_dataset(source, default=default, cache=cache, resize_mode=mode)
        return
    for name in IMAGE_DATASETS:
        try:
            if is_local(name, cache):
                yield open_dataset(name, default=default, cache=cache)
            elif name == default:
                notify(f"{name} is neither under PTX_DATA nor in {cache}: its labels are not tried")
        except InputError as error:
            notify(f"{name} is not tried: {error}")


def _label_order(labels: tuple[str, ...], assumed: tuple[str, ...]) -> tuple[str, ...]:
    """The labels of the network's outputs, if these are the labels of the data.

    They are the assumed or another known list that contains the labels of the data, else the labels of
    the data in their own order. A list of another length than the assumed one is not for this network.
    """
    known = [
        assumed,
        *(models.CATALOG[name].labels for name in ("convnet", "neural-network")),
        labels,
    ]
    fitting = (one for one in known if set(labels) <= set(one) and len(one) == len(assumed))
    return next(fitting, assumed)


def _preprocessings(
    manifest: Manifest, dataset: Dataset, assumed: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The preprocessings to try, each with its text; only the manifest's if that one was stated."""
    settings = dict(manifest.preprocessing)
    documented = _normalization(settings)
    if not assumed:
        yield describe_settings(manifest), settings
        return
    if dataset.name in DATASETS:
        settings["resize_mode"] = dataset.resize_mode
    if documented not in map(_normalization, NORMALIZATIONS.values()):
        yield describe_settings(manifest), settings
    for key in ("mean", "std"):
        settings.pop(key, None)
    for text, normalization in NORMALIZATIONS.items():
        yield text, {**settings, **normalization}


def _normalization(settings: Mapping[str, Any]) -> tuple[float, float]:
    """Mean and standard deviation."""
    return float(settings.get("mean", 0.0)), float(settings.get("std", 1.0))


def _try(trained: TrainedModel, combinations: Sequence[Combination], rows: int) -> list[Trial]:
    """A trial of each combination on up to `rows` test rows, the best first.

    Of equally good ones the documented one comes first.
    """
    splits: dict[str, Split] = {}
    trials = []
    for one in combinations:
        dataset = one.dataset
        if dataset.name not in splits:
            chosen = np.random.default_rng(0).permutation(len(dataset.test))[:rows]
            preprocessing = open_preprocessing(one.manifest.preprocessing, one.manifest.signature)
            splits[dataset.name] = apply_inference_preprocessing(
                dataset.test.take(chosen), preprocessing
            )
        trials.append(_try_one(trained, one, splits[dataset.name]))
    return sorted(trials, key=lambda trial: (-trial.count, not trial.combination.documented))


def _try_one(trained: TrainedModel, combination: Combination, split: Split) -> Trial:
    """The predictions of the network in eager PyTorch."""
    import torch

    manifest, labels = combination.manifest, combination.dataset.labels
    preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
    samples = preprocessing.transform_rows(split.inputs["image"])
    predicted = []
    for start in range(0, len(samples), BATCH):
        inputs = preprocessing.collate(samples[start : start + BATCH])
        with torch.inference_mode():
            logits = trained.network(*(torch.from_numpy(array) for array in inputs.values()))
        predicted.append(logits.argmax(dim=-1).numpy())
    index = np.array([manifest.labels.index(label) for label in labels], np.int64)
    right = np.concatenate(predicted) == index[split.targets]
    return Trial(combination, right, int(np.bincount(split.targets).max()))


def _rivals(best: Trial, others: Sequence[Trial]) -> list[Trial]:
    """The trials that are not significantly worse than the best."""
    return [trial for trial in others if _chance(best.right, trial.right) >= SIGNIFICANCE]


def _chance(first: Array, second: Array) -> float:
    """The p-value of a two-sided sign test on the rows that only one of two trials has right.

    Rows of different data sets are independent, so that any pairing of them is valid.
    """
    rows = min(len(first), len(second))
    better = int((first[:rows] & ~second[:rows]).sum())
    worse = int((second[:rows] & ~first[:rows]).sum())
    tail = sum(math.comb(better + worse, k) for k in range(min(better, worse) + 1))
    return min(1.0, 2 * tail / (1 << (better + worse)))
