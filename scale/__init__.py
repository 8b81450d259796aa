"""ptx.scale: prediction on several machines: shards of the inputs, tables, Ray, Spark and Daft.

`ptx.scale.batch` needs pyarrow, `ptx.scale.ray` needs Ray; the extra `ray` installs both.
`ptx.scale.ray_serve` needs the extra `ray-serve`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptx.infer.lazy import lazy_attributes

if TYPE_CHECKING:
    from ptx.scale.records import batch, prediction_schema
    from ptx.scale.resuming import ResumableOutput, open_resumable, select_inputs
    from ptx.scale.shards import Shard
else:
    __getattr__, __dir__ = lazy_attributes(
        __name__,
        {
            "ResumableOutput": "resuming",
            "Shard": "shards",
            "prediction_schema": "records",
            "batch": "records",
            "select_inputs": "resuming",
            "open_resumable": "resuming",
        },
    )

__all__ = [
    "ResumableOutput",
    "Shard",
    "batch",
    "open_resumable",
    "prediction_schema",
    "select_inputs",
]
