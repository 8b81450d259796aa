"""Inputs of a proof with what the network answers to them."""

from __future__ import annotations

from dataclasses import dataclass

from ptx.infer.artifact.golden import Level
from ptx.infer.signature import Array


@dataclass(frozen=True)
class Expected:
    """What the network answers to some inputs."""

    exact: dict[str, Array]  # float64; integers and bools in their own type
    eager: dict[str, Array]  # in its own precision
    level: dict[str, Level]  # by output, the integers that rounding decides


@dataclass(frozen=True)
class Case:
    """One input of the grid with what the network answers in float64."""

    fill: str  # real, random, zeros, ones, extremes
    sizes: dict[str, int]
    inputs: dict[str, Array]
    exact: dict[str, Array]  # float64; integers and bools in their own type
    level: dict[str, Level]  # by output, the integers that rounding decides

    @property
    def title(self) -> str:
        """`real input, time 14, batch 7`."""
        sizes = ", ".join(f"{axis} {size}" for axis, size in self.sizes.items())
        return f"{self.fill} input, {sizes}"
