"""The golden samples of a file that computes in int8: what it gives itself, within one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from ptx.export.golden import find_answers
from ptx.infer.artifact.card import Card
from ptx.infer.artifact.golden import GoldenSample, RawSample
from ptx.infer.predictor import Predictor
from ptx.infer.signature import Array

Sample = TypeVar("Sample", GoldenSample, RawSample)


def own_samples(predictor: Predictor, card: Card, steps: Mapping[str, float]) -> dict[str, Any]:
    """The fields `golden` and `raw` of a card: the same inputs, with the predictor's own outputs.

    Args:
        steps: By output, how far it may be off: one of the 255 steps of its range.
    """
    preprocessing = predictor.preprocessing
    raw = []
    for sample in card.raw:
        inputs = preprocessing.collate([preprocessing.read(value) for value in sample.values])
        raw.append(_own(predictor, card, sample, inputs, steps))
    golden = [_own(predictor, card, sample, sample.inputs, steps) for sample in card.golden]
    return {"golden": tuple(golden), "raw": tuple(raw)}


def _own(
    predictor: Predictor,
    card: Card,
    sample: Sample,
    inputs: Mapping[str, Array],
    steps: Mapping[str, float],
) -> Sample:
    outputs = {
        name: array.astype(np.float64) if array.dtype.kind == "f" else array
        for name, array in predictor.run(inputs).items()
    }
    return replace(
        sample,
        outputs=outputs,
        tolerance={name: float(steps.get(name, 0.0)) for name in outputs},
        columns={},
        level={},
        answers=find_answers(card, outputs),
    )
