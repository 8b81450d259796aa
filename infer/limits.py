"""The sizes that a dynamic axis accepts, and axes of outputs whose size follows from another axis.

["height", 32, 512, 32]      an axis with its minimum, maximum (0: none) and multiple
"2*height", "height/4"       an axis of an output, twice or a quarter of the input's
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

_DERIVED = re.compile(r"(?:(\d+)\*)?([^*/]+)(?:/(\d+))?")


class Limits(NamedTuple):
    """The sizes from `minimum` to `maximum`, both included, that are a multiple of `multiple`."""

    minimum: int = 1
    maximum: int | None = None
    multiple: int = 1

    def accepts(self, size: int) -> bool:
        """Whether an axis with these limits has this size."""
        if size < self.minimum or (self.maximum is not None and size > self.maximum):
            return False
        return size % self.multiple == 0

    def nearest(self, size: int) -> int:
        """The accepted size that is nearest to `size`; of two, the larger one."""
        least = -(-self.minimum // self.multiple)
        multiple = max(least, (size + self.multiple // 2) // self.multiple)
        if self.maximum is not None:
            multiple = min(multiple, self.maximum // self.multiple)
        return multiple * self.multiple

    def check(self, axis: str) -> None:
        """ValueError unless at least one size is accepted."""
        if self.multiple < 1:
            raise ValueError(f"the multiple of {axis!r} is {self.multiple}; expected at least 1")
        if self.minimum < 1 or (self.maximum is not None and self.maximum < self.minimum):
            raise ValueError(
                f"the limits of {axis!r} are {self.minimum} and {self.maximum}; expected a minimum of at"
                " least 1 and a maximum of at least the minimum"
            )
        for end in (self.minimum, self.maximum):
            if end is not None and end % self.multiple:
                raise ValueError(
                    f"{axis!r} has a limit of {end}, which is no multiple of {self.multiple}"
                )

    def __str__(self) -> str:
        """`1 to 64`, `at least 32, multiples of 32`."""
        text = (
            f"at least {self.minimum}"
            if self.maximum is None
            else f"{self.minimum} to {self.maximum}"
        )
        return text if self.multiple == 1 else f"{text}, multiples of {self.multiple}"

    def to_data(self) -> list[int]:
        """The JSON form: `[1, 64]`, `[3]`, `[32, 0, 32]` without a maximum."""
        if self.multiple > 1:
            return [self.minimum, self.maximum or 0, self.multiple]
        return [self.minimum] if self.maximum is None else [self.minimum, self.maximum]

    @classmethod
    def from_data(cls, axis: str, data: Any) -> Limits:
        """Parse the JSON form; ValueError if it is not valid. TOML has no null, so 0 is no maximum."""
        if not isinstance(data, list | tuple) or len(data) not in (1, 2, 3):
            raise ValueError(
                f"axis {axis!r}: expected its minimum, maximum and multiple, such as [1, 64] or"
                " [32, 512, 32]"
            )
        if any(type(number) is not int for number in data):
            raise ValueError(f"axis {axis!r}: its limits are {list(data)}; expected integers")
        maximum = data[1] if len(data) > 1 else 0
        multiple = data[2] if len(data) > 2 else 1
        return cls(data[0], maximum or None, multiple)


NO_LIMITS = Limits()


def limits_from_data(data: Any) -> dict[str, Limits]:
    """Parse `{"time": [1, 64]}`; ValueError if it is not valid."""
    if not isinstance(data, Mapping):
        raise ValueError(
            'axes: expected names with their minimum and maximum size, {"time": [1, 64]}'
        )
    return {str(axis): Limits.from_data(str(axis), ends) for axis, ends in data.items()}


def split_limits(data: Any) -> tuple[Any, dict[str, Limits]]:
    """The tensors of a signature as JSON without the limits in their axes, and these limits.

    `{"image": ["float32", ["batch", 3, ["height", 32]]]}` gives
    `{"image": ["float32", ["batch", 3, "height"]]}` and the limits of `height`. What is not valid is
    left to the caller.

    Raises:
        ValueError: the limits of an axis are not valid, or are stated twice and differ.
    """
    limits: dict[str, Limits] = {}

    def split_axis(axis: Any) -> Any:
        if not isinstance(axis, list | tuple) or not axis or not isinstance(axis[0], str):
            return axis
        name = axis[0]
        found = Limits.from_data(name, axis[1:])
        if limits.setdefault(name, found) != found:
            raise ValueError(f"axis {name!r} has the limits {limits[name]} and {found}")
        return name

    def split_tensor(tensor: Any) -> Any:
        if not isinstance(tensor, list | tuple) or len(tensor) < 2:
            return tensor
        if not isinstance(tensor[1], list | tuple):
            return tensor
        return [tensor[0], [split_axis(axis) for axis in tensor[1]], *tensor[2:]]

    if not isinstance(data, Mapping):
        return data, limits
    return {name: split_tensor(tensor) for name, tensor in data.items()}, limits


def merge_limits(*parts: Mapping[str, Limits]) -> dict[str, Limits]:
    """All limits together; ValueError if two parts have different ones for an axis."""
    merged: dict[str, Limits] = {}
    for part in parts:
        for axis, limits in part.items():
            if merged.setdefault(axis, limits) != limits:
                raise ValueError(f"axis {axis!r} has the limits {merged[axis]} and {limits}")
    return merged


class DerivedAxis(NamedTuple):
    """The size of an output's axis: `factor` times the size of `axis`, divided by `divisor`."""

    axis: str
    factor: int = 1
    divisor: int = 1

    def size(self, of: int) -> int:
        """Its size if the size of `axis` is `of`."""
        return of * self.factor // self.divisor


def parse_derived(name: str) -> DerivedAxis | None:
    """`2*height` and `height/4` in parts; None for another name."""
    match = _DERIVED.fullmatch(name)
    if (
        match is None
        or not (match[1] or match[3])
        or 0 in map(int, filter(None, match.group(1, 3)))
    ):
        return None
    return DerivedAxis(match[2], int(match[1] or 1), int(match[3] or 1))
