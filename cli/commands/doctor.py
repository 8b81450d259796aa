"""ptx doctor"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import click

from ptx import infer, models
from ptx.cli import options
from ptx.cli.probe import examine
from ptx.cli.streams import echo
from ptx.cli.terminal import colour_verdict, table, verdict
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.backends import preferred
from ptx.infer.backends.cuda_versions import CudaVersions, find_problems, read_versions

PACKAGES = (
    "ptx",
    "numpy",
    "pillow",
    "onnxruntime",
    "onnxruntime-gpu",
    "torch",
    "torchvision",
    "onnx",
    "onnxscript",
)


@click.command(
    epilog="\b\nExamples:\n  ptx doctor\n  ptx doctor --json",
)
@options.as_json
@options.common
def doctor(as_json: bool) -> None:
    """Open every backend once with a small model and check its answer, or say why it cannot be."""
    found = {name: examine(name) for name in infer.BACKENDS}
    cuda = read_versions()
    problems = list(find_problems(cuda))
    if as_json:
        for name, one in found.items():
            line = {"backend": name, "works": one.works, "detail": one.detail}
            echo(json.dumps(line | {"cuda": _cuda_of(name, cuda), "problems": problems}))
        return
    echo(table(("package", "version"), list(_versions())))
    echo()
    if cuda:
        titles = ("CUDA of", "built for", "driver up to", "runtime", "cuDNN", "its CUDA")
        echo(table(titles, [_row(one) for one in cuda]))
        echo()
    rows = [
        (name, colour_verdict("works" if one.works else "no", one.works), one.detail)
        for name, one in found.items()
    ]
    echo(table(("backend", "", ""), rows))
    for problem in problems:
        echo(f"\nthe CUDA libraries do not fit: {problem}")
    for name, reason in models.broken_entries().items():
        echo(f"\nthe model {name!r} of a package is left out: {reason}")
    working = [name for name, one in found.items() if one.works]
    train, predict = "ptx train convnet --data bundled", "ptx predict INPUT --model FILE.onnx"
    verdict(
        f"{len(working)} of {len(found)} backends work here",
        train if set(preferred([CHECKPOINT])) & set(working) else predict,
    )


def _cuda_of(backend: str, versions: Sequence[CudaVersions]) -> dict[str, str | None] | None:
    """What the library of a backend loads; None where the backend or its build is not for CUDA."""
    entry = infer.BACKENDS[backend]
    if "cuda" not in entry.devices:
        return None
    library = entry.runtime.rpartition("import_")[2]  # the function that imports it
    return next((asdict(one) for one in versions if one.library == library), None)


def _row(one: CudaVersions) -> tuple[str, ...]:
    loaded = (one.driver, one.runtime, one.cudnn, one.cudnn_built_for)
    return one.library, one.built_for, *(version or "-" for version in loaded)


def _versions() -> Iterator[tuple[str, str]]:
    from importlib.metadata import PackageNotFoundError, version

    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            yield package, "not installed"
