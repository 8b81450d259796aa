"""ptx verify"""

from __future__ import annotations

import json
from pathlib import Path

import click

from ptx import infer
from ptx.cli import options
from ptx.cli.opening import file_kind_of
from ptx.cli.streams import echo
from ptx.cli.terminal import colour_verdict, table, verdict
from ptx.cli.workspace import Workspace
from ptx.infer.errors import pluralise


@click.command(
    epilog="\b\nExamples:\n  ptx verify runs/convnet/convnet.onnx\n"
    "  ptx verify convnet --backend ort-cpu",
)
@click.argument("model", metavar="FILE", shell_complete=options.complete_model)
@options.backend
@options.device
@options.trust
@click.option("--no-run", is_flag=True, help="Check the seal and the card; run nothing of FILE.")
@options.workspace
@options.as_json
@options.time_limit
@options.common
def verify(
    model: str, backend: str, device: str, trust: bool, no_run: bool, workspace: Path, as_json: bool
) -> int:
    """Check the seal of FILE and replay the golden samples that it carries.

    FILE is an artifact, a checkpoint or a name of the catalog. An ONNX file needs no torch.
    """
    space = Workspace(workspace)
    path = space.find(model, file_kind_of(backend))
    checks = infer.verify(
        path, backend=backend, device=device, trust=space.trust(trust), run=not no_run
    )
    failed = "; ".join(check.name for check in checks if not check.holds)
    if as_json:
        for c in checks:
            lacks = {"lacks": True} if c.lacks else {}
            echo(json.dumps({"check": c.name, "holds": c.holds, "detail": c.detail, **lacks}))
        return 1 if failed else 0
    words = [
        "lacks" if c.lacks else colour_verdict("holds" if c.holds else "FAILS", c.holds)
        for c in checks
    ]
    rows = [(c.name, word, c.detail) for c, word in zip(checks, words, strict=True)]
    echo(table(("check", "", "detail"), rows))
    if failed:
        verdict(f"{path} does not hold: {failed}", "export it again", holds=False)
        return 1
    verdict(f"{path} holds: {pluralise(len(checks), 'check')}")
    return 0
