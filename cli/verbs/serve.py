"""ptx serve"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ptx import infer
from ptx.cli import options, serving
from ptx.cli.model.workspace import Workspace
from ptx.cli.output.terminal import note


@click.command(
    epilog="\b\nExamples:\n  ptx serve convnet name-classifier\n"
    "  ptx serve digits=runs/convnet/convnet.onnx --port 9000 --workers 2",
    short_help="Answer over HTTP and gRPC, as a service.",
)
@click.argument(
    "models", nargs=-1, required=True, metavar="MODEL...", shell_complete=options.complete_model
)
@serving.place
@options.backend
@options.device
@options.threads
@options.trust
@serving.limits
@options.workspace
@options.common
def serve(
    models: tuple[str, ...], backend: str, device: str, threads: int | None, trust: bool,
    workspace: Path, max_delay: float, **limits: Any,
) -> int:  # fmt: skip
    """Serve each MODEL: a name of the workspace, a file, or NAME=FILE.

    The protocol is the Open Inference Protocol (KServe v2), as Triton speaks it. A request that comes
    while a run is on its way waits for its end, and all that wait go in together.

    The server ends with SIGTERM or Ctrl-C, when what it has begun is answered.
    """
    space = Workspace(workspace)
    with serving.naming_extras():
        from ptx import serve as server

        settings = server.Settings(max_delay=max_delay / 1e3, **limits)
        asked = infer.Options(device=device, threads=threads, trust=space.trust(trust))
        sources = [serving.find_source(space, model, backend, asked, settings) for model in models]
        if (warning := server.warn_open(settings)) is not None:
            note(warning)
        return server.serve(
            sources, settings, lambda *ports: serving.announce(settings, sources, *ports)
        )
