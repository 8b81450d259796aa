"""Real inputs that travel with a checkpoint, for the proof at export."""

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
from ptx.trainers.batches import Feed
from ptx.trainers.data import Dataset

SAMPLES = 64  # test rows: the largest batch of the agreement grid
EXAMPLES = 10  # raw inputs, each of another class where there are as many
PHOTOS = 3  # of them where they are photographs
PICTURE_PIXELS = 4096  # of a picture among them: a file of a few kilobytes


def sample_inputs(manifest: Manifest, dataset: Dataset) -> dict[str, Tensor]:
    """The first test rows as the model's inputs, by input name."""
    preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
    feed = Feed(dataset.test, preprocessing, "cpu")
    inputs, _ = feed.batch(torch.arange(min(SAMPLES, len(feed))))
    return {
        spec.name: tensor.contiguous()
        for spec, tensor in zip(manifest.signature.inputs, inputs, strict=True)
    }


def raw_examples(manifest: Manifest, dataset: Dataset) -> list[RawInput]:
    """A test row of each of the first classes as a person has it: a file's bytes, a text, numbers.

    Of the first picture there is a second one, as on paper: large, dark on light and off the middle.
    """
    preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
    chosen = dataset.test.inputs[dataset.kind][_one_of_each_class(dataset)]
    if preprocessing.pictures is None:
        return [preprocessing.raw(row, dataset.labels) for row in chosen]
    chosen = chosen[:PHOTOS] if chosen[0].size > PICTURE_PIXELS else chosen
    return [*map(_picture, chosen), _on_paper(chosen[0])]


def _one_of_each_class(dataset: Dataset) -> Array:
    targets = dataset.test.targets
    if not dataset.labels or targets.ndim > 1:
        return np.arange(min(EXAMPLES, len(targets)))
    _, first = np.unique(targets, return_index=True)
    return first[:EXAMPLES]


def _picture(pixels: Array) -> bytes:
    """A row as a PNG file: as it is, or smaller where it is a photograph."""
    image: Any = Image.fromarray(pixels.squeeze())
    return png_bytes(_scale_up(image) if _scale(image) < 1 else image)


def _on_paper(pixels: Array) -> bytes:
    image: Any = ImageOps.invert(_scale_up(Image.fromarray(pixels.squeeze())))
    paper = Image.new(image.mode, (image.width * 2, image.height * 3 // 2), "white")
    paper.paste(image, (image.width // 8, image.height // 3))
    return png_bytes(paper)


def _scale(image: Any) -> float:
    """The factor of its sides that gives the picture PICTURE_PIXELS."""
    return float((PICTURE_PIXELS / (image.width * image.height)) ** 0.5)


def _scale_up(image: Any) -> Any:
    factor = _scale(image)
    return image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))))
