"""ptx inspect"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptx.cli import options
from ptx.infer.errors import counted

if TYPE_CHECKING:
    from ptx.infer.artifact.artifact import Artifact
    from ptx.infer.artifact.card import Card
    from ptx.infer.signature import Signature


@click.command(
    epilog="\b\nExamples:\n  ptx inspect runs/convnet/convnet.onnx\n  ptx inspect convnet --json",
    short_help="Show a file's card; runs no code of the file.",
)
@click.argument("model", metavar="FILE", shell_complete=options.complete_model)
@options.workspace
@options.as_json
@options.common
def inspect(model: str, workspace: Path, as_json: bool) -> None:
    """Show what FILE says about itself: card, signature, size, versions. Runs no code of the file."""
    from ptx.cli.terminal import facts, verdict
    from ptx.cli.workspace import Workspace
    from ptx.infer.artifact.artifact import read_artifact

    artifact = read_artifact(Workspace(workspace).find(model))
    found = _facts(artifact)
    if as_json:
        card = None if artifact.card is None else json.loads(artifact.card.to_json())
        click.echo(json.dumps({**found, "card": card}, ensure_ascii=False))
        return
    card_facts = [] if artifact.card is None else list(card_pairs(artifact.card))
    click.echo(facts([*found.items(), *card_facts]))
    if artifact.card is None and artifact.kind == "onnx":
        verdict("", f"ptx predict INPUT --model {artifact.path} --describe FILE")
    else:
        verdict("", f"ptx verify {artifact.path}")


def _facts(artifact: Artifact) -> dict[str, str | int | bool]:
    from ptx.infer.artifact.onnx_bytes import read_header
    from ptx.infer.described.onnx_graph import read_graph

    facts: dict[str, str | int | bool] = {
        "file": str(artifact.path),
        "kind": artifact.kind,
        "bytes": len(artifact.data),
        "sha256": artifact.sha256,
        "seal": "holds" if artifact.sealed else "broken" if artifact.card else "none",
    }
    if artifact.kind == "onnx":
        header = read_header(artifact.data, name=artifact.name)
        facts["opset"] = ", ".join(
            f"{domain or 'ai.onnx'} {version}" for domain, version in header.opsets.items()
        )
        facts["ir version"] = header.ir_version
        if artifact.card is None:
            facts["producer"] = header.producer
            graph = read_graph(artifact.data, header, name=artifact.name)
            for title, tensors in (("input", graph.inputs), ("output", graph.outputs)):
                for tensor in tensors:
                    facts[f"{title} {tensor.name}"] = tensor.describe()
    return facts


def card_pairs(card: Card) -> Iterator[tuple[str, str]]:
    """What a card says, as (title, text) for people."""
    yield "model", card.model
    yield "task", card.task
    yield from signature_pairs(card.signature)
    yield "preprocessing", listed(card.preprocessing)
    yield "labels", ", ".join(card.labels) or "none"
    training = card.training
    if data := training.get("data"):
        yield "trained on", f"{data.get('name')} ({data.get('source')})"
    for key in ("recipe", "metrics", "assumed"):
        if isinstance(training.get(key), dict):
            yield key, listed(training[key])
    if card.agreement:
        for backend, outputs in card.agreement["backends"].items():
            for name, found in outputs.items():
                yield (
                    "agreement",
                    (
                        f"{backend}, {name}: largest error {found['error']:.1e} in"
                        f" {counted(card.agreement['cases'], 'case')}, allowed {found['tolerance']:.1e},"
                        f" against {card.agreement.get('reference', 'eager float64')}"
                    ),
                )
    yield "golden samples", str(len(card.golden))
    yield "versions", ", ".join(f"{name} {version}" for name, version in card.versions.items())


def signature_pairs(signature: Signature) -> Iterator[tuple[str, str]]:
    """`input`, `image: float32 (batch, 1, 28, 28)`, and so on."""
    for title, specs in (("input", signature.inputs), ("output", signature.outputs)):
        for spec in specs:
            yield title, f"{spec.name}: {spec.dtype} {spec.describe()}"


def listed(values: Mapping[str, Any]) -> str:
    """`optimizer sgd, lr 0.01, batch size 100`."""
    return ", ".join(f"{key.replace('_', ' ')} {_short(value)}" for key, value in values.items())


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return f"({', '.join(map(_short, value))})"
    return str(value)
