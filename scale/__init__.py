"""ptx.scale: prediction on several machines: shards of the inputs, tables, Ray, Spark and Daft.

`ptx.scale.batch` needs pyarrow, `ptx.scale.ray` needs Ray; the extra `ray` installs both.
`ptx.scale.ray_serve` needs the extra `ray-serve`.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
