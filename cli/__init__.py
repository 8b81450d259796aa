"""ptx.cli: the command line. each command is a module that is imported when it runs."""

from __future__ import annotations

from ptx.cli.main import main

__all__ = ["main"]
