"""Options that are numbers: each within its range, checked before a verb begins."""

from __future__ import annotations

import math
from typing import Any

import click

from ptx.infer.errors import quote
from ptx.infer.ranges import Range


class Number(click.FloatRange):
    """One number; the help shows its range."""

    name = "number"

    def __init__(self, within: Range) -> None:
        super().__init__(within.least, within.most)
        self.within = within

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            number: float = int(value) if self.within.whole else float(value)
        except ValueError:
            number = math.nan
        if number not in self.within:
            self.fail(f"{quote(str(value))} is not {self.within}.", param, ctx)
        return number


class Numbers(Number):
    """Several numbers with commas between them."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(super(Numbers, self).convert(part, param, ctx) for part in parts)
