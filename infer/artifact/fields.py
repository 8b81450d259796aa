"""The fields of a JSON object, each held to its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def take(data: Mapping[str, Any], key: str, expected: type[T]) -> T:
    """The field `key`; ValueError where it is missing or of another type."""
    value = data.get(key)
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        got = "missing" if key not in data else f"a {type(value).__name__}"
        raise ValueError(f"{key!r} is {got}; expected {expected.__name__}")
    return value
