"""What a model reached on its test rows: kept in its manifest, and held against what an artifact
reaches.
"""

from __future__ import annotations

import math
from typing import Any

from ptx.infer.artifact.manifest import Manifest
from ptx.infer.errors import AgreementError
from ptx.infer.predictor import Predictor
from ptx.infer.verification import failures
from ptx.trainers.data import Dataset
from ptx.trainers.evaluation import Evaluation

ROUNDING = 1e-3  # share of the answers, or of an error, by which rounding may make a figure worse
LEAST_ERROR = 1e-6  # of a regression, in its unit: below it there is rounding alone


def reached_figures(manifest: Manifest, row: dict[str, float], rows: int) -> dict[str, Any]:
    """The manifest's record of the last epoch: data, rows, and the accuracy or a regression's error.

    Args:
        row: Of the history, with `test_loss`, the mean squared error of a regression.
    """
    data = manifest.training["data"]
    found = {"data": data["name"], "sha256": data["sha256"], "rows": rows}
    if "test_accuracy" in row:
        return {**found, "accuracy": float(row["test_accuracy"])}
    return {**found, "rmse": math.sqrt(row["test_loss"])}


def against_record(manifest: Manifest, found: Evaluation, data: Dataset) -> tuple[bool, str]:
    """Whether an evaluation is as good as the manifest's record, and a line that says both figures.

    On other data, or without a record, there is nothing to hold: True.
    """
    record = manifest.training.get("test")
    if record is None:
        return True, "the manifest has no record of what the model reached in training"
    name = "accuracy" if found.accuracy is not None else "rmse"
    if name not in record:
        return True, f"the manifest's record has no {name}"
    told = (
        f"in training {_figure(name, record[name])} of {record['rows']:,} rows of {record['data']}"
    )
    if (record["sha256"], record["rows"]) != (data.sha256, found.rows):
        return True, f"{told}: other data, so nothing is held against it"
    if found.accuracy is not None:
        passed = found.accuracy >= record[name] - _lost(manifest)
    else:
        assert found.error is not None
        passed = found.error <= record[name] * (1 + ROUNDING) + LEAST_ERROR
    return passed, told if passed else f"{told}: it falls below that by more than rounding"


def _lost(manifest: Manifest) -> float:
    """The share of answers that a file may lose beside the record: in int8 what its manifest allows."""
    held = manifest.quantization
    return ROUNDING if held is None else max(ROUNDING, held.max_drop / 100)


def require_proved(predictor: Predictor, dataset: Dataset) -> None:
    """Refuse to measure a file that is not what was proved: its figure would be another model's.

    Raises:
        AgreementError: the manifest or a golden sample does not hold, or the fit is not that of the
            data.
    """
    manifest = predictor.manifest
    failed = failures(predictor, manifest)
    if failed:
        raise AgreementError(
            f"{manifest.model} on {predictor.backend.name} is not what was proved: {failed[0].name}:"
            f" {failed[0].detail}; export it again, `ptx verify` lists all"
        )
    resize_mode = manifest.preprocessing.get("resize_mode")
    if None not in (resize_mode, dataset.resize_mode) and resize_mode != dataset.resize_mode:
        raise AgreementError(
            f"{manifest.model} fits pictures as {resize_mode!r}; those of {dataset.name} are fitted as"
            f" {dataset.resize_mode!r}: export or train it again"
        )


def _figure(name: str, figure: float) -> str:
    return (
        f"{100 * figure:.2f} %" if name == "accuracy" else f"root mean squared error {figure:.4g}"
    )
