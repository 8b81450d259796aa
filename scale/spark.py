"""For Spark's `mapInArrow`: `frame.mapInArrow(answerer("digits.onnx"), frame_schema + ANSWERS)`."""

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

# The columns of `ptx.scale.answer_schema`, as Spark writes a schema.
ANSWERS = (
    "label string, score double, low_confidence boolean,"
    " top array<struct<label: string, score: double>>, value double, error string"
)


def answerer(
    model: str | Path, *, backend: str = "auto", options: Options | None = None, **how: Any
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function from record batches to record batches, which carries the model's bytes to the workers.

    `how`: as of `ptx.scale.batch`.
    """
    data = read_artifact(model).data
    spec = PredictorSpec(data, str(model), backend, options or Options(threads=1))

    def answer(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with spec.open() as predictor:
            for records in batches:
                yield batch(records, predictor, **how)

    return answer
