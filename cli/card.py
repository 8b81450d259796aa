"""ptx inspect"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ptx.cli import options

if TYPE_CHECKING:
    from ptx.infer.artifact import Artifact
    from ptx.infer.card import Card


@click.command(
    epilog="\b\nExamples:\n  ptx inspect runs/convnet/convnet.onnx\n  ptx inspect convnet --json",
    short_help="Show a file's card; runs no code of the file.",
)
@click.argument("model", metavar="FILE")
@options.workspace
@options.as_json
@options.common
def inspect(model: str, workspace: Path, as_json: bool) -> None:
    """Show what FILE says about itself: card, signature, size, versions. Runs no code of the file."""
    from ptx.cli.terminal import verdict
    from ptx.cli.workspace import Workspace
    from ptx.infer.artifact import read_artifact

    artifact = read_artifact(Workspace(workspace).find(model))
    facts = _facts(artifact)
    if as_json:
        card = None if artifact.card is None else json.loads(artifact.card.to_json())
        click.echo(json.dumps({**facts, "card": card}, ensure_ascii=False))
        return
    if artifact.card is not None:
        facts |= _card_facts(artifact.card)
    for key, value in facts.items():
        click.echo(f"{key + ':':16}{value}")
    if artifact.card is None and artifact.kind == "onnx":
        verdict("", f"ptx predict INPUT --model {artifact.path} --describe FILE")
    else:
        verdict("", f"ptx verify {artifact.path}")


def _facts(artifact: Artifact) -> dict[str, str | int | bool]:
    from ptx.infer.onnx_file import read_header
    from ptx.infer.onnx_graph import read_graph

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


def _card_facts(card: Card) -> dict[str, str]:
    facts = {"model": card.model, "task": card.task}
    for title, specs in (("input", card.signature.inputs), ("output", card.signature.outputs)):
        for spec in specs:
            facts[f"{title} {spec.name}"] = f"{spec.dtype} {spec.describe()}"
    facts["preprocessing"] = json.dumps(card.preprocessing, ensure_ascii=False)
    facts["labels"] = ", ".join(card.labels) or "none"
    training = card.training
    if training:
        facts["trained on"] = f"{training['data']['name']} ({training['data']['source']})"
        facts["recipe"] = json.dumps(training["recipe"])
        facts["metrics"] = json.dumps(training.get("metrics", {}))
    if card.agreement:
        for backend, outputs in card.agreement["backends"].items():
            for name, found in outputs.items():
                facts[f"agreement {backend}"] = (
                    f"{name}: largest error {found['error']:.1e} in {card.agreement['cases']} cases,"
                    f" allowed {found['tolerance']:.1e}"
                )
    facts["golden samples"] = str(len(card.golden))
    facts["versions"] = ", ".join(f"{name} {version}" for name, version in card.versions.items())
    return facts
