"""ptx benchmark"""

from __future__ import annotations

import json
import signal
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
    from ptx.cli.benchmark_file import Measured
    from ptx.cli.workspace import Workspace
    from ptx.infer.backends import Options


@click.command(
    epilog="\b\nExamples:\n  ptx benchmark convnet --backends ort-cpu --batch 1,256\n"
    "  ptx benchmark runs/convnet/convnet.onnx --threads 1 --seconds 0.2",
    short_help="Latency, throughput, start and memory.",
)
@click.argument("model", shell_complete=options.complete_model)
@click.option("--backends", default="all", show_default=True, callback=options.current_backends,
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

    For a model of the workspace the figures are also written to benchmark.csv and benchmark.png beside
    it, where `ptx report` finds them. Microseconds and rows are of `Predictor.run`, so with all checks
    and without reading inputs. The batch sizes take turns in five rounds: noise is how far the rounds'
    medians lie apart. Start is from the start of the process to the first answer.
    """
    from ptx.cli.terminal import verdict
    from ptx.cli.workspace import Workspace
    from ptx.infer.backends import Options
    from ptx.infer.benchmarking import machine

    space = Workspace(workspace)
    settings = {"batches": _sizes(batches), "seconds": seconds, "precision": precision}
    asked = Options(device=device, threads=threads, precision=precision)
    files = list(_files(space, model, backends, asked, trust))
    measured = _measure_all(files, settings, required=backends != "all")
    about = {"machine": machine(), "threads": "own choice" if threads is None else str(threads)}
    if as_json:
        for one in measured:
            line = {"backend": one.backend, "start_s": one.start_s, **one.found, **about}
            click.echo(json.dumps(line))
    else:
        _print(measured, about)
    folder = files[0].path.parent
    if folder == space.folder(model):
        _write(folder, model, measured, about)
        if not as_json:
            verdict(
                f"{folder / 'benchmark.csv'}, {folder / 'benchmark.png'}", f"ptx report {model}"
            )


def _sizes(text: str) -> list[int]:
    from ptx.infer.errors import UsageError, quoted

    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = [0]
    if min(sizes) < 1:
        raise UsageError(f"--batch is {quoted(text)}; expected sizes of at least 1, as in 1,32,256")
    return sizes


@dataclass(frozen=True)
class _File:
    """What a backend is to be measured with."""

    backend: str
    path: Path
    kind: str
    sha256: str  # of the content that is trusted
    options: Options


def _files(
    space: Workspace, model: str, backends: str, asked: Options, trust: bool
) -> Iterator[_File]:
    """The file of each backend asked for; of `all` those whose file is there."""
    from ptx.cli.opening import backend_names, fitting_options
    from ptx.infer.artifact.artifact import read_artifact
    from ptx.infer.artifact.trust import require_trust
    from ptx.infer.backends import find_backend
    from ptx.infer.errors import ArtifactError

    found = False
    for name in backend_names(backends):
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
        fitting = fitting_options(name, asked, named=backends != "all")
        found = True
        yield _File(name, path, artifact.kind, artifact.sha256, fitting)
    if not found:
        space.find(model)  # says which commands make a file


def _measure_all(
    files: Sequence[_File], settings: dict[str, Any], *, required: bool
) -> list[Measured]:
    """One backend after the other; with `required` False one that is not available is left out.

    Raises:
        BackendError: none of them is available.
        PtxError: what the process of one of them ended with.
    """
    from ptx.cli.progress import ProgressLine
    from ptx.cli.terminal import note
    from ptx.infer.errors import BackendError, UsageError

    # A checkpoint carries no golden samples: those of an export of the same weights do for it.
    exports = [str(file.path) for file in files if file.kind != "checkpoint"]
    measured = []
    with ProgressLine("measuring", "backends", len(files)) as progress:
        for file in files:
            given = {
                "backend": file.backend,
                "path": str(file.path),
                "trust": [file.sha256],
                "device": file.options.device,
                "threads": file.options.threads,
                "exports": exports,
                # The kernel ends this process when --timeout is over, and the one that measures too.
                "limit": signal.getitimer(signal.ITIMER_REAL)[0],
            }
            try:
                measured.append(_measure(file.backend, settings | given))
            except (BackendError, UsageError) as error:
                if required or (not measured and file is files[-1]):
                    raise
                note(f"{file.backend} is left out: {getattr(error, 'reason', error)}")
            progress.advance()
    return measured


def _measure(name: str, settings: dict[str, Any]) -> Measured:
    """What the backend's process found; its error is raised here."""
    from ptx.cli.benchmark_file import Measured
    from ptx.infer import errors

    # -P: else Python would import what stands in the current folder.
    command = [sys.executable, "-P", "-m", "ptx.cli.benchmark_process", json.dumps(settings)]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        start = time.perf_counter() - started
        last = (process.stdout.readlines() or [first])[-1]
    if process.returncode or not last.strip():
        raise errors.PtxError(f"the process that measured {name} ended with {process.returncode}")
    answer = json.loads(last)
    if "measured" in answer:
        return Measured(name, start, answer["measured"])
    error: errors.PtxError = getattr(errors, answer["class"])(
        answer["message"], code=answer["code"]
    )
    if isinstance(error, errors.BackendError):
        error.reason = answer["reason"]
    raise error


def _print(measured: Sequence[Measured], about: dict[str, str]) -> None:
    from ptx.cli.terminal import judged, table

    click.echo(f"{about['machine']}; threads: {about['threads']}")
    click.echo("; ".join(sorted({one.found["runtime"] for one in measured})) + "\n")
    rows = [
        (one.backend, str(t["batch"]), f"{t['p50_us']:,.1f}", f"{t['p95_us']:,.1f}",
         f"{t['p99_us']:,.1f}", f"{t['rows_per_second']:,.0f}", f"{100 * t['noise']:.0f} %")
        for one in measured
        for t in one.found["timings"]
    ]  # fmt: skip
    click.echo(table(("backend", "batch", "p50 µs", "p95 µs", "p99 µs", "rows/s", "noise"), rows))
    click.echo()
    said = {None: "unknown", True: judged("yes", True), False: judged("NO", False)}
    processes = [
        (one.backend, one.found["device"],
         *(f"{1000 * one.found[name]:,.0f}" for name in ("import_s", "load_s", "first_s")),
         f"{1000 * one.start_s:,.0f}", f"{one.mebibytes:,.0f}", said[one.found["agrees"]])
        for one in measured
    ]  # fmt: skip
    header = ("backend", "device", "import ms", "load ms", "first ms", "start ms", "MiB", "agrees")
    click.echo(table(header, processes))


def _write(folder: Path, model: str, measured: Sequence[Measured], about: dict[str, str]) -> None:
    from ptx.cli.benchmark_file import csv_text
    from ptx.cli.benchmark_plot import draw
    from ptx.infer.artifact.files import write_atomic

    write_atomic(folder / "benchmark.csv", csv_text(measured, about).encode())
    series = {one.backend: one.found["timings"] for one in measured}
    runtimes = sorted({one.found["runtime"] for one in measured})
    note = f"{', '.join(runtimes)}; {about['machine']}; threads: {about['threads']}"
    write_atomic(folder / "benchmark.png", draw(series, model, note))
