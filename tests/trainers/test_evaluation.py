"""Accuracy, confusion and error against NumPy."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx.infer import Predictor, load
from ptx.infer.errors import InputError, UsageError
from ptx.trainers import Dataset, Split, default_recipe, evaluate, train
from ptx.trainers.evaluation import most_wrong, predict_rows

Few = Callable[..., Dataset]

pytestmark = pytest.mark.usefixtures("without_plot")

RECIPE: dict[str, Any] = {"epochs": 2, "batch_size": 50}


def trained(
    model: str, data: Dataset, folder: Path, **overrides: Any
) -> tuple[Predictor, dict[str, float]]:
    recipe = default_recipe(model, **{**RECIPE, **overrides})
    result = train(model, data, recipe, folder=folder, device="cpu")
    return load(result.checkpoint, backend="eager", device="cpu"), result.history[-1]


def confusion(truth: np.ndarray, found: np.ndarray, labels: int) -> list[list[int]]:
    return [
        [int(((truth == row) & (found == column)).sum()) for column in range(labels)]
        for row in range(labels)
    ]


@pytest.mark.parametrize(
    ("model", "rows", "overrides"),
    [
        ("softmax-regression", 1100, {}),
        ("convnet", 300, {"optimizer": "adam", "lr": 0.005, "epochs": 4}),
        ("lstm", 300, {"optimizer": "adam", "lr": 0.01, "epochs": 4}),
        ("name-classifier", 700, {"lr": 0.02, "epochs": 4}),
    ],
)
def test_accuracy_and_confusion_are_those_of_single_predictions(
    model: str, rows: int, overrides: dict[str, Any], few: Few, tmp_path: Path
) -> None:
    data = few(model, 230, rows)
    predictor, row = trained(model, data, tmp_path, **overrides)
    values = next(iter(data.test.inputs.values()))
    answers = predictor.predict_many(values, batch_size=97)
    found = np.array([data.labels.index(answer.label or "") for answer in answers])
    result = evaluate(predictor, data.test)
    assert result.rows == rows
    assert result.error is None
    assert result.accuracy == (found == data.test.targets).mean()
    assert result.accuracy == row["test_accuracy"]
    assert result.confusion is not None
    assert result.confusion.dtype == np.int64
    assert result.confusion.tolist() == confusion(data.test.targets, found, len(data.labels))
    assert len(set(found)) > 1


@pytest.mark.parametrize("model", ["diabetes", "logistic-regression"])
def test_a_probability_is_held_against_one_half(model: str, few: Few, tmp_path: Path) -> None:
    rows = 120 if model == "diabetes" else 3
    data = few(model, rows, rows)
    predictor, row = trained(model, data, tmp_path, epochs=40)
    answers = [predictor.predict(values) for values in data.test.inputs["columns"]]
    found = np.array([data.labels.index(answer.label or "") for answer in answers])
    result = evaluate(predictor, data.test)
    assert result.accuracy == (found == data.test.targets).mean() == row["test_accuracy"]
    assert result.confusion is not None
    assert result.confusion.tolist() == confusion(data.test.targets, found, 2)


def test_the_error_of_a_regression_is_in_the_unit_of_its_target(few: Few, tmp_path: Path) -> None:
    data = few("linear-regression", 101, 101)
    predictor, row = trained("linear-regression", data, tmp_path)
    x, y = data.test.inputs["columns"].astype(np.float64), data.test.targets.astype(np.float64)
    values = np.array([predictor.predict(float(value)).value for value in x[:, 0]])
    result = evaluate(predictor, data.test)
    assert (result.rows, result.accuracy, result.confusion) == (101, None, None)
    assert result.error == pytest.approx(np.sqrt(((values - y[:, 0]) ** 2).mean()), rel=1e-6)
    assert result.error == pytest.approx(np.sqrt(row["test_loss"]), rel=1e-5)
    assert "test_accuracy" not in row


@pytest.mark.parametrize("model", ["char-rnn", "char-rnn-cell", "char-rnn-embedding"])
def test_each_step_of_a_word_is_an_answer(model: str, few: Few, tmp_path: Path) -> None:
    data = few(model, 1, 1)
    predictor, row = trained(model, data, tmp_path, epochs=3)
    word = predictor.predict("hello").label
    assert word is not None
    result = evaluate(predictor, data.test)
    right = sum(got == wanted for got, wanted in zip(word, "ohlol", strict=True))
    assert result.accuracy == right / 5 == row["test_accuracy"]
    assert result.confusion is not None
    found = np.array([data.labels.index(letter) for letter in word])
    assert result.confusion.tolist() == confusion(data.test.targets[0], found, 4)


def test_rows_that_are_not_for_the_model_are_wrong_usage(few: Few, tmp_path: Path) -> None:
    predictor, _ = trained("softmax-regression", few("softmax-regression"), tmp_path)
    for model, held in (("name-classifier", "texts"), ("diabetes", "numbers, 8 a row")):
        message = f"softmax-regression takes images of 28×28; the split has {held}"
        with pytest.raises(UsageError, match=re.escape(message)):
            evaluate(predictor, few(model).test)


def test_a_class_without_a_label_is_named(few: Few, tmp_path: Path) -> None:
    data = few("softmax-regression")
    predictor, _ = trained("softmax-regression", data, tmp_path)
    wrong = Split(data.test.inputs, data.test.targets + 1)
    with pytest.raises(InputError, match="softmax-regression has labels for 0 to 9"):
        evaluate(predictor, wrong)


def test_the_wrong_answers_that_the_model_is_most_sure_of_come_first(
    few: Few, tmp_path: Path
) -> None:
    data = few("softmax-regression", 230, 600)
    predictor, _ = trained("softmax-regression", data, tmp_path)
    result = evaluate(predictor, data.test)
    answers = predict_rows(predictor, data.test, np.arange(600))
    wrong = [answer for answer in answers if answer.prediction.label != answer.truth]
    assert result.wrong.tolist() == [answer.row for answer in wrong]
    expected = sorted((answer.prediction.score or 0.0 for answer in wrong), reverse=True)[:5]
    found = most_wrong(predictor, data.test, result, 5)
    assert [answer.prediction.score for answer in found] == pytest.approx(expected)
    for answer in found:
        assert answer.truth == data.labels[data.test.targets[answer.row]]
        assert (answer.value == data.test.inputs["image"][answer.row]).all()


def test_the_largest_errors_of_a_regression_come_first(few: Few, tmp_path: Path) -> None:
    data = few("linear-regression", 101, 101)
    predictor, _ = trained("linear-regression", data, tmp_path)
    found = most_wrong(predictor, data.test, evaluate(predictor, data.test), 101)
    errors = [abs((answer.prediction.value or 0.0) - float(answer.truth)) for answer in found]
    assert errors == pytest.approx(sorted(errors, reverse=True), abs=1e-4)
    assert len({answer.row for answer in found}) == 101


def test_the_right_answer_for_a_word_is_a_word(few: Few, tmp_path: Path) -> None:
    data = few("char-rnn", 1, 1)
    predictor, _ = trained("char-rnn", data, tmp_path)
    (answer,) = predict_rows(predictor, data.test, np.arange(1))
    assert answer.truth == "ohlol"
