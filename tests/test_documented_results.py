"""What the small documented recipes reach, trained here and now."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptx.infer import Predictor, load
from ptx.models import CATALOG
from ptx.trainers import default_recipe, open_dataset, train

SEEDS = (0, 1, 2)


def trained(model: str, folder: Path, seed: int = 0) -> Predictor:
    data = open_dataset("bundled", default=CATALOG[model].data, cache=folder)
    result = train(model, data, default_recipe(model), folder=folder, seed=seed, device="cpu")
    return load(result.checkpoint, backend="eager", device="cpu")


@pytest.mark.parametrize("seed", SEEDS)
def test_linear_regression_finds_the_least_squares_slope(tmp_path: Path, seed: int) -> None:
    data = open_dataset("bundled", default="line", cache=tmp_path).train
    x, y = data.inputs["columns"][:, 0].astype(np.float64), data.targets[:, 0].astype(np.float64)
    slope = float((x @ y) / (x @ x))  # of a line through the origin
    predicted = trained("linear-regression", tmp_path, seed).predict(1.0).value
    assert predicted is not None
    assert abs(predicted - slope) < 0.01


@pytest.mark.parametrize("seed", SEEDS)
def test_the_linear_model_predicts_eight_for_four(tmp_path: Path, seed: int) -> None:
    value = trained("linear-model", tmp_path, seed).predict(4.0).value
    assert value is not None
    assert abs(value - 8) < 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_logistic_regression_passes_after_four_hours_and_not_after_one(
    tmp_path: Path, seed: int
) -> None:
    predictor = trained("logistic-regression", tmp_path, seed)
    passing = {hours: dict(predictor.predict(hours, top=2).top)["pass"] for hours in (1.0, 4.0)}
    assert passing[4.0] > 0.8
    assert passing[1.0] < 0.5


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("model", ["char-rnn-cell", "char-rnn", "char-rnn-embedding"])
def test_the_char_rnns_spell_ohlol(tmp_path: Path, model: str, seed: int) -> None:
    assert trained(model, tmp_path, seed).predict("hello").label == "ohlol"
