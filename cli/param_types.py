"""Parameter types: numbers within a range, checked before the command runs."""

from __future__ import annotations

import math
from typing import Any

import click

from ptx.infer.errors import quote
from ptx.infer.ranges import Range

_UNITS = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class Number(click.FloatRange):
    """One number; the help shows its range."""

    name = "number"

    def __init__(self, within: Range) -> None:
        super().__init__(within.min, within.max)
        self.within = within

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            number: float = int(value) if self.within.integer else float(value)
        except ValueError:
            number = math.nan
        if number not in self.within:
            self.fail(f"{quote(str(value))} is not {self.within}.", param, ctx)
        return number


class Numbers(Number):
    """Several numbers, separated by commas."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(super(Numbers, self).convert(part, param, ctx) for part in parts)


class Size(click.ParamType[int]):
    """Bytes: `65536`, `64MiB`."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        if isinstance(value, int):
            return value
        digits = value.rstrip("KMGiB")
        unit = value[len(digits) :]
        if not digits.isdigit() or unit not in _UNITS or int(digits) < 1:
            self.fail(f"{value!r} is not a size; expected bytes, or a number with KiB, MiB or GiB")
        return int(digits) * _UNITS[unit]


class Port(Number):
    """A port; 0 for any free one, `off` for none."""

    name = "port"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return None if value in (None, "off") else super().convert(value, param, ctx)
