"""python -m ptx.cli: as `ptx`, for those who start modules, such as torchrun."""

from __future__ import annotations

from ptx.cli import main

main()
