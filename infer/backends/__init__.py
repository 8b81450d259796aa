"""The backends: the runtimes that execute a model file.

Each backend is a final class in its own module, imported on demand. Checks, batching, pre- and
postprocessing are implemented once, in `ptx.infer.predictor`.
"""

from __future__ import annotations

from ptx.infer.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(__name__)
