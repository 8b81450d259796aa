"""`ptx export --format triton`: a model repository out of the ONNX file that was exported before."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from ptx import infer
from ptx.cli.model.workspace import Workspace
from ptx.cli.output.terminal import verdict
from ptx.infer.errors import UsageError

TRITON = "triton"
_HEEDED = {"model", "formats", "output", "device", "workspace", "debug"}

device_option = click.option(
    "--device", type=click.Choice(["cpu", "cuda"]),
    help=f"Of --format {TRITON}: what Triton runs the model on; cpu by default.",
)  # fmt: skip


def wants_repository(formats: str, device: str | None) -> bool:
    """Whether the format is a repository; UsageError where --device is given for another."""
    if device is not None and formats != TRITON:
        raise UsageError(f"--device is a matter of --format {TRITON}; the format is {formats}")
    return formats == TRITON


def export_repository(
    model: str, output: Path | None, device: str | None, space: Workspace
) -> None:
    """Write the repository, say what was written and how a server is started on it."""
    from ptx.serve.triton import write_repository

    context = click.get_current_context()
    for name in context.params.keys() - _HEEDED:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UsageError(f"--format {TRITON} takes the ONNX file as it is: leave out --{name}")
    if output is None:
        raise UsageError(f"--format {TRITON} needs --output FOLDER, the repository")
    artifact = infer.read_artifact(space.find(model, "onnx"))
    for folder in write_repository(artifact, output, device=device or "cpu"):
        verdict(str(folder))
    verdict("", f"tritonserver --model-repository {output.absolute()}")
