"""For Daft: `frame.with_column("answer", answerer("digits.onnx")(daft.col("bytes")))`, a struct."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import daft
import pyarrow as pa

from ptx.infer.artifact.artifact import read_artifact
from ptx.infer.backends import Options
from ptx.scale.records import answer_schema, batch
from ptx.scale.spec import PredictorSpec

ANSWERS = daft.DataType.from_arrow_type(pa.struct(list(answer_schema())))


def answerer(
    model: str | Path, *, backend: str = "auto", options: Options | None = None, **how: Any
) -> Any:
    """A stateful function from the predicted column to `ANSWERS`; `how`: as of `ptx.scale.batch`."""
    data = read_artifact(model).data
    spec = PredictorSpec(data, str(model), backend, options or Options(threads=1))

    @daft.cls
    class Answers:
        def __init__(self) -> None:
            self.predictor = spec.open()

        @daft.method.batch(return_dtype=ANSWERS)
        def answer(self, values: daft.Series) -> pa.Array:
            given = pa.RecordBatch.from_arrays([values.to_arrow()], ["bytes"])
            return (
                batch(given, self.predictor, **how).select(answer_schema().names).to_struct_array()
            )

    return Answers().answer
