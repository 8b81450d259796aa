"""ptx benchmark"""

from __future__ import annotations

import json
from pathlib import Path

import click

from ptx import infer, report
from ptx.cli import options
from ptx.cli.model.opening import find_targets, say_left_out
from ptx.cli.model.workspace import Workspace
from ptx.cli.output.terminal import Progress, colour_verdict, columns, verdict
from ptx.infer.errors import UsageError, quote


@click.command(
    epilog="\b\nExamples:\n  ptx benchmark convnet --backends ort-cpu --batch 1,256\n"
    "  ptx benchmark runs/convnet/convnet.onnx --threads 1 --seconds 0.2",
)
@click.argument("model", shell_complete=options.complete_model)
@options.backends
@click.option("--batch", "batches", default="1,32,256", show_default=True,
              help="Batch sizes with commas between them.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True,
              help="Of measuring, for each batch size of each backend.")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1),
              help="Of ONNX Runtime on the CPU, instead of its own choice.")  # fmt: skip
@options.precision
@options.device
@options.trust
@options.workspace
@options.as_json
@options.time_limit
@options.common
def benchmark(
    model: str, backends: str, batches: str, seconds: float, threads: int | None, precision: str,
    device: str, trust: bool, workspace: Path, as_json: bool,
) -> None:  # fmt: skip
    """Measure MODEL, a name of the catalog or a file, on every backend, each in a process of its own.

    For a model of the workspace the figures are also written to benchmark.csv and benchmark.png beside
    it, where `ptx report` finds them. Microseconds and rows are of `Predictor.run`, so with all checks
    and without reading inputs. The batch sizes take turns in five rounds: noise is how far the rounds'
    medians lie apart. Start is from the start of the process to the first answer.
    """
    space = Workspace(workspace)
    settings = report.Settings(_sizes(batches), seconds)
    asked = infer.Options(device=device, threads=threads, precision=precision)
    targets = list(find_targets(space, model, backends, asked, trust=trust))
    with Progress("measuring", "backends", len(targets)) as progress:
        found = report.benchmark(
            targets, settings, progress=progress.advance, threads=threads,
            left_out=say_left_out if backends == "all" else None,
        )  # fmt: skip
    for line in found.lines() if as_json else ():
        click.echo(json.dumps(line))
    if not as_json:
        click.echo(found.table(colour_verdict, columns()))
    folder = targets[0].path.parent
    if folder == space.folder(model):
        written = found.save(folder, model)
        if not as_json:
            verdict(", ".join(map(str, written)), f"ptx report {model}")


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = [0]
    if min(sizes) < 1:
        raise UsageError(f"--batch is {quote(text)}; expected sizes of at least 1, as in 1,32,256")
    return sizes
