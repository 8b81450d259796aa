"""ptx.export: from a trained model to a verified artifact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptx.infer.backends.threads import set_openmp_wait_policy
from ptx.infer.lazy import lazy_exports

set_openmp_wait_policy()  # before anything here imports torch

if TYPE_CHECKING:
    from ptx.export.check.compare import BackendResult as BackendResult
    from ptx.export.check.compare import Comparison as Comparison
    from ptx.export.check.compare import compare as compare
    from ptx.export.diff.locate import Location as Location
    from ptx.export.diff.locate import locate as locate
    from ptx.export.diff.node_times import PROFILED_BACKENDS as PROFILED_BACKENDS
    from ptx.export.diff.node_times import NodeProfile as NodeProfile
    from ptx.export.diff.node_times import NodeTime as NodeTime
    from ptx.export.diff.node_times import profile_nodes as profile_nodes
    from ptx.export.diff.reproduce import reproduce as reproduce
    from ptx.export.formats import EXPORTERS as EXPORTERS
    from ptx.export.libraries import LibraryModel as LibraryModel
    from ptx.export.libraries import is_library_model as is_library_model
    from ptx.export.libraries import load_library_model as load_library_model
    from ptx.export.pipeline import VerifiedExport as VerifiedExport
    from ptx.export.pipeline import export as export
    from ptx.export.pixel_inputs import embed_preprocessing as embed_preprocessing
    from ptx.export.quantize.int8 import QuantizationConfig as QuantizationConfig
    from ptx.export.quantize.int8 import export_int8 as export_int8
    from ptx.export.quantize.quality import LabelledDataset as LabelledDataset
    from ptx.export.quantize.quality import QualityReport as QualityReport
    from ptx.export.quantize.quality import compare_predictions as compare_predictions
    from ptx.export.quantize.quality import predict as predict
    from ptx.export.quantize.weights import quantize_weights as quantize_weights
    from ptx.export.source import TrainedModel as TrainedModel
    from ptx.export.source import describe as describe
    from ptx.export.source import read_model as read_model
    from ptx.export.variant import ExportVariant as ExportVariant
    from ptx.infer.external.spec import ModelSpec as ModelSpec

    __all__: list[str]
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "check.compare": "BackendResult Comparison compare",
            "diff.locate": "Location locate",
            "diff.node_times": "PROFILED_BACKENDS NodeProfile NodeTime profile_nodes",
            "diff.reproduce": "reproduce",
            "formats": "EXPORTERS",
            "libraries": "LibraryModel is_library_model load_library_model",
            "pipeline": "VerifiedExport export",
            "pixel_inputs": "embed_preprocessing",
            "quantize.int8": "QuantizationConfig export_int8",
            "quantize.quality": "LabelledDataset QualityReport compare_predictions predict",
            "quantize.weights": "quantize_weights",
            "source": "ModelSpec TrainedModel describe read_model",
            "variant": "ExportVariant",
        },
    )
