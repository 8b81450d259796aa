"""ptx.export: from a trained model to a verified artifact."""

from __future__ import annotations

import lazy_loader

from ptx.infer.backends.threads import set_openmp_wait_policy

set_openmp_wait_policy()  # before anything here imports torch

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
