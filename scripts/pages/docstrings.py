"""For the API reference: docstrings in the style of this code, as the pages need them.

A field of a dataclass is documented by the comment behind it; griffe reads docstrings alone. An
argument is documented by a line that begins with its name; Markdown would run such lines together.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from typing import Any

import griffe

_ARGUMENT = re.compile(r"`\w+`: ")


class Docstrings(griffe.Extension):
    """Gives a dataclass the table of its fields, and a function the list of its arguments."""

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        rows = list(fields(cls)) if "dataclass" in cls.labels else []
        if rows and cls.docstring is not None and "Attributes:" not in cls.docstring.value:
            table = "\n".join(f"    {name}: {text}" for name, text in rows)
            cls.docstring.value += f"\n\nAttributes:\n{table}"

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        if func.docstring is not None:
            func.docstring.value = with_list(func.docstring.value)


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


def with_list(text: str) -> str:
    """A docstring whose paragraphs of arguments are lists."""
    paragraphs = []
    for paragraph in text.split("\n\n"):
        lines = paragraph.split("\n")
        if _ARGUMENT.match(lines[0]):
            lines = [f"- {line}" if _ARGUMENT.match(line) else f"  {line}" for line in lines]
        paragraphs.append("\n".join(lines))
    return "\n\n".join(paragraphs)
