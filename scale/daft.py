"""Prediction in Daft: `frame.with_column("prediction", make_udf("digits.onnx")(daft.col("bytes")))`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import daft
import pyarrow as pa

from ptx.infer.artifact.artifact import read_artifact
from ptx.infer.backends import Options
from ptx.scale.records import batch, prediction_schema
from ptx.scale.spec import PredictorSpec

PREDICTION_TYPE = daft.DataType.from_arrow_type(pa.struct(list(prediction_schema())))


def make_udf(
    model: str | Path,
    *,
    backend: str = "auto",
    options: Options | None = None,
    **batch_options: Any,
) -> Any:
    """A stateful UDF that maps the input column to a struct, `PREDICTION_TYPE`.

    Args:
        model: A path on this machine; the bytes of the file are sent to the workers.
        backend: As in `ptx.infer.load`.
        options: How the backend is opened; by default with one thread.
        batch_options: `top` and `batch_size`, as in `ptx.scale.batch`.
    """
    data = read_artifact(model).data
    spec = PredictorSpec(data, str(model), backend, options or Options(threads=1))

    @daft.cls
    class Udf:
        def __init__(self) -> None:
            self.predictor = spec.open()

        @daft.method.batch(return_dtype=PREDICTION_TYPE)
        def predict(self, values: daft.Series) -> pa.Array:
            records = pa.RecordBatch.from_arrays([values.to_arrow()], ["bytes"])
            predicted = batch(records, self.predictor, **batch_options)
            return predicted.select(prediction_schema().names).to_struct_array()

    return Udf().predict
