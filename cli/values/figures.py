"""Every figure of each picture, for `ptx predict --all`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ptx import infer

if TYPE_CHECKING:
    from ptx.report import Preview


def answer_figures(
    predictor: infer.Predictor, values: Iterable[Any], top: int, preview: Preview | None
) -> Iterator[infer.Prediction | infer.Failure]:
    """An answer for every figure that is found, or a failure for the picture; drawn as they come."""
    for value in values:
        for answer in _answer(predictor, value, top):
            if preview is not None:
                preview.draw(value, answer, predictor)
            yield answer


def _answer(
    predictor: infer.Predictor, value: Any, top: int
) -> list[infer.Prediction] | list[infer.Failure]:
    try:
        return predictor.predict_figures(value, top=top)
    except infer.InputError as error:
        return [infer.Failure(error, value.name if isinstance(value, infer.Named) else str(value))]
