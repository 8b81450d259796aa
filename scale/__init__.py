"""ptx.scale: prediction on more than one machine: shards of the inputs, tables, Ray, Spark and Daft.

`ptx.scale.batch` needs pyarrow, `ptx.scale.ray` needs Ray; the extra `ray` installs both.
`ptx.scale.ray_serve` needs the extra `ray-serve`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptx.infer.lazy import lazy

if TYPE_CHECKING:
    from ptx.scale.records import answer_schema, batch
    from ptx.scale.resuming import Continued, choose, continued
    from ptx.scale.shards import Shard
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "Continued": "resuming",
            "Shard": "shards",
            "answer_schema": "records",
            "batch": "records",
            "choose": "resuming",
            "continued": "resuming",
        },
    )

__all__ = ["Continued", "Shard", "answer_schema", "batch", "choose", "continued"]
