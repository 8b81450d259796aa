"""A data set on the training device, and the batches that come out of it.

The compact form stays on the device as one tensor (pictures as uint8); each batch is preprocessed
there, by the same table or the same code that prediction uses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ptx.infer.errors import InputError, UsageError
from ptx.infer.preprocessing import Pictures, Preprocessing
from ptx.infer.signature import Array, TensorSpec
from ptx.trainers.data import Split
from ptx.trainers.data.dataset import KINDS

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

        `rows`: int64 (batch,) on the device.
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
