"""ptx.cli: the command line. Each verb is a thin command that imports its library when it runs."""

from __future__ import annotations

from ptx.cli.main import main

__all__ = ["main"]
