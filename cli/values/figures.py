"""Every figure of each picture, for `ptx predict --all`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ptx import infer


def figures(
    predictor: infer.Predictor, values: Iterable[Any], top: int
) -> Iterator[tuple[Any, infer.Prediction | infer.Failure]]:
    """Each value with an answer, once for every figure that is found in it."""
    for value in values:
        try:
            for answer in predictor.predict_figures(value, top=top):
                yield value, answer
        except infer.InputError as error:
            name = value.name if isinstance(value, infer.Named) else str(value)
            yield value, infer.Failure(error, name)
