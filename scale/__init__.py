"""ptx.scale: prediction on several machines, by shards of the inputs, Ray, Spark or Daft.

`ptx.scale.batch` needs pyarrow, `ptx.scale.ray` needs Ray; the extra `ray` installs both.
`ptx.scale.ray_serve` needs the extra `ray-serve`.
"""

from __future__ import annotations

from ptx.infer.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(__name__)
