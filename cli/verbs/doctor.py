"""ptx doctor"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import click

from ptx.cli import options

if TYPE_CHECKING:
    from ptx.infer.artifact.artifact import Artifact

PACKAGES = ("ptx", "numpy", "pillow", "onnxruntime", "onnxruntime-gpu", "torch", "torchvision",
            "onnx", "onnxscript")  # fmt: skip


@click.command(
    epilog="\b\nExamples:\n  ptx doctor\n  ptx doctor --json",
    short_help="Open every backend once, or say why not.",
)
@options.as_json
@options.common
def doctor(as_json: bool) -> None:
    """Open every backend once with a small model and check its answer, or say why it cannot be."""
    from ptx.cli.terminal import judged, table, verdict
    from ptx.infer.backends import BACKENDS
    from ptx.models import broken_entries

    versions = dict(_versions())
    found = {name: _examine(name) for name in BACKENDS}
    if as_json:
        for name, (works, detail) in found.items():
            click.echo(json.dumps({"backend": name, "works": works, "detail": detail}))
        return
    click.echo(table(("package", "version"), list(versions.items())))
    click.echo()
    rows = [(name, judged("works" if works else "no", works), detail)
            for name, (works, detail) in found.items()]  # fmt: skip
    click.echo(table(("backend", "", ""), rows))
    for name, reason in broken_entries().items():
        click.echo(f"\nthe model {name!r} of a package is left out: {reason}")
    working = [name for name, (works, _) in found.items() if works]
    train, predict = "ptx train convnet --data bundled", "ptx predict INPUT --model FILE.onnx"
    verdict(
        f"{len(working)} of {len(found)} backends work here",
        train if "eager" in working else predict,
    )


def _versions() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            yield package, "not installed"


def _examine(name: str) -> tuple[bool, str]:
    """Whether the backend gives the probe's answer, and where it ran or why not."""
    import numpy as np

    from ptx.infer.backends import BACKENDS, Options, open_backend
    from ptx.infer.errors import BackendError, PtxError

    try:
        artifact = _probe(BACKENDS[name].reads)
        backend = open_backend(name, artifact, Options(trust=True))
        outputs = backend.run({"x": np.array([[4.0]], np.float32)})
        backend.close()
    except BackendError as error:
        return False, error.reason
    except PtxError as error:
        return False, str(error)
    answer = float(outputs["y"][0, 0])
    if answer != PROBE_ANSWER:
        return False, f"it opens, but answers {answer} where {PROBE_ANSWER} is right"
    return True, f"on {backend.device}"


PROBE_ANSWER = 9.0  # of the probe y = 2x + 1 for x = 4


def _probe(kind: str) -> Artifact:
    """The linear model y = 2x + 1 as a file of that kind: ONNX from the package, others made now."""
    from pathlib import Path

    from ptx.infer.artifact.artifact import parse_artifact

    if kind == "onnx":
        path = Path(__file__).parent / "probe.onnx"
        return parse_artifact(path.read_bytes(), path=path)
    return parse_artifact(make_probe(kind), path=Path(f"the {kind} probe"))


def make_probe(kind: str) -> bytes:
    """The content of the probe's file of that kind.

    Raises:
        BackendError: torch, or for ONNX its exporter, is not installed.
    """
    from ptx.infer.artifact.card import Card
    from ptx.infer.backends.pytorch.device import import_torch
    from ptx.infer.signature import Signature
    from ptx.models.catalog import CATALOG

    torch = import_torch()
    from ptx.models import build
    from ptx.models.checkpoint import Checkpoint, dumps, weights_digest

    entry = CATALOG["linear-model"]
    network = build("linear-model").eval()
    network.load_state_dict(
        {"linear.weight": torch.tensor([[2.0]]), "linear.bias": torch.tensor([1.0])}
    )
    weights = network.state_dict()
    signature = Signature.from_data(entry.signature)
    card = Card(
        model="linear-model",
        task=entry.task,
        signature=signature,
        preprocessing=dict(entry.preprocessing),
        config=dict(entry.config),
        weights_sha256=weights_digest(weights),
    )
    if kind == "checkpoint":
        from ptx.infer.artifact import zip_archive

        return zip_archive.attach(dumps(Checkpoint(weights)), card.to_json())
    from ptx.export.formats import find_attach, find_convert

    content = find_convert(kind)(network, signature, opset=None)
    return find_attach(kind)(content, card.to_json())
