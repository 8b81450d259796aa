"""ptx benchmark"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptx.cli import options
from ptx.cli.time_limit import time_limit

if TYPE_CHECKING:
    from ptx.cli.workspace import Workspace

COLUMNS = ("backend", "device", "batch", "p50_us", "p95_us", "p99_us", "rows_per_second")


@dataclass(frozen=True)
class Measured:
    """One backend: its start as seen from outside, and what its process found."""

    backend: str
    start: float  # seconds from the start of the process to the first answer
    found: dict[str, Any]  # the fields of `ptx.infer.benchmarking.Measurement`


@click.command(
    epilog="\b\nExamples:\n  ptx benchmark convnet --backends ort-cpu --batch 1,256\n"
    "  ptx benchmark runs/convnet/convnet.onnx --threads 1 --seconds 0.2",
    short_help="Latency, throughput, start and memory.",
)
@click.argument("model", shell_complete=options.complete_model)
@click.option("--backends", default="all", show_default=True,
              shell_complete=options.complete_backends,
              help="all that are available here, or names with commas between them.")  # fmt: skip
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
@time_limit
@options.common
def benchmark(
    model: str,
    backends: str,
    batches: str,
    seconds: float,
    threads: int | None,
    precision: str,
    device: str,
    trust: bool,
    workspace: Path,
    as_json: bool,
) -> None:
    """Measure MODEL, a name of the catalog or a file, on every backend, each in a process of its own.

    For a model of the workspace the latencies are also written to benchmark.csv and benchmark.png
    beside it, where `ptx report` finds them. Microseconds and rows are of `Predictor.run`, so with all
    checks and without reading inputs; the start is from the start of the process to the first answer.
    """
    from ptx.cli.progress import ProgressLine
    from ptx.cli.terminal import note, verdict
    from ptx.cli.workspace import Workspace

    space = Workspace(workspace)
    settings = {
        "batches": _sizes(batches), "seconds": seconds, "threads": threads, "precision": precision,
    }  # fmt: skip
    files = list(_files(space, model, backends, device, trust))
    golden = next((path for _, path, _ in files if path.suffix != ".pt"), files[0][1])
    measured = []
    with ProgressLine("measuring", "backends", len(files)) as progress:
        for name, path, own_device in files:
            given = {
                "backend": name,
                "path": str(path),
                "device": own_device,
                "golden": str(golden),
            }
            one = _measure(name, settings | given, required=backends != "all")
            progress.advance()
            if isinstance(one, str):
                note(f"{name} is left out: {one}")
            else:
                measured.append(one)
    if as_json:
        for one in measured:
            click.echo(json.dumps({"backend": one.backend, "start_s": one.start, **one.found}))
    else:
        _print(measured)
    folder = golden.parent
    if folder == space.folder(model):
        _write(folder, model, measured)
        verdict(f"{folder / 'benchmark.csv'}, {folder / 'benchmark.png'}" * (not as_json),
                f"ptx report {model}" * (not as_json))  # fmt: skip


def _sizes(text: str) -> list[int]:
    from ptx.infer.errors import UsageError, quoted

    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = [0]
    if min(sizes) < 1:
        raise UsageError(f"--batch is {quoted(text)}; expected sizes of at least 1, as in 1,32,256")
    return sizes


def _files(
    space: Workspace, model: str, backends: str, device: str, trust: bool
) -> Iterator[tuple[str, Path, str]]:
    """(backend, file, device) of each backend asked for; of `all` those whose file is there."""
    from ptx.infer.artifact import read_artifact
    from ptx.infer.backends import BACKENDS, find_backend
    from ptx.infer.errors import ArtifactError
    from ptx.infer.trust import require_trust

    names = list(BACKENDS) if backends == "all" else [name.strip() for name in backends.split(",")]
    found = False
    for name in names:
        try:
            path = space.find(model, find_backend(name).reads)
        except ArtifactError as error:
            if backends != "all" or error.code != "E-NO-ARTIFACT":
                raise
            continue
        artifact = read_artifact(path)
        if artifact.kind != find_backend(name).reads and backends == "all":
            continue
        require_trust(artifact, space.trust(trust))
        found = True
        yield name, path, device if not name.startswith("ort-") else "auto"
    if not found:
        space.find(model)  # says which commands make a file


def _measure(name: str, settings: dict[str, Any], *, required: bool) -> Measured | str:
    """What the backend's process found, or why it is not available."""
    from ptx.infer.errors import BackendError, PtxError

    command = [sys.executable, "-m", "ptx.cli.benchmark_process", json.dumps(settings)]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        start = time.perf_counter() - started
        last = process.stdout.readlines() or [first]
    if process.returncode or not last[-1].strip():
        raise PtxError(f"the process that measured {name} ended with {process.returncode}")
    found = json.loads(last[-1])
    if isinstance(found, dict):
        return Measured(name, start, found)
    kind, text, code, reason = found
    if kind == "BackendError" and not required:
        return str(reason)
    raise (BackendError if kind == "BackendError" else PtxError)(text, code=code)


def _print(measured: Sequence[Measured]) -> None:
    from ptx.cli.terminal import table

    rows = [
        (one.backend, str(t["batch"]), f"{t['p50_us']:,.1f}", f"{t['p95_us']:,.1f}",
         f"{t['p99_us']:,.1f}", f"{t['rows_per_second']:,.0f}")
        for one in measured
        for t in one.found["timings"]
    ]  # fmt: skip
    click.echo(table(("backend", "batch", "p50 µs", "p95 µs", "p99 µs", "rows/s"), rows))
    click.echo()
    processes = [
        (one.backend, one.found["device"], f"{1e3 * one.start:,.0f}",
         f"{one.found['memory'] / 2**20:,.0f}",
         "-" if one.found["error"] is None else f"{one.found['error']:.1e}")
        for one in measured
    ]  # fmt: skip
    click.echo(table(("backend", "device", "start ms", "memory MiB", "largest error"), processes))


def _write(folder: Path, model: str, measured: Sequence[Measured]) -> None:
    from ptx.cli.benchmark_plot import draw
    from ptx.infer.files import write_atomic

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in measured:
        for timing in one.found["timings"]:
            values = {"backend": one.backend, "device": one.found["device"], **timing}
            writer.writerow(
                f"{value:.3f}" if isinstance(value, float) else value
                for value in (values[column] for column in COLUMNS)
            )
    write_atomic(folder / "benchmark.csv", text.getvalue().encode())
    series = {one.backend: one.found["timings"] for one in measured}
    write_atomic(folder / "benchmark.png", draw(series, model))
