"""ptx.export: from a checkpoint to an artifact, and the proof that both compute the same."""

from __future__ import annotations

from ptx.export.comparison import BackendResult, Comparison, compare
from ptx.export.exporting import Exported, export
from ptx.export.formats import FORMATS
from ptx.export.source import Source, read_source

__all__ = [
    "FORMATS",
    "BackendResult",
    "Comparison",
    "Exported",
    "Source",
    "compare",
    "export",
    "read_source",
]
