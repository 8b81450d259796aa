"""Test inputs that are stored in a checkpoint, with which an export is verified."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ptx.infer.artifact.golden import RawInput
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.preprocessing.examples import png_bytes
from ptx.infer.signature import Array
from ptx.trainers.batches import BatchLoader
from ptx.trainers.data import Dataset

SAMPLES = 64  # test rows: the largest batch of the test matrix
EXAMPLES = 10  # raw inputs, each of a different class if possible
PHOTOS = 3  # raw inputs if they are photographs
MAX_PIXELS = 4096  # pixels of a stored image, so that its file has a few kilobytes


def sample_inputs(manifest: Manifest, dataset: Dataset) -> dict[str, Tensor]:
    """The first test rows as the model's inputs, by input name."""
    preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
    loader = BatchLoader(dataset.test, preprocessing, "cpu")
    inputs, _ = loader.batch(torch.arange(min(SAMPLES, len(loader))))
    return {
        spec.name: tensor.contiguous()
        for spec, tensor in zip(manifest.signature.inputs, inputs, strict=True)
    }


def raw_examples(manifest: Manifest, dataset: Dataset) -> list[RawInput]:
    """A test row of each of the first classes as raw input: the bytes of a file, a text or numbers.

    The first image is added a second time as if drawn on paper: large, dark on light, not centred.
    """
    preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
    rows = dataset.test.inputs[dataset.row_type][_one_of_each_class(dataset)]
    if preprocessing.image_spec is None:
        return [preprocessing.to_raw(row, dataset.labels) for row in rows]
    rows = rows[:PHOTOS] if rows[0].size > MAX_PIXELS else rows
    return [*map(_png, rows), _on_paper(rows[0])]


def _one_of_each_class(dataset: Dataset) -> Array:
    targets = dataset.test.targets
    if not dataset.labels or targets.ndim > 1:
        return np.arange(min(EXAMPLES, len(targets)))
    _, first = np.unique(targets, return_index=True)
    return first[:EXAMPLES]


def _png(pixels: Array) -> bytes:
    """A row as a PNG file; photographs are scaled down."""
    image: Any = Image.fromarray(pixels.squeeze())
    return png_bytes(_resize(image) if _scale(image) < 1 else image)


def _on_paper(pixels: Array) -> bytes:
    """A row as a PNG file: inverted, enlarged, and off the centre of a white sheet."""
    image: Any = ImageOps.invert(_resize(Image.fromarray(pixels.squeeze())))
    paper = Image.new(image.mode, (image.width * 2, image.height * 3 // 2), "white")
    paper.paste(image, (image.width // 8, image.height // 3))
    return png_bytes(paper)


def _scale(image: Any) -> float:
    """The scale factor of the sides that results in MAX_PIXELS pixels."""
    return float((MAX_PIXELS / (image.width * image.height)) ** 0.5)


def _resize(image: Any) -> Any:
    factor = _scale(image)
    return image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))))
