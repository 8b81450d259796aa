"""ptx.export: from a checkpoint to an artifact, and the proof that both compute the same."""

from __future__ import annotations

from ptx.infer.backends.pytorch.threads import settle_threads

settle_threads()  # before what follows imports torch

from ptx.export.comparison import BackendResult, Comparison, compare
from ptx.export.exporting import Exported, export
from ptx.export.formats import FORMATS
from ptx.export.statement import Statement
from ptx.export.trained_model import About, TrainedModel, describe, read_model

__all__ = [
    "FORMATS",
    "About",
    "BackendResult",
    "Comparison",
    "Exported",
    "Statement",
    "TrainedModel",
    "compare",
    "describe",
    "export",
    "read_model",
]
