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
    from ptx.export.formats.pixels import take_pixels
    from ptx.export.formats.rounding import round_weights
    from ptx.export.int8.exporting import Int8Exported, Trial, export_int8
    from ptx.export.int8.known_rows import KnownRows
    from ptx.export.trained_model import TrainedModel, describe, read_model
    from ptx.infer.described.description import Description
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "FORMATS": "formats",
            "BackendResult": "comparison",
            "Comparison": "comparison",
            "Description": "trained_model",
            "Exported": "exporting",
            "Int8Exported": "int8.exporting",
            "KnownRows": "int8.known_rows",
            "TrainedModel": "trained_model",
            "Trial": "int8.exporting",
            "compare": "comparison",
            "describe": "trained_model",
            "export": "exporting",
            "export_int8": "int8.exporting",
            "read_model": "trained_model",
            "round_weights": "formats.rounding",
            "take_pixels": "formats.pixels",
        },
    )

__all__ = [
    "FORMATS",
    "BackendResult",
    "Comparison",
    "Description",
    "Exported",
    "Int8Exported",
    "KnownRows",
    "TrainedModel",
    "Trial",
    "compare",
    "describe",
    "export",
    "export_int8",
    "read_model",
    "round_weights",
    "take_pixels",
]
