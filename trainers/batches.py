"""A data set on the training device with the batches that come out of it, and as prediction meets it.

The compact form stays on the device as one tensor (pictures as uint8); each batch is preprocessed
there, by the same table or the same code that prediction uses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ptx.infer.errors import InputError, UsageError, pluralise, quote
from ptx.infer.preprocessing import Pictures, Preprocessing
from ptx.infer.signature import Array, TensorSpec
from ptx.trainers.data import Split
from ptx.trainers.data.dataset import KINDS

SHOWN = 5  # names that an error lists

Batch = tuple[Tensor, ...]
Inputs = Callable[[Tensor], Batch]


class Feed:
    """The rows of a split, ready to be drawn in batches by index."""

    def __init__(self, split: Split, preprocessing: Preprocessing, device: str) -> None:
        ((_, raw),) = split.inputs.items()
        self.device = device
        self.targets = _tensor(split.targets, device)
        if preprocessing.pictures is not None:
            self._inputs = _pixels(raw, preprocessing, preprocessing.pictures, device)
        else:
            self._inputs = _arrays(preprocessing.read_rows(raw), preprocessing, device)

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, rows: Tensor) -> tuple[Batch, Tensor]:
        """The model's inputs, in the order of its forward method, and the targets of some rows.

        Args:
            rows: int64 (batch,) on the device.
        """
        return self._inputs(rows), self.targets[rows]


def check_split(
    split: Split, preprocessing: Preprocessing, labels: tuple[str, ...], *, name: str, model: str
) -> None:
    """Find out before any work that the rows, called `name`, are not for this model.

    Raises:
        UsageError: inputs or targets of another kind or size than the model takes.
        InputError: no rows, or a class index without a label.
    """
    held, wanted = _split_form(split), _sample_form(preprocessing)
    if held != wanted:
        raise UsageError(f"{model} takes {wanted}; {name} holds {held}")
    if not len(split):
        raise InputError(f"{name} has no rows; expected at least one", code="E-DATA")
    if (split.targets.dtype.kind == "f") == bool(labels):
        kinds = ("classes", "numbers") if labels else ("numbers", "classes")
        raise UsageError(f"{model} gives {kinds[0]}; {name} has {kinds[1]} as targets")
    if labels and not 0 <= split.targets.min() <= split.targets.max() < len(labels):
        raise InputError(
            f"{name} has class indices from {split.targets.min()} to {split.targets.max()}; {model}"
            f" has labels for 0 to {len(labels) - 1}",
            code="E-DATA",
        )


def _split_form(split: Split) -> str:
    ((kind, raw),) = split.inputs.items()
    return KINDS[kind].form.format(*raw.shape[1:])


def _sample_form(preprocessing: Preprocessing) -> str:
    if preprocessing.rows is None:
        return preprocessing.noun
    kind, shape = preprocessing.rows
    return KINDS[kind].form.format(*shape)


def _tensor(array: Array, device: str) -> Tensor:
    # torch has no read-only tensors and none with negative strides.
    return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(device)


def _pixels(raw: Array, preprocessing: Preprocessing, pictures: Pictures, device: str) -> Inputs:
    """`raw`: uint8 (rows, height, width[, channels]); each channel has a table of its own."""
    pixels, table = _tensor(raw, device), _tensor(pictures.table.ravel(), device)
    first = torch.arange(0, table.numel(), 256, device=device, dtype=torch.int32)
    channels = pictures.channels is not None
    (spec,) = preprocessing.specs

    def inputs(rows: Tensor) -> Batch:
        # On the CPU `index_select` is six times faster than the same with brackets.
        places = pixels.index_select(0, rows).int()
        if channels:
            places = places + first
        drawn = table.index_select(0, places.flatten())
        if not channels:
            shaped = drawn.view(len(rows), *pictures.sample_shape)
            return (shaped.movedim(0, spec.batch_axis),)
        shaped = drawn.view(places.shape).movedim(3, 1 + pictures.channel_axis)
        return (shaped.movedim(0, spec.batch_axis).contiguous(),)

    return inputs


def _arrays(samples: Sequence[Array], preprocessing: Preprocessing, device: str) -> Inputs:
    """All samples as one batch, padded to the longest; each drawn batch is cut to its own longest."""
    collated = preprocessing.collate(samples)
    specs = preprocessing.specs
    arrays = [_tensor(collated[spec.name], device) for spec in specs]
    padded = len({sample.shape for sample in samples}) > 1
    sizes = [len(sample) for sample in samples] if padded else []
    lengths = _tensor(np.asarray(sizes, np.int64), device)

    def inputs(rows: Tensor) -> Batch:
        longest = int(lengths[rows].max()) if padded else None
        return tuple(
            _cut(array, spec, longest).index_select(spec.batch_axis, rows)
            for array, spec in zip(arrays, specs, strict=True)
        )

    return inputs


def _cut(array: Tensor, spec: TensorSpec, longest: int | None) -> Tensor:
    for axis, size in enumerate(spec.axes):
        if longest is not None and isinstance(size, str) and axis != spec.batch_axis:
            array = array.narrow(axis, 0, longest)
    return array


def raw_samples(
    split: Split, preprocessing: Preprocessing, rows: Array, names: tuple[str, ...]
) -> Sequence[Array]:
    """What the preprocessing reads from some rows; `names`: the symbols of sequences, by index.

    Pictures that were fitted when the data set was read are samples already.
    """
    ((_, raw),) = split.inputs.items()
    if preprocessing.pictures is not None and not split.fitted:
        return [_read_picture(preprocessing, pixels) for pixels in raw[rows]]
    return preprocessing.read_rows(raw[rows], names)


def _read_picture(preprocessing: Preprocessing, pixels: Array) -> Array:
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
    read = np.stack([_read_picture(preprocessing, pixels) for pixels in pictures])
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
        listed, known = (", ".join(map(quote, some[:SHOWN])) for some in (unknown, labels))
        raise UsageError(
            f"of the data's labels {pluralise(len(unknown), 'is', 'are')} none of {model}'s: {listed};"
            f" expected {known} and so on: give data with the model's labels"
        )
    places = np.asarray([labels.index(name) for name in names], np.int64)
    targets: Array = places[split.targets]
    return targets
