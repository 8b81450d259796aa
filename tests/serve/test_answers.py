"""Texts and rows are answered as the predictor answers them, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ptx.infer import load

from .conftest import Served

VALUES = {
    "name-classifier": ["Müller", "Wang", "O'Neill", "Łukasiewicz", "Li", "Satoshi", "Fitzgerald"]
    * 8,
    "diabetes": [f"{n},{90 + 3 * n},72,{n % 40},0,33.{n},0.{627 + n},{20 + n}" for n in range(56)],
}


def expected(path: Path, values: list[str]) -> list[tuple[str, float]]:
    """Label and score of each, asked by itself."""
    with load(path, backend="ort-cpu") as predictor:
        found = [predictor.predict(value) for value in values]
    return [(str(one.label), float(one.score or 0)) for one in found]


@pytest.mark.parametrize("model", VALUES)
def test_each_is_answered_as_predict_answers_it(
    served: Served, artifact: Callable[[str, str], Path], model: str
) -> None:
    values = VALUES[model]
    wanted = expected(artifact(model, "onnx"), values)

    def ask(value: str) -> tuple[str, float]:
        answer = served.ask("POST", f"/predict/{model}", value.encode())
        assert answer.status == 200, answer.body
        return answer.json["label"], answer.json["score"]

    assert [ask(value) for value in values[:7]] == wanted[:7]
    with ThreadPoolExecutor(16) as pool:  # some of them together
        assert list(pool.map(ask, values)) == wanted


@pytest.mark.parametrize("model", VALUES)
def test_many_in_a_request_are_answered_as_each(
    served: Served, artifact: Callable[[str, str], Path], model: str
) -> None:
    values = VALUES[model]
    tensor = {
        "name": "row" if model == "diabetes" else "text",
        "shape": [len(values)],
        "datatype": "BYTES",
        "data": values,
    }
    answer = served.infer(json.dumps({"inputs": [tensor]}).encode(), model=model)
    label, score = answer.json["outputs"]
    assert list(zip(label["data"], score["data"], strict=True)) == expected(
        artifact(model, "onnx"), values
    )
