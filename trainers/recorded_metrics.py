"""The test metrics of the training in the manifest, and the comparison of an artifact with them."""

from __future__ import annotations

import math
from typing import Any

from ptx.infer.artifact.manifest import Manifest
from ptx.infer.errors import AgreementError
from ptx.infer.predictor import Predictor
from ptx.infer.verification import failures
from ptx.trainers.data import Dataset
from ptx.trainers.evaluation import Evaluation

# The fraction by which rounding may lower the accuracy or increase an error.
ROUNDING = 1e-3
MIN_ERROR = 1e-6  # in the unit of a regression's target; smaller errors are due to rounding


def final_test_metrics(manifest: Manifest, row: dict[str, float], rows: int) -> dict[str, Any]:
    """The test metrics for the manifest: data, rows, and the accuracy or the error of a regression.

    Args:
        row: The last row of the history; for a regression `test_loss` is the mean squared error.
    """
    data = manifest.training["data"]
    record = {"data": data["name"], "sha256": data["sha256"], "rows": rows}
    if "test_accuracy" in row:
        return {**record, "accuracy": float(row["test_accuracy"])}
    return {**record, "rmse": math.sqrt(row["test_loss"])}


def check_accuracy_regression(
    manifest: Manifest, evaluation: Evaluation, data: Dataset
) -> tuple[bool, str]:
    """Whether an evaluation is as good as the manifest's test metrics, and a line for the user.

    True on other data and without recorded metrics, as there is nothing to compare.
    """
    record = manifest.training.get("test")
    if record is None:
        return True, "the manifest has no test metrics of the training"
    name = "accuracy" if evaluation.accuracy is not None else "rmse"
    if name not in record:
        return True, f"the manifest's test metrics have no {name}"
    metric = _format_metric(name, record[name])
    text = f"in training {metric} of {record['rows']:,} rows of {record['data']}"
    if (record["sha256"], record["rows"]) != (data.sha256, evaluation.rows):
        return True, f"{text}: not compared, as the data differs"
    if evaluation.accuracy is not None:
        passed = evaluation.accuracy >= record[name] - _allowed_drop(manifest)
    else:
        assert evaluation.error is not None
        passed = evaluation.error <= record[name] * (1 + ROUNDING) + MIN_ERROR
    return passed, text if passed else f"{text}: worse than in training by more than rounding"


def _allowed_drop(manifest: Manifest) -> float:
    """The allowed drop of the accuracy; for an int8 file the one in its manifest."""
    quantization = manifest.quantization
    return ROUNDING if quantization is None else max(ROUNDING, quantization.max_drop / 100)


def require_verified(predictor: Predictor, dataset: Dataset) -> None:
    """Check the file before it is evaluated: with failed checks the metrics would mean nothing.

    Raises:
        AgreementError: a check of the manifest or of a golden sample fails, or the resize mode of the
            data differs.
    """
    manifest = predictor.manifest
    failed = failures(predictor, manifest)
    if failed:
        raise AgreementError(
            f"{manifest.model} on {predictor.backend.name} fails verification: {failed[0].name}:"
            f" {failed[0].detail}; export it again, `ptx verify` lists all checks"
        )
    resize_mode = manifest.preprocessing.get("resize_mode")
    if None not in (resize_mode, dataset.resize_mode) and resize_mode != dataset.resize_mode:
        raise AgreementError(
            f"{manifest.model} resizes images by {resize_mode!r}; those of {dataset.name} are resized"
            f" by {dataset.resize_mode!r}: export or train it again"
        )


def _format_metric(name: str, value: float) -> str:
    return f"{100 * value:.2f} %" if name == "accuracy" else f"root mean squared error {value:.4g}"
