"""The picture that `ptx predict` draws of its answers: where it goes, and whether it is opened."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from ptx import report
from ptx.cli.output.terminal import note


def open_preview(output: Path | None, workspace: Path) -> tuple[report.Preview, Path | None]:
    """The picture that --show or --output asks for, and the file that is left for the answers."""
    named = output is not None and output.suffix.lower() == ".png"
    path = output if output is not None and named else workspace / "preview.png"
    return report.Preview(path), None if named else output


def finish_preview(preview: report.Preview, *, show: bool) -> None:
    """Write the picture, and open it where that was asked for."""
    note(preview.save())
    if show and has_display():
        click.launch(str(preview.path))
    elif show:
        note(f"there is no display here: open {preview.path}")


def has_display() -> bool:
    """Whether a picture can be shown here."""
    if sys.platform.startswith(("win", "darwin")):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
