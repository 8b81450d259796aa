"""ptx.export: from a checkpoint to an artifact, and the proof that both compute the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptx.infer.backends.threads import settle_threads
from ptx.infer.lazy import public

settle_threads()  # before anything here imports torch

if TYPE_CHECKING:
    from ptx.export.comparison import BackendResult as BackendResult
    from ptx.export.comparison import Comparison as Comparison
    from ptx.export.comparison import compare as compare
    from ptx.export.exporting import Exported as Exported
    from ptx.export.exporting import export as export
    from ptx.export.formats import FORMATS as FORMATS
    from ptx.export.formats.pixels import take_pixels as take_pixels
    from ptx.export.formats.rounding import round_weights as round_weights
    from ptx.export.int8.exporting import Int8Exported as Int8Exported
    from ptx.export.int8.exporting import Trial as Trial
    from ptx.export.int8.exporting import export_int8 as export_int8
    from ptx.export.int8.known_rows import KnownRows as KnownRows
    from ptx.export.trained_model import TrainedModel as TrainedModel
    from ptx.export.trained_model import describe as describe
    from ptx.export.trained_model import read_model as read_model
    from ptx.export.variant import ExportVariant as ExportVariant
    from ptx.infer.described.description import Description as Description

    __all__: list[str]
else:
    __getattr__, __dir__, __all__ = public(
        __name__,
        {
            "comparison": "BackendResult Comparison compare",
            "exporting": "Exported export",
            "formats": "FORMATS",
            "formats.pixels": "take_pixels",
            "formats.rounding": "round_weights",
            "int8.exporting": "Int8Exported Trial export_int8",
            "int8.known_rows": "KnownRows",
            "trained_model": "Description TrainedModel describe read_model",
            "variant": "ExportVariant",
        },
    )
