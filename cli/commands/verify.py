"""ptx verify"""

from __future__ import annotations

import json
from pathlib import Path

import click

from ptx import infer
from ptx.cli import options
from ptx.cli.model import format_of
from ptx.cli.network import find_factory
from ptx.cli.streams import echo
from ptx.cli.terminal import print_summary, style_result, table
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
@options.network
@options.spec_file
@click.option(
    "--no-run",
    is_flag=True,
    help="Check only the digest and the manifest; do not run the model.",
)
@click.option(
    "--signer",
    type=click.Path(path_type=Path),
    help="Require that FILE is signed: PEM file with the public key of the signer, or with the root"
    " certificate of its authority.",
)
@click.option(
    "--signature",
    type=click.Path(path_type=Path),
    help="The signature; by default FILE.sig, next to FILE.",
)
@options.workspace
@options.as_json
@options.time_limit
@options.common
def verify(
    model: str,
    backend: str,
    device: str,
    trust: bool,
    network: str | None,
    spec_file: Path | None,
    no_run: bool,
    signer: Path | None,
    signature: Path | None,
    workspace: Path,
    as_json: bool,
) -> int:
    """Check the digest of FILE and replay the golden samples that it carries.

    FILE is an artifact, a checkpoint, or the name of a model. An ONNX file needs no PyTorch. One of
    another tool has neither a digest nor golden samples: the exit code is 1, and the checks say
    whether it loads and whether --spec matches it. With --signer, a file without a valid signature is an
    error, and nothing of it is run.
    """
    space = Workspace(workspace)
    path = space.find(model, format_of(backend))
    checks = infer.verify(
        path,
        backend=backend,
        device=device,
        trust=space.trust(trust),
        run=not no_run,
        network=None if network is None else find_factory(network),
        spec=spec_file,
        signer=signer,
        signature=signature,
    )
    failed = "; ".join(check.name for check in checks if not check.passed)
    if as_json:
        for check in checks:
            line = {"check": check.name, "passes": check.passed, "detail": check.detail}
            echo(json.dumps(line))
        return 1 if failed else 0
    echo(table(("check", "", "detail"), [(c.name, _result(c), c.detail) for c in checks]))
    if failed:
        external = any(check.name == "spec" for check in checks)  # a file without a manifest
        next_command = f"ptx export --adopt {path}" if external else "export it again"
        print_summary(f"{path} fails: {failed}", next_command, passes=False)
        return 1
    print_summary(f"{path} passes {pluralise(len(checks), 'check')}")
    return 0


def _result(check: infer.Check) -> str:
    return style_result("passes" if check.passed else "FAILS", check.passed)
