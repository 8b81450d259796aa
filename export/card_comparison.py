"""Do one model's files say the same as its checkpoint, and still answer what was proved?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ptx.infer.artifact.card import Card
from ptx.infer.predictor import Predictor
from ptx.infer.verification import failures

_LONGEST = 120  # characters of a value that a line shows


@dataclass(frozen=True)
class CardDifference:
    """A field in which a file's card differs from the checkpoint's, and both values as text."""

    file: str
    field: str  # `labels`, `preprocessing mean`
    got: str
    expected: str

    def __str__(self) -> str:
        return f"{self.file}: {self.field}: {self.got}; the checkpoint says {self.expected}"


def card_problems(
    expected: Card, cards: Mapping[str, Card], predictors: Sequence[Predictor]
) -> list[str]:
    """Where the cards of the files differ from the checkpoint's, and what a backend answers no more.

    A predictor without golden samples, that of a checkpoint, is asked those of another.
    """
    problems = [str(difference) for difference in compare_cards(expected, cards)]
    proved = [p.card for p in predictors if p.card.golden]
    for predictor in predictors:
        own = predictor.card
        golden = own if own.golden else next(iter(proved), own)
        for check in failures(predictor, golden):
            problems.append(f"{predictor.backend.name}: {check.name}: {check.detail}")
    return problems


def compare_cards(expected: Card, others: Mapping[str, Card]) -> list[CardDifference]:
    """Where the cards of the files, by name, state another thing than the checkpoint's card.

    Labels and their order, preprocessing, task, signature, configuration and weights: all that an
    answer depends on.
    """
    wanted = dict(_fields(expected.statement()))
    differences = []
    for file, card in others.items():
        found = dict(_fields(card.statement()))
        for field in sorted(wanted.keys() | found.keys()):
            if found.get(field) != wanted.get(field):
                pair = _shorten_pair(found.get(field), wanted.get(field))
                differences.append(CardDifference(file, field, *pair))
    return differences


def _fields(statement: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The fields of a statement as JSON reads them; the settings of objects one by one."""
    for name, value in json.loads(json.dumps(statement)).items():
        if isinstance(value, dict):
            yield from ((f"{name} {key}", setting) for key, setting in value.items())
        else:
            yield name, value


def _shorten_pair(got: Any, expected: Any) -> tuple[str, str]:
    """Both values; of long lists the first place at which they differ."""
    texts = _text(got), _text(expected)
    if max(map(len, texts)) <= _LONGEST:
        return texts
    if isinstance(got, list) and isinstance(expected, list) and len(got) == len(expected):
        place = next(index for index in range(len(got)) if got[index] != expected[index])
        return f"{_text(got[place])} at {place}", f"{_text(expected[place])} at {place}"
    short = [text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…" for text in texts]
    return short[0], short[1]


def _text(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
