"""A data set on the training device, and the batches that come out of it.

The compact form stays on the device as one tensor (pictures as uint8); each batch is preprocessed
there, by the same table or the same code that prediction uses.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ptx.infer.preprocessing import Preprocessing
from ptx.infer.preprocessing.columns import ColumnsPreprocessing
from ptx.infer.preprocessing.image import ImagePreprocessing
from ptx.infer.preprocessing.symbols import SymbolsPreprocessing
from ptx.infer.preprocessing.text import TextPreprocessing
from ptx.infer.signature import Array
from ptx.trainers.data import Split

Batch = tuple[Tensor, ...]
Inputs = Callable[[Tensor], Batch]


class Feed:
    """The rows of a split, ready to be drawn in batches by index."""

    def __init__(self, split: Split, preprocessing: Preprocessing, device: str) -> None:
        kind, raw = next(iter(split.inputs.items()))
        self.device = device
        self.targets = torch.from_numpy(split.targets).to(device)
        self._inputs = FEEDS[kind](raw, preprocessing, device)

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, rows: Tensor) -> tuple[Batch, Tensor]:
        """The model's inputs, in the order of its forward method, and the targets of some rows.

        `rows`: int64 (batch,) on the device.
        """
        return self._inputs(rows), self.targets[rows]


def _images(raw: Array, preprocessing: Preprocessing, device: str) -> Inputs:
    assert isinstance(preprocessing, ImagePreprocessing)
    pixels = torch.from_numpy(raw).to(device)
    table = torch.from_numpy(preprocessing.table).to(device)
    shape, axis = preprocessing.sample_shape, preprocessing.spec.batch_axis

    def inputs(rows: Tensor) -> Batch:
        drawn = table[pixels[rows].int()].view(len(rows), *shape)
        return (drawn.movedim(0, axis),)

    return inputs


def _columns(raw: Array, preprocessing: Preprocessing, device: str) -> Inputs:
    assert isinstance(preprocessing, ColumnsPreprocessing)
    columns = torch.from_numpy(preprocessing.standardise(raw)).to(device)
    return lambda rows: (columns[rows],)


def _texts(raw: Array, preprocessing: Preprocessing, device: str) -> Inputs:
    assert isinstance(preprocessing, TextPreprocessing)
    arrays = preprocessing.collate([preprocessing.read(text) for text in raw.tolist()])
    characters, lengths = (torch.from_numpy(array).to(device) for array in arrays.values())

    def inputs(rows: Tensor) -> Batch:
        drawn = lengths[rows]
        return characters[rows, : int(drawn.max())], drawn

    return inputs


def _sequences(raw: Array, preprocessing: Preprocessing, device: str) -> Inputs:
    assert isinstance(preprocessing, SymbolsPreprocessing)
    (array,) = preprocessing.collate(list(raw)).values()
    axis = preprocessing.spec.batch_axis
    sequences = torch.from_numpy(array).to(device)
    return lambda rows: (sequences.index_select(axis, rows),)


FEEDS: dict[str, Callable[[Array, Preprocessing, str], Inputs]] = {
    "image": _images,
    "columns": _columns,
    "text": _texts,
    "sequence": _sequences,
}
