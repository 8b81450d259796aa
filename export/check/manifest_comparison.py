"""Compare the manifests of a model's files with its checkpoint's, and replay their golden samples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ptx.infer.artifact.manifest import Manifest
from ptx.infer.predictor import Predictor
from ptx.infer.verification import failures

_MAX_LENGTH = 120  # characters of a value that a line shows


def find_problems(
    expected: Manifest, manifests: Mapping[str, Manifest], predictors: Sequence[Predictor]
) -> list[str]:
    """Differences between the manifests of the files and the checkpoint's, and failed golden samples.

    A predictor without golden samples, such as a checkpoint's, replays those of another.
    """
    problems = compare_manifests(expected, manifests)
    verified = [p.manifest for p in predictors if p.manifest.golden]
    for predictor in predictors:
        own = predictor.manifest
        golden = own if own.golden else next(iter(verified), own)
        for check in failures(predictor, golden):
            problems.append(f"{predictor.backend.name}: {check.name}: {check.detail}")
    return problems


def compare_manifests(expected: Manifest, others: Mapping[str, Manifest]) -> list[str]:
    """The fields in which the manifests of the files, by name, differ from the checkpoint's.

    Compared is everything that a prediction depends on: labels and their order, preprocessing, task,
    signature, configuration and weights.
    """
    checkpoint = dict(_fields(expected.defining_fields()))
    differences = []
    for file, manifest in others.items():
        found = dict(_fields(manifest.defining_fields()))
        for field in sorted(checkpoint.keys() | found.keys()):
            if found.get(field) != checkpoint.get(field):
                got, verified = _shorten_pair(found.get(field), checkpoint.get(field))
                differences.append(f"{file}: {field}: {got}; the checkpoint says {verified}")
    return differences


def _fields(defining_fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The fields of a statement as JSON data; an object's settings one by one."""
    for name, value in json.loads(json.dumps(defining_fields)).items():
        if isinstance(value, dict):
            yield from ((f"{name} {key}", setting) for key, setting in value.items())
        else:
            yield name, value


def _shorten_pair(got: Any, expected: Any) -> tuple[str, str]:
    """Both values; for long lists the first position at which they differ."""
    texts = _text(got), _text(expected)
    if max(map(len, texts)) <= _MAX_LENGTH:
        return texts
    if isinstance(got, list) and isinstance(expected, list) and len(got) == len(expected):
        place = next(index for index in range(len(got)) if got[index] != expected[index])
        return f"{_text(got[place])} at {place}", f"{_text(expected[place])} at {place}"
    short = [text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}…" for text in texts]
    return short[0], short[1]


def _text(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
