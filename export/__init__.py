"""ptx.export: from a checkpoint to an artifact, and the proof that both compute the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptx.infer.backends.threads import settle_threads
from ptx.infer.lazy import lazy

settle_threads()  # before anything here imports torch

if TYPE_CHECKING:
    from ptx.export.comparison import BackendResult, Comparison, compare
    from ptx.export.exporting import Exported, export
    from ptx.export.formats import FORMATS
    from ptx.export.statement import Statement
    from ptx.export.trained_model import About, TrainedModel, describe, read_model
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "FORMATS": "formats",
            "About": "trained_model",
            "BackendResult": "comparison",
            "Comparison": "comparison",
            "Exported": "exporting",
            "Statement": "statement",
            "TrainedModel": "trained_model",
            "compare": "comparison",
            "describe": "trained_model",
            "export": "exporting",
            "read_model": "trained_model",
        },
    )

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
