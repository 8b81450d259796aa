"""python -m ptx: the command `ptx`."""

from __future__ import annotations

from ptx.cli import main

main()
