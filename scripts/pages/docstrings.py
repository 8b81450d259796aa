"""For the API reference: the fields of a dataclass, each documented by the comment behind it.

Editors show such comments with the source; griffe reads docstrings alone.
"""

from __future__ import annotations

import io
import tokenize
from collections.abc import Iterator
from typing import Any

import griffe


class Docstrings(griffe.Extension):
    """Gives a dataclass the table of its fields."""

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        rows = list(fields(cls)) if "dataclass" in cls.labels else []
        if rows and cls.docstring is not None and "Attributes:" not in cls.docstring.value:
            table = "\n".join(f"    {name}: {text}" for name, text in rows)
            cls.docstring.value += f"\n\nAttributes:\n{table}"


def fields(cls: griffe.Class) -> Iterator[tuple[str, str]]:
    """(name, comment) of each field."""
    for name, member in cls.members.items():
        if isinstance(member, griffe.Attribute) and "property" not in member.labels:
            yield name, comment(member.source)


def comment(source: str) -> str:
    """The comment in the source of a field."""
    found = [
        token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    return " ".join(found)
