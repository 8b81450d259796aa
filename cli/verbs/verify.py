"""ptx verify"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ptx.cli import options
from ptx.cli.time_limit import time_limit

if TYPE_CHECKING:
    from ptx.infer import Check


@click.command(
    epilog="\b\nExamples:\n  ptx verify runs/convnet/convnet.onnx\n"
    "  ptx verify convnet --backend ort-cpu",
    short_help="Check a file's seal and replay its golden samples.",
)
@click.argument("model", metavar="FILE", shell_complete=options.complete_model)
@options.backend
@options.device
@options.trust
@click.option("--no-run", is_flag=True, help="Check the seal and the card; run nothing of FILE.")
@options.workspace
@options.as_json
@time_limit
@options.common
def verify(
    model: str,
    backend: str,
    device: str,
    trust: bool,
    no_run: bool,
    workspace: Path,
    as_json: bool,
) -> int:
    """Check the seal of FILE and replay the golden samples that it carries.

    FILE is an artifact, a checkpoint or a name of the catalog. An ONNX file needs no torch.
    """
    import json

    from ptx.cli.opening import backend_kind
    from ptx.cli.terminal import judged, table, verdict
    from ptx.cli.workspace import Workspace
    from ptx.infer.errors import counted
    from ptx.infer.verification import verify as verify_file

    space = Workspace(workspace)
    path = space.find(model, backend_kind(backend))
    checks = verify_file(
        path, backend=backend, device=device, trust=space.trust(trust), run=not no_run
    )
    failed = [check for check in checks if not check.holds]
    if as_json:
        for check in checks:
            click.echo(json.dumps(_record(check)))
    else:
        rows = [
            (
                c.name,
                "lacks" if c.lacks else judged("holds" if c.holds else "FAILS", c.holds),
                c.detail,
            )
            for c in checks
        ]
        click.echo(table(("check", "", "detail"), rows))
        if failed:
            names = "; ".join(check.name for check in failed)
            verdict(f"{path} does not hold: {names}", "export it again", holds=False)
        else:
            verdict(f"{path} holds: {counted(len(checks), 'check')}")
    return 1 if failed else 0


def _record(check: Check) -> dict[str, object]:
    record = {"check": check.name, "holds": check.holds, "detail": check.detail}
    return {**record, "lacks": True} if check.lacks else record
