"""Shards: equal parts of the inputs, selected by the hash of each input's name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b

from ptx.infer.errors import UsageError, quote

_PATTERN = re.compile(r"([0-9]{1,9})/([0-9]{1,9})", re.ASCII)


@dataclass(frozen=True)
class Shard:
    """The `index`-th of `count` shards, counted from 1. Every name is in exactly one shard."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Parse `3/16`, shard 3 of 16.

        Raises:
            UsageError: the text is not of this form, or there is no such shard.
        """
        match = _PATTERN.fullmatch(text)
        index, count = map(int, match.groups()) if match else (0, 0)
        if not 1 <= index <= count:
            raise UsageError(
                f"there is no shard {quote(text)}; expected INDEX/COUNT, from 1/16 to 16/16"
            )
        return cls(index, count)

    def contains(self, name: str) -> bool:
        """Whether the input of this name is in the shard; the same on every machine."""
        return name_hash(name) % self.count == self.index - 1


def name_hash(name: str) -> int:
    """The 64-bit BLAKE2b hash of the name in UTF-8."""
    data = name.encode("utf-8", "surrogatepass")  # file names need not be valid UTF-8
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")
