"""The linear model y = 2x + 1, with which `ptx doctor` tries a backend."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ptx import infer, models
from ptx.infer.artifact.formats import CHECKPOINT, FORMATS
from ptx.infer.errors import BackendError, PtxError

ANSWER = 9.0  # for x = 4


@dataclass(frozen=True)
class Examined:
    """What became of the attempt to open a backend."""

    works: bool
    detail: str  # where it ran, or why not


def examine(name: str) -> Examined:
    """Whether the backend gives the probe's answer."""
    import numpy as np

    from ptx.infer.backends import open_backend

    try:
        artifact = read_probe(infer.BACKENDS[name].reads)
        backend = open_backend(name, artifact, infer.Options(trust=True))
        outputs = backend.run({"x": np.array([[4.0]], np.float32)})
        backend.close()
    except BackendError as error:
        return Examined(False, error.reason)
    except PtxError as error:
        return Examined(False, str(error))
    answer = float(outputs["y"][0, 0])
    if answer != ANSWER:
        return Examined(False, f"it opens, but answers {answer} where {ANSWER} is right")
    return Examined(True, f"on {backend.device}")


def read_probe(kind: str) -> infer.Artifact:
    """The model as a file of that kind: from the package where it is there, else made now."""
    path = (Path(__file__).parent / "probe").with_suffix(FORMATS[kind].suffix)
    if path.is_file():
        return infer.parse_artifact(path.read_bytes(), path=path)
    return infer.parse_artifact(make_probe(kind), path=Path(f"the {kind} probe"))


def make_probe(kind: str) -> bytes:
    """The content of the probe's file of that kind.

    Raises:
        BackendError: torch, or for ONNX its exporter, is not installed.
    """
    from ptx.infer.backends.pytorch.device import import_torch
    from ptx.models.checkpoint import Checkpoint, dumps, weights_digest

    torch = import_torch()
    from ptx.export.documented import documented_card
    from ptx.infer.described.description import Description

    network = models.build("linear-model").eval()
    network.load_state_dict(
        {"linear.weight": torch.tensor([[2.0]]), "linear.bias": torch.tensor([1.0])}
    )
    weights = network.state_dict()
    card = documented_card("linear-model", Description())
    card = replace(card, training={}, weights_sha256=weights_digest(weights))
    if kind == CHECKPOINT:
        from ptx.infer.artifact import zip_archive

        return zip_archive.attach(dumps(Checkpoint(weights)), card.to_json())
    from ptx.export.formats import find_attach, find_convert
    from ptx.export.trained_model import TrainedModel

    content = find_convert(kind)(TrainedModel(network, card, {}).traced, opset=None)
    return find_attach(kind)(content, card.to_json())
