"""Prediction in Spark: `frame.mapInArrow(make_udf("digits.onnx"), schema)`.

The schema is that of the frame and `PREDICTION_SCHEMA`, for example `f"id long, {PREDICTION_SCHEMA}"`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptx.infer.artifact.artifact import read_artifact
from ptx.infer.backends import Options
from ptx.scale.records import batch
from ptx.scale.spec import PredictorSpec

if TYPE_CHECKING:
    import pyarrow as pa

# `ptx.scale.prediction_schema` as a Spark DDL string.
PREDICTION_SCHEMA = (
    "label string, score double, low_confidence boolean,"
    " top array<struct<label: string, score: double>>, value double, error string"
)


def make_udf(
    model: str | Path,
    *,
    backend: str = "auto",
    options: Options | None = None,
    **batch_options: Any,
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for `mapInArrow`, which adds the columns of predictions to record batches.

    Args:
        model: A path on this machine; the bytes of the file are sent to the workers.
        backend: As in `ptx.infer.load`.
        options: How the backend is opened; by default with one thread.
        batch_options: `column`, `top`, `batch_size` and `prefix`, as in `ptx.scale.batch`.
    """
    data = read_artifact(model).data
    spec = PredictorSpec(data, str(model), backend, options or Options(threads=1))

    def predict(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with spec.open() as predictor:
            for records in batches:
                yield batch(records, predictor, **batch_options)

    return predict
