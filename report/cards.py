"""Answers of a model for the page: the input as the network saw it, the label, the truth."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ptx.infer.artifact.golden import Raw
    from ptx.infer.preprocessing import Preprocessing
    from ptx.trainers import Answered


@dataclass(frozen=True)
class AnswerCard:
    """One answer as the page shows it."""

    row: str
    given: str  # the label, or the value of a regression
    truth: str
    right: bool | None  # None of a regression, where nothing is exact
    score: str  # ` (98.1 %)`, or nothing
    others: str  # the labels after the first
    picture: str  # a `data:` address, or nothing
    text: str  # of an input that is no picture


def answer_card(answer: Answered, preprocessing: Preprocessing) -> AnswerCard:
    """What the page says of a test row."""
    given = answer.prediction
    row = preprocessing.raw(answer.value)
    return AnswerCard(
        row=f"{answer.row:,}",
        given=given.text,
        truth=answer.truth,
        right=None if given.value is not None else given.label == answer.truth,
        score="" if given.score is None else _share(given.score),
        others=", ".join(f"{name}\u00a0{_share(part)}" for name, part in given.top[1:3]),
        picture=picture_url(row) if isinstance(row, bytes) else "",
        text="" if isinstance(row, bytes) else _text(row, preprocessing.columns),
    )


def _share(score: float) -> str:
    return f"({100 * score:.1f}\u00a0%)"


def _text(row: Raw, columns: Sequence[str]) -> str:
    """An input that is no picture: a text or named numbers."""
    if isinstance(row, str) or not columns:
        return str(row)
    return ", ".join(f"{name} {number:.4g}" for name, number in zip(columns, row, strict=True))


def picture_url(png: bytes) -> str:
    """A PNG file inside a `data:` address."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
