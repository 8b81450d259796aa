"""ptx doctor"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import click

from ptx import models, report
from ptx.cli import options
from ptx.cli.streams import echo
from ptx.cli.terminal import print_summary, style_result, table
from ptx.infer.artifact.formats import CHECKPOINT, PACKAGE_FORMATS
from ptx.infer.backends import PACKAGE_BACKENDS, find_backend, known_backends, preferred
from ptx.infer.backends.cuda_versions import CudaVersions, find_problems, read_versions

PACKAGES = (
    "ptx-toolkit",
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
    """Run a small model on every backend and check its output, or show why a backend does not work."""
    statuses = {name: report.probe_backend(name) for name in known_backends()}
    usable, broken = _package_entries()
    cuda = read_versions()
    problems = list(find_problems(cuda))
    if as_json:
        for name, status in statuses.items():
            line = {"backend": name, "works": status.works, "detail": status.detail}
            echo(json.dumps(line | {"cuda": _cuda_of(name, cuda), "problems": problems}))
        for noun, name, package in usable:
            if name not in statuses:
                echo(json.dumps({noun: name, "works": True, "detail": f"of the package {package}"}))
        for noun, name, reason in broken:
            echo(json.dumps({noun: name, "works": False, "detail": reason}))
        return
    echo(table(("package", "version"), list(_versions())))
    echo()
    if cuda:
        titles = ("CUDA of", "built for", "driver up to", "runtime", "cuDNN", "its CUDA")
        echo(table(titles, [_row(versions) for versions in cuda]))
        echo()
    rows = [
        (name, style_result("works" if status.works else "no", status.works), status.detail)
        for name, status in statuses.items()
    ]
    echo(table(("backend", "", ""), rows))
    for problem in problems:
        echo(f"\nthe CUDA libraries do not match: {problem}")
    if usable:
        echo()
        echo(table(("added by a package", "name", "package"), usable))
    for noun, name, reason in broken:
        echo(f"\nthe {noun} {name!r} of a package is skipped: {reason}")
    working = [name for name, status in statuses.items() if status.works]
    train, predict = "ptx train convnet --data bundled", "ptx predict INPUT --model FILE.onnx"
    print_summary(
        f"{len(working)} of {len(statuses)} backends work here",
        train if set(preferred([CHECKPOINT])) & set(working) else predict,
    )


def _package_entries() -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """What packages add, and what of it cannot be used: noun, name, and the package or the reason."""
    from ptx.infer.preprocessing import PACKAGE_KINDS

    usable: list[tuple[str, str, str]] = []
    broken = [("model", name, reason) for name, reason in models.broken_entries().items()]
    for group in (PACKAGE_BACKENDS, PACKAGE_FORMATS, PACKAGE_KINDS):
        usable += [(group.noun, name, group.package(name)) for name in group.usable()]
        broken += [(group.noun, name, reason) for name, reason in group.broken().items()]
    return usable, broken


def _cuda_of(backend: str, versions: Sequence[CudaVersions]) -> dict[str, str | None] | None:
    """What the library of a backend loads; None if the backend or its build is not for CUDA."""
    entry = find_backend(backend)
    if "cuda" not in entry.devices:
        return None
    library = entry.import_runtime.rpartition("import_")[2]  # the function that imports it
    return next((asdict(each) for each in versions if each.library == library), None)


def _row(versions: CudaVersions) -> tuple[str, ...]:
    loaded = (versions.driver, versions.runtime, versions.cudnn, versions.cudnn_built_for)
    return versions.library, versions.built_for, *(version or "-" for version in loaded)


def _versions() -> Iterator[tuple[str, str]]:
    from importlib.metadata import PackageNotFoundError, version

    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            yield package, "not installed"
