"""ptx serve"""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import click

from ptx import infer
from ptx.cli import options, serving
from ptx.cli.terminal import print_note
from ptx.cli.workspace import Workspace


@click.command(
    epilog="\b\nExamples:\n  ptx serve convnet name-classifier\n"
    "  ptx serve digits=runs/convnet/convnet.onnx --port 9000 --workers 2",
    short_help="Answer over HTTP and gRPC, as a service.",
)
@click.argument(
    "models", nargs=-1, required=True, metavar="MODEL...", shell_complete=options.complete_model
)
@serving.server_options
@options.backend
@options.device
@options.threads
@options.trust
@serving.limit_options
@options.workspace
@options.common
def serve(
    models: tuple[str, ...],
    backend: str,
    device: str,
    threads: int | None,
    trust: bool,
    workspace: Path,
    max_delay: float,
    token_file: Path | None,
    allowed_hosts: tuple[str, ...],
    **values: Any,
) -> int:
    """Serve each MODEL: a name of the workspace, a file, or NAME=FILE.

    The protocol is the Open Inference Protocol (KServe v2), as Triton speaks it. Requests that arrive
    during a run go into the next run together.

    SIGTERM or Ctrl-C ends the server, after the requests in progress.
    """
    space = Workspace(workspace)
    with serving.naming_extras():
        from ptx import serve as serve_package

        names = {field.name for field in fields(serve_package.ServerSettings)}
        server = serve_package.ServerSettings(
            **{name: values.pop(name) for name in names & values.keys()}
        )
        settings = serve_package.Settings(
            max_delay=max_delay / 1e3,
            tokens=serve_package.read_tokens(token_file),
            allowed_hosts=allowed_hosts or ("*",),
            **values,
        )
        loading = infer.Options(
            device=device, threads=threads, trust=space.trust(trust), timeout=settings.timeout
        )
        sources = [serving.find_source(space, model, backend, loading, server) for model in models]
        if (warning := serve_package.open_access_warning(settings, server)) is not None:
            print_note(warning)
        serve_package.serve(sources, settings, server, partial(serving.announce, server, sources))
        return 0
