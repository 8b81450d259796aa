"""ptx.export: from a trained model to a verified artifact."""

from __future__ import annotations

from ptx.infer.backends.threads import set_openmp_wait_policy
from ptx.infer.lazy import lazy_exports

set_openmp_wait_policy()  # before anything here imports torch

__getattr__, __dir__, __all__ = lazy_exports(__name__)
