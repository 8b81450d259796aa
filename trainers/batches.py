"""Batches of a data set on the training device, and its rows preprocessed as in prediction.

The raw rows stay on the device as one tensor (images as uint8). Each batch is preprocessed there, with
the lookup table or the code that prediction uses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ptx.infer.errors import InputError, UsageError, pluralise, quote
from ptx.infer.preprocessing import ImageSpec, Preprocessing
from ptx.infer.signature import Array, TensorSpec
from ptx.trainers.data import Split
from ptx.trainers.data.dataset import ROW_TYPES

SHOWN = 5  # names that an error lists

Batch = tuple[Tensor, ...]
Inputs = Callable[[Tensor], Batch]


class BatchLoader:
    """The rows of a split on a device, as batches by row index."""

    def __init__(self, split: Split, preprocessing: Preprocessing, device: str) -> None:
        ((_, raw),) = split.inputs.items()
        self.device = device
        self.targets = _tensor(split.targets, device)
        if preprocessing.image_spec is not None:
            self._inputs = _image_inputs(raw, preprocessing, preprocessing.image_spec, device)
        else:
            self._inputs = _array_inputs(preprocessing.transform_rows(raw), preprocessing, device)

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, rows: Tensor) -> tuple[Batch, Tensor]:
        """The model's inputs, in the order of its forward method, and the targets of these rows.

        Args:
            rows: int64 (batch,) on the device.
        """
        return self._inputs(rows), self.targets[rows]


def check_split(
    split: Split, preprocessing: Preprocessing, labels: tuple[str, ...], *, name: str, model: str
) -> None:
    """Check that the model can take these rows; `name` is what messages call them.

    Raises:
        UsageError: the inputs or targets differ in type or size from what the model takes.
        InputError: there are no rows, or a class index has no label.
    """
    actual, expected = _describe_rows(split), _describe_samples(preprocessing)
    if actual != expected:
        raise UsageError(f"{model} takes {expected}; {name} has {actual}")
    if not len(split):
        raise InputError(f"{name} has no rows; expected at least one", code="E-DATA")
    if (split.targets.dtype.kind == "f") == bool(labels):
        predicted, stored = ("classes", "numbers") if labels else ("numbers", "classes")
        raise UsageError(f"{model} predicts {predicted}; {name} has {stored} as targets")
    if labels and not 0 <= split.targets.min() <= split.targets.max() < len(labels):
        raise InputError(
            f"{name} has class indices from {split.targets.min()} to {split.targets.max()}; {model}"
            f" has labels for 0 to {len(labels) - 1}",
            code="E-DATA",
        )


def _describe_rows(split: Split) -> str:
    ((kind, raw),) = split.inputs.items()
    return ROW_TYPES[kind].description.format(*raw.shape[1:])


def _describe_samples(preprocessing: Preprocessing) -> str:
    if preprocessing.row_spec is None:
        return preprocessing.plural
    kind, shape = preprocessing.row_spec
    return ROW_TYPES[kind].description.format(*shape)


def _tensor(array: Array, device: str) -> Tensor:
    # torch has no read-only tensors and none with negative strides.
    return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(device)


def _image_inputs(
    raw: Array, preprocessing: Preprocessing, image_spec: ImageSpec, device: str
) -> Inputs:
    """Images looked up in one table for each channel; `raw`: uint8 (rows, height, width[, channels])."""
    pixels, table = _tensor(raw, device), _tensor(image_spec.lookup_table.ravel(), device)
    table_start = torch.arange(0, table.numel(), 256, device=device, dtype=torch.int32)
    channels = image_spec.channels is not None
    (spec,) = preprocessing.specs

    def inputs(rows: Tensor) -> Batch:
        # On the CPU `index_select` is six times faster than indexing with brackets.
        indices = pixels.index_select(0, rows).int()
        if channels:
            indices = indices + table_start
        values = table.index_select(0, indices.flatten())
        if not channels:
            images = values.view(len(rows), *image_spec.sample_shape)
            return (images.movedim(0, spec.batch_axis),)
        images = values.view(indices.shape).movedim(3, 1 + image_spec.channel_axis)
        return (images.movedim(0, spec.batch_axis).contiguous(),)

    return inputs


def _array_inputs(samples: Sequence[Array], preprocessing: Preprocessing, device: str) -> Inputs:
    """All samples as one batch, padded to the longest; each batch is cut to its own longest sample."""
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


def read_samples(
    split: Split, preprocessing: Preprocessing, rows: Array, names: tuple[str, ...]
) -> Sequence[Array]:
    """Some rows as preprocessed samples, one array each; `names`: the symbols of sequences, by index.

    Images that were resized when the data set was read are not resized again.
    """
    ((_, raw),) = split.inputs.items()
    if preprocessing.image_spec is not None and not split.already_resized:
        return [_resize_image(preprocessing, pixels) for pixels in raw[rows]]
    return preprocessing.transform_rows(raw[rows], names)


def _resize_image(preprocessing: Preprocessing, pixels: Array) -> Array:
    """An image resized as in prediction; unchanged if prediction would reject it as blank."""
    try:
        return preprocessing.transform(pixels)
    except InputError:
        return pixels


def apply_inference_preprocessing(split: Split, preprocessing: Preprocessing) -> Split:
    """The split with its images resized as in prediction; a split without images is unchanged."""
    if preprocessing.image_spec is None or split.already_resized or not len(split):
        return split
    ((kind, images),) = split.inputs.items()
    resized = np.stack([_resize_image(preprocessing, pixels) for pixels in images])
    return replace(split, inputs={kind: resized}, already_resized=True)


def model_targets(
    split: Split, names: tuple[str, ...], labels: tuple[str, ...], model: str
) -> Array:
    """The targets as indices into the model's labels, matched by name.

    Raises:
        UsageError: a label of the data is not a label of the model.
    """
    if not names or names == labels:
        return split.targets
    unknown = [name for name in names if name not in labels]
    if unknown:
        listed, known = (", ".join(map(quote, some[:SHOWN])) for some in (unknown, labels))
        raise UsageError(
            f"{model} does not have {pluralise(len(unknown), 'label')} of the data: {listed}; its labels"
            f" are {known} and so on: use data with the model's labels"
        )
    index = np.asarray([labels.index(name) for name in names], np.int64)
    targets: Array = index[split.targets]
    return targets
