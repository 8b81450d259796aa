"""Answers of a model as cards of the report: the input as the network saw it, the label, the truth."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ptx.infer.signature import Array

if TYPE_CHECKING:
    from ptx.infer.artifact.card import Card
    from ptx.trainers.evaluation import Answered


def cards_html(answers: Iterable[Answered], card: Card) -> str:
    """A card for each answer; nothing where there is none."""
    items = "".join(f"<li>{_answer(answer, card)}</li>" for answer in answers)
    return f"<ul class='cards'>{items}</ul>" if items else ""


def _answer(answer: Answered, card: Card) -> str:
    given = answer.prediction
    where = f"<span class='quiet'>test row {answer.row:,}</span>"
    if given.value is not None:
        verdict = f"<b>{given.value:.6g}</b><br>right: {escape(answer.truth)}"
        return f"{_shown(answer.value, card)}{verdict}<br>{where}"
    right = given.label == answer.truth
    word = "right" if right else "wrong"
    score = "" if given.score is None else f" {_share(given.score)}"
    text = f"<b>{escape(given.label or '')}</b>{escape(score)}"
    truth = "" if right else f"<br>true: <b>{escape(answer.truth)}</b>"
    mark = f" <span class='{'good' if right else 'bad'}'>{word}</span>"
    others = ", ".join(f"{escape(name)}\u00a0{_share(part)}" for name, part in given.top[1:3])
    then = f"<br><span class='quiet'>then {others}</span>" if others else ""
    return f"{_shown(answer.value, card)}{text}{mark}{truth}{then}<br>{where}"


def _share(score: float) -> str:
    return f"({100 * score:.1f}\u00a0%)"


def _shown(value: object, card: Card) -> str:
    """The input, as the network saw it: a picture, a text, named numbers or symbols."""
    if card.preprocessing["kind"] in ("image", "photo"):
        assert isinstance(value, np.ndarray)
        return f"<img alt='the picture as the network saw it' src='{picture_url(value)}'>"
    if card.preprocessing["kind"] == "columns":
        names = card.preprocessing["names"]
        numbers = np.atleast_1d(np.asarray(value)).tolist()
        pairs = [f"{name} {number:.4g}" for name, number in zip(names, numbers, strict=True)]
        text = ", ".join(pairs)
    elif card.preprocessing["kind"] == "symbols":
        alphabet = card.preprocessing["alphabet"]
        text = "".join(alphabet[index] for index in np.asarray(value).tolist())
    else:
        text = str(value)
    return f"<span class='input'>{escape(text)}</span>"


def picture_url(pixels: Array) -> str:
    """uint8 (height, width[, 1 or 3 channels]) as a PNG inside a `data:` address."""
    from PIL import Image

    buffer = io.BytesIO()
    gray = pixels.ndim == 3 and pixels.shape[2] == 1
    shown = np.ascontiguousarray(pixels[..., 0] if gray else pixels)
    Image.fromarray(shown).save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
