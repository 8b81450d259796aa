"""Agreement on weights that were trained: each model learns for a moment, then its file is proved.

Weights as they are drawn are small and alike; trained ones are where the backends come apart. ONNX
Runtime is the backend whose kernels are not PyTorch's own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from ptx.export import export, read_model
from ptx.models import CATALOG
from ptx.models.checkpoint import loads
from ptx.trainers import default_recipe, open_dataset, train
from ptx.trainers.data import Split

ROWS = 300  # of those that have more; an epoch of the largest network then takes half a second
TESTED = 100
QUICK = ("columns", "symbols")  # kinds of input of which 50 epochs take a second
Trained = Callable[[str], Path]


def some(split: Split, rows: int) -> Split:
    """Rows from all over the split."""
    return split.take(np.unique(np.linspace(0, len(split) - 1, rows).astype(np.int64)))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """`trained(model)`: the checkpoint of a short training on the model's bundled data."""

    @cache
    def make(model: str) -> Path:
        folder = tmp_path_factory.mktemp(f"trained-{model}")
        entry = CATALOG[model]
        whole = open_dataset("bundled", default=entry.data, cache=folder)
        data = replace(whole, train=some(whole.train, ROWS), test=some(whole.test, TESTED))
        recipe = default_recipe(model, epochs=50)
        if entry.preprocessing["kind"] not in QUICK:
            recipe = default_recipe(model, epochs=2, batch_size=20, optimizer="adam", lr=0.002)
        return train(model, data, recipe, folder=folder, device="cpu").checkpoint

    return make


@pytest.mark.parametrize("model", CATALOG)
def test_a_trained_model_has_learnt_and_its_file_is_proved(
    model: str, trained: Trained, tmp_path: Path
) -> None:
    history = loads(trained(model).read_bytes()).history
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    source = read_model(trained(model))
    with warnings.catch_warnings():
        # torch.export trips over warnings of its own parts once they are errors.
        warnings.simplefilter("ignore")
        assert export(source, "onnx", tmp_path / f"{model}.onnx").path.exists()
