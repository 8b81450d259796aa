"""Predictions for a table: adds columns of predictions to an Arrow record batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa

from ptx.infer.errors import InputError, UsageError, quote
from ptx.infer.prediction import Failure, NamedInput, Prediction
from ptx.infer.predictor import TOP, Predictor
from ptx.infer.tasks import Ranking

BATCH = 256  # rows of one model run, as in `ptx predict`

_RANKED = pa.struct([("label", pa.string()), ("score", pa.float64())])
_COLUMNS = {
    "label": pa.string(),
    "score": pa.float64(),
    "low_confidence": pa.bool_(),
    "top": pa.list_(_RANKED),
    "value": pa.float64(),
    "error": pa.string(),
}


def prediction_schema(prefix: str = "") -> pa.Schema:
    """The columns that `batch` adds, with `prefix` before each name.

    `label`: string, null for a regression. `score`: double, the label's probability in [0, 1].
    `low_confidence`: bool, whether the label is more probably wrong than right; null for a regression.
    `top`: list of structs of `label` (string) and `score` (double), best first. `value`: double, for a
    regression. `error`: string, `[E-…] …` if the row could not be used; the other columns are then null.
    """
    return pa.schema([(f"{prefix}{name}", dtype) for name, dtype in _COLUMNS.items()])


def batch(
    records: pa.RecordBatch,
    predictor: Predictor,
    *,
    column: str = "bytes",
    top: int = TOP,
    batch_size: int = BATCH,
    prefix: str = "",
) -> pa.RecordBatch:
    """The record batch with the columns of `prediction_schema` added; the order of its rows is kept.

    Args:
        records: Its other columns are kept as they are.
        column: The column with the inputs: binary (an image file's bytes), string (a path or a text), a
            number or a list of numbers. `image.bytes` is the field `bytes` of the struct `image`.
        top: How many labels `top` ranks.
        batch_size: Rows of one run of the model.
        prefix: Added before the names of the new columns, for a table that already has these names.

    Raises:
        UsageError: there is no such column, its type is not supported, or a new column exists.
    """
    added = prediction_schema(prefix)
    if duplicates := [name for name in added.names if name in records.schema.names]:
        raise UsageError(
            f"the table already has a column {quote(duplicates[0])}: drop or rename it, or give a prefix"
            " for the added columns"
        )
    values = (NamedInput("", value) for value in column_values(find_column(records, column)))
    predictions = predictor.predict_many(values, batch_size=batch_size, top=top, on_error="yield")
    return pa.RecordBatch.from_arrays(
        [*records.columns, *prediction_arrays(predictions)],
        schema=pa.schema([*records.schema, *added], metadata=records.schema.metadata),
    )


def find_column(records: pa.RecordBatch, column: str) -> pa.Array:
    """The column of this name; a dotted name goes into structs."""
    first, *rest = [column] if column in records.schema.names else column.split(".")
    if first not in records.schema.names:
        raise UsageError(
            f"the table has no column {quote(column)}; it has {', '.join(records.schema.names)}"
        )
    values = records.column(first)
    for name in rest:
        if not pa.types.is_struct(values.type) or values.type.get_field_index(name) < 0:
            raise UsageError(f"the column {quote(first)} has no field {quote(name)}")
        values = values.flatten()[
            values.type.get_field_index(name)
        ]  # null where the struct is null
    return values


def column_values(values: pa.Array) -> list[Any]:
    """The raw input of each row; an InputError instead of a null."""
    dtype, types = values.type, pa.types
    texts = types.is_string(dtype) or types.is_large_string(dtype)
    plain = types.is_binary(dtype) or types.is_large_binary(dtype) or texts
    if not (plain or _is_number(dtype) or _is_number_list(dtype)):
        raise UsageError(
            f"the column is of type {dtype}; expected binary, string, numbers or lists of them"
        )
    missing = InputError("the value is null", code="E-INPUT")
    rows = values.to_pylist()
    if _is_number_list(dtype):
        element_type = dtype.value_type.to_pandas_dtype()
        return [
            missing if row is None or None in row else np.array(row, element_type) for row in rows
        ]
    return [missing if row is None else row for row in rows]


def _is_number(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_integer(dtype) or pa.types.is_floating(dtype))


def _is_number_list(dtype: pa.DataType) -> bool:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_list(dtype) for is_list in lists) and _is_number(dtype.value_type)


def prediction_arrays(predictions: Iterable[Prediction | Failure]) -> list[pa.Array]:
    """The columns of `prediction_schema` for these predictions."""
    predictions = list(predictions)
    for each in predictions:
        if isinstance(each, Prediction) and each.is_array:
            raise UsageError(
                "a table has no column for vectors, class maps and boxes: predict without --on ray,"
                " into .jsonl"
            )
    rows: list[tuple[Any, ...]] = [
        (None, None, None, (), None, error_text(each))
        if isinstance(each, Failure)
        else (each.label, each.score, each.low_confidence, each.top, each.value, None)
        for each in predictions
    ]
    columns = zip(*rows, strict=True) if rows else [()] * len(_COLUMNS)
    return [
        _rankings(column) if name == "top" else pa.array(column, dtype)
        for (name, dtype), column in zip(_COLUMNS.items(), columns, strict=True)
    ]


def _rankings(tops: Sequence[Ranking]) -> pa.Array:
    """Lists of (label, score); null instead of an empty one."""
    pairs = [pair for top in tops for pair in top]
    ranked = pa.StructArray.from_arrays(
        [
            pa.array([name for name, _ in pairs], pa.string()),
            pa.array([score for _, score in pairs], pa.float64()),
        ],
        fields=list(_RANKED),
    )
    ends = pa.array([0, *accumulate(map(len, tops))], pa.int32())
    return pa.ListArray.from_arrays(
        ends, ranked, mask=pa.array([not top for top in tops], pa.bool_())
    )


def error_text(failure: Failure) -> str:
    """`[E-IMG-EMPTY] …` on one line."""
    return f"[{failure.error.code}] {' '.join(str(failure.error).split())}"
