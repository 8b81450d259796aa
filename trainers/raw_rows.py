"""The rows of a data set as prediction meets them: raw inputs, and classes by the model's labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ptx.infer.errors import InputError, UsageError, pluralise, quote
from ptx.infer.preprocessing import Preprocessing
from ptx.infer.signature import Array
from ptx.trainers.data import Split

_SHOWN = 5  # names that an error lists


def raw_samples(
    split: Split, preprocessing: Preprocessing, rows: Array, names: tuple[str, ...]
) -> Sequence[Array]:
    """What the preprocessing reads from some rows; `names`: the symbols of sequences, by index.

    Pictures that were fitted when the data set was read are samples already.
    """
    ((_, raw),) = split.inputs.items()
    if preprocessing.pictures is not None and not split.fitted:
        return [read_picture(preprocessing, pixels) for pixels in raw[rows]]
    return preprocessing.read_rows(raw[rows], names)


def read_picture(preprocessing: Preprocessing, pixels: Array) -> Array:
    """A row's picture as prediction fits it; as it is where prediction would take it for blank."""
    try:
        return preprocessing.read(pixels)
    except InputError:
        return pixels


def as_read(split: Split, preprocessing: Preprocessing) -> Split:
    """The split with the pixels that prediction would make of its pictures."""
    if preprocessing.pictures is None or split.fitted or not len(split):
        return split
    ((kind, pictures),) = split.inputs.items()
    read = np.stack([read_picture(preprocessing, pixels) for pixels in pictures])
    return replace(split, inputs={kind: read}, fitted=True)


def model_targets(
    split: Split, names: tuple[str, ...], labels: tuple[str, ...], model: str
) -> Array:
    """The targets as indices into the model's labels, found by name.

    Raises:
        UsageError: a name of the data is none of the model's labels.
    """
    if not names or names == labels:
        return split.targets
    unknown = [name for name in names if name not in labels]
    if unknown:
        listed, known = (", ".join(map(quote, some[:_SHOWN])) for some in (unknown, labels))
        raise UsageError(
            f"of the data's labels {pluralise(len(unknown), 'is', 'are')} none of {model}'s: {listed};"
            f" expected {known} and so on: give data with the model's labels"
        )
    places = np.asarray([labels.index(name) for name in names], np.int64)
    targets: Array = places[split.targets]
    return targets
