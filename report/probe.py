"""A check of whether a backend works here, with the linear model y = 2x + 1."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ptx.infer import Artifact, BackendError, Options, PtxError, parse_artifact
from ptx.infer.artifact.formats import CHECKPOINT, find_format
from ptx.infer.backends import find_backend, open_backend
from ptx.infer.backends.registry import PACKAGE_BACKENDS

EXPECTED = 9.0  # for x = 4


@dataclass(frozen=True)
class BackendStatus:
    """Whether a backend works here."""

    works: bool
    detail: str  # the device, or why it does not work


def probe_backend(name: str) -> BackendStatus:
    """Open a backend with the probe model and check its output."""
    import numpy as np

    try:
        with PACKAGE_BACKENDS.mapping_errors(name):
            artifact = read_probe(find_backend(name).artifact_format)
            backend = open_backend(name, artifact, Options(trust=True))
            outputs = backend.run({"x": np.array([[4.0]], np.float32)})
            backend.close()
    except BackendError as error:
        return BackendStatus(False, error.reason)
    except PtxError as error:
        return BackendStatus(False, str(error))
    output = float(outputs["y"][0, 0])
    if output != EXPECTED:
        return BackendStatus(
            False, f"it computes {output} for the probe model; expected {EXPECTED}"
        )
    return BackendStatus(True, f"on {backend.device}")


def read_probe(file_format: str) -> Artifact:
    """The probe model in a format: the file in this package, or one that is made now."""
    path = (Path(__file__).parent / "probe").with_suffix(find_format(file_format).suffix)
    if path.is_file():
        return parse_artifact(path.read_bytes(), path=path)
    return parse_artifact(make_probe(file_format), path=Path(f"the {file_format} probe"))


def make_probe(file_format: str) -> bytes:
    """The content of a probe model's file.

    Raises:
        BackendError: torch is not installed, or for ONNX the exporter.
    """
    from ptx import models
    from ptx.infer.backends.pytorch.device import import_torch
    from ptx.models.checkpoint import Checkpoint, dumps, weights_digest

    torch = import_torch()
    from ptx.export.catalog_manifest import catalog_manifest
    from ptx.infer.external.spec import ModelSpec

    network = models.build("linear-model").eval()
    network.load_state_dict(
        {"linear.weight": torch.tensor([[2.0]]), "linear.bias": torch.tensor([1.0])}
    )
    weights = network.state_dict()
    manifest = catalog_manifest("linear-model", ModelSpec())
    manifest = replace(manifest, training={}, weights_sha256=weights_digest(weights))
    if file_format == CHECKPOINT:
        from ptx.infer.artifact import zip_archive

        return zip_archive.embed_manifest(dumps(Checkpoint(weights)), manifest.to_json())
    from ptx.export.formats import find_exporter
    from ptx.export.source import TrainedModel

    exporter = find_exporter(file_format)
    content = exporter.convert(TrainedModel(network, manifest, {}).traced, opset=None)
    return exporter.embed_manifest(content, manifest.to_json())
