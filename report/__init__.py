"""ptx.report: the HTML report, comparison, benchmark and preview of a model."""

from __future__ import annotations

from ptx.infer.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(__name__)
