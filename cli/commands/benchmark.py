"""ptx benchmark"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from ptx import export, infer, report
from ptx.cli import options
from ptx.cli.model import note_skipped
from ptx.cli.param_types import Number, Numbers
from ptx.cli.streams import echo
from ptx.cli.terminal import ProgressBar, columns, print_note, print_summary, style_result
from ptx.cli.workspace import Workspace
from ptx.infer.ranges import MEASURED_BATCH, SECONDS


@click.command(
    epilog="\b\nExamples:\n"
    "  ptx benchmark runs/convnet/convnet.onnx --threads 1 --seconds 0.2\n"
    "  ptx benchmark convnet --nodes --backends ort-cpu --batch 1",
)
@click.argument("model", shell_complete=options.complete_model)
@options.backends
@click.option(
    "--batch",
    "batches",
    type=Numbers(MEASURED_BATCH),
    default="1,32,256",
    show_default=True,
    help="Batch sizes, separated by commas.",
)
@click.option(
    "--seconds",
    type=Number(SECONDS),
    default=1.0,
    show_default=True,
    help="Seconds for which each batch size of each backend is measured.",
)
@click.option(
    "--nodes",
    is_flag=True,
    help="Show the ten slowest nodes of each file and their errors instead.",
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
    backends: tuple[str, ...] | None,
    batches: tuple[int, ...],
    seconds: float,
    nodes: bool,
    threads: int | None,
    precision: str,
    device: str,
    trust: bool,
    workspace: Path,
    as_json: bool,
) -> None:
    """Measure MODEL, a catalog model or a file, on every backend, each in its own process.

    For a model in the workspace, the results are also written to benchmark.csv and benchmark.png in its
    folder, where `ptx report` finds them. Latency and throughput are those of `Predictor.run`, which
    includes its checks but not the decoding of inputs. The batch sizes take turns in five rounds; the
    noise is the spread of the medians of the rounds. The start time is measured from the start of the
    process to the first prediction.

    With --nodes, each file runs under the profiler of its runtime, with the first batch size. The error
    of a node is that of `ptx diff`: the node runs by itself and is compared with eager float64.
    """
    space = Workspace(workspace)
    settings = report.BenchmarkSettings(batches, seconds)
    opening = infer.Options(device=device, threads=threads, precision=precision)
    targets = list(
        report.find_targets(
            partial(space.find, model), opening, names=backends, trust=space.trust(trust)
        )
    )
    if nodes:
        trained = _read_network(space, targets)
        with ProgressBar("profiling", "backends", len(targets)) as progress:
            profiles = report.profile_targets(
                targets,
                settings,
                trained,
                on_skip=note_skipped if backends is None else None,
                progress=progress.advance,
            )
            texts = [
                json.dumps(profile.to_data()) if as_json else report.node_table(profile, columns())
                for profile in profiles
            ]
        echo(("\n" if as_json else "\n\n").join(texts))
        return
    with ProgressBar("measuring", "backends", len(targets)) as progress:
        results = report.benchmark(
            targets,
            settings,
            progress=progress.advance,
            threads=threads,
            on_skip=note_skipped if backends is None else None,
        )
    if as_json:
        for line in results.lines():
            echo(json.dumps(line))
    else:
        echo(results.table(style_result, columns()))
    folder = targets[0].path.parent
    paths = results.save(folder, model) if folder == space.folder(model) else ()
    if paths and not as_json:
        print_summary(", ".join(map(str, paths)), f"ptx report {model}")


def _read_network(space: Workspace, targets: Sequence[report.Target]) -> export.TrainedModel | None:
    """The network of the files, if the workspace has its checkpoint; else None, with a note."""
    manifest = infer.read_artifact(targets[0].path).manifest
    try:
        if manifest is not None:
            trained = export.read_model(space.find_checkpoint(manifest.model))
            if trained.manifest.weights_sha256 == manifest.weights_sha256:
                return trained
    except infer.PtxError as error:
        if error.code not in ("E-NO-ARTIFACT", "E-USAGE"):
            raise
    print_note("the nodes have no errors: the network of the file is not in the workspace")
    return None
