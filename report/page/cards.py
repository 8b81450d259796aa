"""Answers of a model for the page: the input as the network saw it, the label, the truth."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptx.infer import Array, Card

if TYPE_CHECKING:
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


def answer_card(answer: Answered, card: Card) -> AnswerCard:
    """What the page says of a test row."""
    given = answer.prediction
    picture = text = ""
    if card.preprocessing["kind"] in ("image", "photo"):
        picture = picture_url(np.asarray(answer.value))
    else:
        text = _text(answer.value, card)
    return AnswerCard(
        row=f"{answer.row:,}",
        given=f"{given.value:.6g}" if given.value is not None else given.label or "",
        truth=answer.truth,
        right=None if given.value is not None else given.label == answer.truth,
        score="" if given.score is None else _share(given.score),
        others=", ".join(f"{name}\u00a0{_share(part)}" for name, part in given.top[1:3]),
        picture=picture,
        text=text,
    )


def _share(score: float) -> str:
    return f"({100 * score:.1f}\u00a0%)"


def _text(value: object, card: Card) -> str:
    """An input that is no picture: a text, named numbers or symbols."""
    settings = card.preprocessing
    if settings["kind"] == "columns":
        numbers = np.atleast_1d(np.asarray(value)).tolist()
        pairs = zip(settings["names"], numbers, strict=True)
        return ", ".join(f"{name} {number:.4g}" for name, number in pairs)
    if settings["kind"] == "symbols":
        return "".join(settings["alphabet"][index] for index in np.asarray(value).tolist())
    return str(value)


def picture_url(pixels: Array) -> str:
    """uint8 (height, width[, 1 or 3 channels]) as a PNG inside a `data:` address."""
    from PIL import Image

    buffer = io.BytesIO()
    gray = pixels.ndim == 3 and pixels.shape[2] == 1
    shown = np.ascontiguousarray(pixels[..., 0] if gray else pixels)
    Image.fromarray(shown).save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
