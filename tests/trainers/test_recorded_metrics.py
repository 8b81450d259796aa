"""The record of the test rows in the manifest, and what falls below it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx.infer.artifact.artifact import read_artifact
from ptx.infer.artifact.manifest import Manifest
from ptx.trainers import Dataset, default_recipe, open_dataset, train
from ptx.trainers.evaluation import Evaluation
from ptx.trainers.recorded_metrics import check_accuracy_regression

pytestmark = pytest.mark.usefixtures("without_plot")


def evaluation(**figures: Any) -> Evaluation:
    known = {"rows": 101, "accuracy": None, "confusion": None, "error": None}
    return Evaluation(**{**known, **figures}, wrong=np.array([], np.int64))


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset("bundled", default="line", cache=tmp_path_factory.getbasetemp())


@pytest.fixture
def manifest(line: Dataset, tmp_path: Path) -> Manifest:
    recipe = default_recipe("linear-regression", epochs=3)
    path = train("linear-regression", line, recipe, folder=tmp_path, device="cpu").checkpoint
    return read_artifact(path).require_manifest()


def test_the_training_records_data_rows_and_figure(manifest: Manifest, line: Dataset) -> None:
    record = manifest.training["test"]
    assert (record["data"], record["sha256"], record["rows"]) == ("line", line.sha256, 101)
    assert record["rmse"] == pytest.approx(manifest.training["metrics"]["test_loss"] ** 0.5)


@pytest.mark.parametrize(("factor", "passed"), [(0.5, True), (1.0005, True), (1.01, False)])
def test_a_larger_error_falls_below_it(
    manifest: Manifest, line: Dataset, factor: float, passed: bool
) -> None:
    error = manifest.training["test"]["rmse"] * factor
    assert check_accuracy_regression(manifest, evaluation(error=error), line)[0] is passed


@pytest.mark.parametrize(
    ("accuracy", "passed"), [(0.99, True), (0.95, True), (0.9491, True), (0.948, False)]
)
def test_a_smaller_accuracy_falls_below_it(
    manifest: Manifest, line: Dataset, accuracy: float, passed: bool
) -> None:
    test = {"data": "line", "sha256": line.sha256, "rows": 101, "accuracy": 0.95}
    recorded = replace(manifest, training={"test": test})
    found, told = check_accuracy_regression(recorded, evaluation(accuracy=accuracy), line)
    assert found is passed
    assert told.startswith("in training 95.00 % of 101 rows of line")


def test_on_other_data_or_without_a_record_nothing_is_held(
    manifest: Manifest, line: Dataset
) -> None:
    other = replace(line, labels=("a",))
    passed, told = check_accuracy_regression(manifest, evaluation(error=1e9), other)
    assert passed
    assert "the data differs" in told
    assert check_accuracy_regression(replace(manifest, training={}), evaluation(error=1e9), line)[0]
