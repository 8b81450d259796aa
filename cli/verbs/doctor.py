"""ptx doctor"""

from __future__ import annotations

import json
from collections.abc import Iterator

import click

from ptx import infer, models
from ptx.cli import options
from ptx.cli.output.streams import echo
from ptx.cli.output.terminal import colour_verdict, table, verdict
from ptx.cli.probe import examine
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.backends import preferred

PACKAGES = ("ptx", "numpy", "pillow", "onnxruntime", "onnxruntime-gpu", "torch", "torchvision",
            "onnx", "onnxscript")  # fmt: skip


@click.command(
    epilog="\b\nExamples:\n  ptx doctor\n  ptx doctor --json",
)
@options.as_json
@options.common
def doctor(as_json: bool) -> None:
    """Open every backend once with a small model and check its answer, or say why it cannot be."""
    found = {name: examine(name) for name in infer.BACKENDS}
    if as_json:
        for name, one in found.items():
            echo(json.dumps({"backend": name, "works": one.works, "detail": one.detail}))
        return
    echo(table(("package", "version"), list(_versions())))
    echo()
    rows = [(name, colour_verdict("works" if one.works else "no", one.works), one.detail)
            for name, one in found.items()]  # fmt: skip
    echo(table(("backend", "", ""), rows))
    for name, reason in models.broken_entries().items():
        echo(f"\nthe model {name!r} of a package is left out: {reason}")
    working = [name for name, one in found.items() if one.works]
    train, predict = "ptx train convnet --data bundled", "ptx predict INPUT --model FILE.onnx"
    verdict(
        f"{len(working)} of {len(found)} backends work here",
        train if set(preferred([CHECKPOINT])) & set(working) else predict,
    )


def _versions() -> Iterator[tuple[str, str]]:
    from importlib.metadata import PackageNotFoundError, version

    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            yield package, "not installed"
