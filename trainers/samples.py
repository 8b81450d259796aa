"""Real inputs that travel with a checkpoint, for the proof at export."""

from __future__ import annotations

import torch
from torch import Tensor

from ptx.infer.artifact.card import Card
from ptx.infer.preprocessing import open_preprocessing
from ptx.trainers.batches import Feed
from ptx.trainers.data import Dataset

SAMPLES = 64  # test rows: the largest batch of the agreement grid


def sample_inputs(card: Card, dataset: Dataset) -> dict[str, Tensor]:
    """The first test rows as the model's inputs, by input name."""
    preprocessing = open_preprocessing(card.preprocessing, card.signature)
    feed = Feed(dataset.test, preprocessing, "cpu")
    inputs, _ = feed.batch(torch.arange(min(SAMPLES, len(feed))))
    return {
        spec.name: tensor.contiguous()
        for spec, tensor in zip(card.signature.inputs, inputs, strict=True)
    }
