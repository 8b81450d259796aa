"""The rows of a data set as prediction meets them: raw inputs, and classes by the model's labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ptx.infer.errors import InputError, UsageError, pluralise, quote
from ptx.infer.preprocessing import Preprocessing
from ptx.infer.signature import Array
from ptx.trainers.data import Split

_SHOWN = 5  # names that an error lists


def raw_samples(
    split: Split, preprocessing: Preprocessing, rows: Array, names: tuple[str, ...]
) -> list[Array]:
    """What the preprocessing reads from some rows; `names`: the symbols of sequences, by index.

    Pictures that were fitted when the data set was read are samples already.
    """
    ((kind, raw),) = split.inputs.items()
    values = raw[rows]
    if kind == "image":
        return list(values) if split.fitted else [read_picture(preprocessing, v) for v in values]
    if kind == "sequence" and names:
        return [preprocessing.read("".join(names[index] for index in row)) for row in values]
    return [preprocessing.read(value) for value in (values.tolist() if kind == "text" else values)]


def read_picture(preprocessing: Preprocessing, pixels: Array) -> Array:
    """A row's picture as prediction fits it; as it is where prediction would take it for blank."""
    try:
        return preprocessing.read(pixels)
    except InputError:
        return pixels


def as_read(split: Split, preprocessing: Preprocessing) -> Split:
    """The split with the pixels that prediction would make of its pictures."""
    pictures = split.inputs.get("image")
    if pictures is None or split.fitted or not len(pictures):
        return split
    read = np.stack([read_picture(preprocessing, pixels) for pixels in pictures])
    return replace(split, inputs={"image": read}, fitted=True)


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
