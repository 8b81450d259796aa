"""A data set on the training device, and the batches that come out of it.

The compact form stays on the device as one tensor (pictures as uint8); each batch is preprocessed
there, by the same table or the same code that prediction uses.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ptx.infer.errors import InputError, UsageError
from ptx.infer.preprocessing import Preprocessing
from ptx.infer.preprocessing.columns import ColumnsPreprocessing
from ptx.infer.preprocessing.gray import GrayPreprocessing
from ptx.infer.preprocessing.photo import PhotoPreprocessing
from ptx.infer.preprocessing.symbols import SymbolsPreprocessing
from ptx.infer.preprocessing.text import TextPreprocessing
from ptx.infer.signature import Array
from ptx.trainers.data import Split

Batch = tuple[Tensor, ...]
Inputs = Callable[[Tensor], Batch]

_FORMS = {  # what rows hold, by their kind and the size of one
    "image": "pictures of {}×{}",
    "columns": "numbers, {} a row",
    "text": "texts",
    "sequence": "sequences of symbols",
}


class Feed:
    """The rows of a split, ready to be drawn in batches by index."""

    def __init__(self, split: Split, preprocessing: Preprocessing, device: str) -> None:
        kind, raw = next(iter(split.inputs.items()))
        self.device = device
        self.targets = _tensor(split.targets, device)
        self._inputs = FEEDS[kind](raw, preprocessing, device)

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
    return _FORMS[kind].format(*raw.shape[1:])


def _sample_form(preprocessing: Preprocessing) -> str:
    if isinstance(preprocessing, GrayPreprocessing | PhotoPreprocessing):
        return _FORMS["image"].format(preprocessing.height, preprocessing.width)
    if isinstance(preprocessing, ColumnsPreprocessing):
        return _FORMS["columns"].format(len(preprocessing.names))
    return _FORMS["text" if isinstance(preprocessing, TextPreprocessing) else "sequence"]


def _tensor(array: Array, device: str) -> Tensor:
    # torch has no read-only tensors and none with negative strides.
    return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(device)


def _images(raw: Array, preprocessing: Preprocessing, device: str) -> Inputs:
    if isinstance(preprocessing, PhotoPreprocessing):
        return _photos(raw, preprocessing, device)
    assert isinstance(preprocessing, GrayPreprocessing)
    pixels, table = _tensor(raw, device), _tensor(preprocessing.table, device)
    shape, axis = preprocessing.sample_shape, preprocessing.spec.batch_axis

    def inputs(rows: Tensor) -> Batch:
        # On the CPU `index_select` is six times faster than the same with brackets.
        drawn = table.index_select(0, pixels.index_select(0, rows).flatten().int())
        return (drawn.view(len(rows), *shape).movedim(0, axis),)

    return inputs


def _photos(raw: Array, preprocessing: PhotoPreprocessing, device: str) -> Inputs:
    """`raw`: uint8 (rows, height, width, channels); each channel has a table of its own."""
    pixels, table = _tensor(raw, device), _tensor(preprocessing.table.ravel(), device)
    first = 256 * torch.arange(preprocessing.channels, device=device, dtype=torch.int32)
    channels, axis = preprocessing.channel_axis, preprocessing.spec.batch_axis

    def inputs(rows: Tensor) -> Batch:
        places = pixels.index_select(0, rows).int() + first
        drawn = table.index_select(0, places.flatten()).view(places.shape)
        return (drawn.movedim(3, 1 + channels).movedim(0, axis).contiguous(),)

    return inputs


def _columns(raw: Array, preprocessing: Preprocessing, device: str) -> Inputs:
    assert isinstance(preprocessing, ColumnsPreprocessing)
    columns = _tensor(preprocessing.standardise(raw), device)
    return lambda rows: (columns[rows],)


def _texts(raw: Array, preprocessing: Preprocessing, device: str) -> Inputs:
    assert isinstance(preprocessing, TextPreprocessing)
    arrays = preprocessing.collate([preprocessing.read(text) for text in raw.tolist()])
    characters, lengths = (_tensor(array, device) for array in arrays.values())

    def inputs(rows: Tensor) -> Batch:
        drawn = lengths[rows]
        return characters[rows, : int(drawn.max())], drawn

    return inputs


def _sequences(raw: Array, preprocessing: Preprocessing, device: str) -> Inputs:
    assert isinstance(preprocessing, SymbolsPreprocessing)
    (array,) = preprocessing.collate(list(raw)).values()
    axis = preprocessing.spec.batch_axis
    sequences = _tensor(array, device)
    return lambda rows: (sequences.index_select(axis, rows),)


FEEDS: dict[str, Callable[[Array, Preprocessing, str], Inputs]] = {
    "image": _images,
    "columns": _columns,
    "text": _texts,
    "sequence": _sequences,
}
