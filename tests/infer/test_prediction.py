"""A prediction as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from ptx.infer.errors import InputError
from ptx.infer.prediction import Failure, Prediction

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
shares = st.floats(0, 1)


@given(
    texts, shares, st.lists(st.tuples(texts, shares), max_size=3), texts, texts, st.none() | texts
)
def test_the_line_of_a_label_is_its_data_as_json(
    label: str,
    score: float,
    top: list[tuple[str, float]],
    model: str,
    backend: str,
    name: str | None,
) -> None:
    prediction = Prediction(label, score, tuple(top), None, model, backend, name)
    expected = json.dumps(prediction.to_data(), ensure_ascii=False, allow_nan=False)
    assert prediction.to_json() == expected
    assert "\n" not in expected


@given(st.floats(), st.none() | texts)
def test_the_line_of_a_value_is_its_data_as_json(value: float, name: str | None) -> None:
    prediction = Prediction(None, None, (), value, "linear-model", "ort-cpu", name)
    data = json.loads(prediction.to_json())
    assert data == prediction.to_data()
    assert data["value"] == (value if math.isfinite(value) else None)
    assert "low_confidence" not in data


@given(texts, st.none() | texts)
def test_the_line_of_a_failure_is_its_data_as_json(message: str, name: str | None) -> None:
    failure = Failure(InputError(message, code="E-X"), name)
    assert json.loads(failure.to_json()) == failure.to_data()


def test_a_doubt_is_asked_of_its_judge_and_is_a_flag_in_the_json() -> None:
    plain = Prediction("7", 0.9, (("7", 0.9),), None, "convnet", "ort-cpu", "a.png")
    assert plain.error_probability is None
    assert plain.low_confidence is False
    for doubt in (0.5, 0.51):
        judged = replace(plain, compute_error_probability=partial(float, doubt))
        assert judged.error_probability == doubt
        assert judged.low_confidence is (doubt > 0.5)
        data = json.loads(judged.to_json())
        assert data.pop("low_confidence") is (doubt > 0.5)
        assert data == {k: v for k, v in plain.to_data().items() if k != "low_confidence"}
        assert judged == plain
