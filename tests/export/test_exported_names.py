"""What `ptx.export` names in `__all__` is public."""

from __future__ import annotations

import ptx.export
from ptx.infer.artifact.formats import FORMATS


def test_public_names() -> None:
    assert set(ptx.export.__all__) == {
        "EXPORTERS",
        "ExternalOnnx",
        "adopt",
        "read_external",
        "ExportVariant",
        "BackendResult",
        "Comparison",
        "ModelSpec",
        "QualityReport",
        "VerifiedExport",
        "compare_predictions",
        "predict",
        "LabelledDataset",
        "Location",
        "LibraryModel",
        "is_library_model",
        "load_library_model",
        "TrainedModel",
        "QuantizationConfig",
        "compare",
        "describe",
        "export",
        "export_int8",
        "locate",
        "read_model",
        "reproduce",
        "PROFILED_BACKENDS",
        "NodeProfile",
        "NodeTime",
        "profile_nodes",
        "quantize_weights",
        "embed_preprocessing",
    }
    assert all(hasattr(ptx.export, name) for name in ptx.export.__all__)


def test_the_formats_are_the_documented_ones() -> None:
    found = ptx.export.EXPORTERS.items()
    assert {name: (FORMATS[name].suffix, form.backend) for name, form in found} == {
        "onnx": (".onnx", "ort-cpu"),
        "torchscript": (".torchscript", "torchscript"),
        "pt2": (".pt2", "pt2"),
        "html": (".html", "javascript"),
    }
