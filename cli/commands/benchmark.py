"""ptx benchmark"""

from __future__ import annotations

from pathlib import Path

import click

from ptx import infer, report
from ptx.cli import options
from ptx.cli.comparison import print_benchmark
from ptx.cli.opening import find_targets, say_left_out
from ptx.cli.param_types import Number, Numbers
from ptx.cli.terminal import Progress, verdict
from ptx.cli.workspace import Workspace
from ptx.infer.ranges import MEASURED_BATCH, SECONDS


@click.command(
    epilog="\b\nExamples:\n  ptx benchmark convnet --backends ort-cpu --batch 1,256\n"
    "  ptx benchmark runs/convnet/convnet.onnx --threads 1 --seconds 0.2",
)
@click.argument("model", shell_complete=options.complete_model)
@options.backends
@click.option(
    "--batch",
    "batches",
    type=Numbers(MEASURED_BATCH),
    default="1,32,256",
    show_default=True,
    help="Batch sizes with commas between them.",
)
@click.option(
    "--seconds",
    type=Number(SECONDS),
    default=1.0,
    show_default=True,
    help="Of measuring, for each batch size of each backend.",
)
@options.threads
@options.precision
@options.device
@options.trust
@options.workspace
@options.as_json
@options.time_limit
@options.common
def benchmark(
    model: str,
    backends: str,
    batches: tuple[int, ...],
    seconds: float,
    threads: int | None,
    precision: str,
    device: str,
    trust: bool,
    workspace: Path,
    as_json: bool,
) -> None:
    """Measure MODEL, a name of the catalog or a file, on every backend, each in a process of its own.

    For a model of the workspace the figures are also written to benchmark.csv and benchmark.png beside
    it, where `ptx report` finds them. Microseconds and rows are of `Predictor.run`, so with all checks
    and without reading inputs. The batch sizes take turns in five rounds: noise is how far the rounds'
    medians lie apart. Start is from the start of the process to the first answer.
    """
    space = Workspace(workspace)
    settings = report.Settings(batches, seconds)
    asked = infer.Options(device=device, threads=threads, precision=precision)
    targets = list(find_targets(space, model, backends, asked, trust=trust))
    with Progress("measuring", "backends", len(targets)) as progress:
        found = report.benchmark(
            targets,
            settings,
            progress=progress.advance,
            threads=threads,
            left_out=say_left_out if backends == "all" else None,
        )
    print_benchmark(found, as_json=as_json)
    folder = targets[0].path.parent
    written = found.save(folder, model) if folder == space.folder(model) else ()
    if written and not as_json:
        verdict(", ".join(map(str, written)), f"ptx report {model}")
