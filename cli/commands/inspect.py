"""ptx inspect"""

from __future__ import annotations

import json
from pathlib import Path

import click

from ptx import infer, report
from ptx.cli import options
from ptx.cli.streams import echo, writes_unicode
from ptx.cli.terminal import facts, print_summary
from ptx.cli.workspace import Workspace


@click.command(
    epilog="\b\nExamples:\n  ptx inspect runs/convnet/convnet.onnx\n  ptx inspect convnet --json",
)
@click.argument("model", metavar="FILE", shell_complete=options.complete_model)
@options.workspace
@options.as_json
@options.common
def inspect(model: str, workspace: Path, as_json: bool) -> None:
    """Show the manifest, signature, size and versions of FILE, without running its code."""
    artifact = infer.read_artifact(Workspace(workspace).find(model))
    file_facts, manifest = report.file_facts(artifact), artifact.manifest
    if as_json:
        content = None if manifest is None else json.loads(manifest.to_json())
        echo(json.dumps({**file_facts, "manifest": content}, ensure_ascii=not writes_unicode()))
        return
    echo(
        facts([*file_facts.items(), *(() if manifest is None else report.manifest_facts(manifest))])
    )
    if manifest is None and artifact.format.accepts_spec:
        path = artifact.path
        predict = f"ptx predict INPUT --model {path} --spec FILE"
        print_summary("", f"ptx run {path} INPUTS.npz, or {predict}")
    else:
        print_summary("", f"ptx verify {artifact.path}")
