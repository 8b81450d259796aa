"""One of several equal shares of the inputs, chosen by the hash of each input's name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b

from ptx.infer.errors import UsageError, quote

_PATTERN = re.compile(r"([0-9]{1,9})/([0-9]{1,9})", re.ASCII)


@dataclass(frozen=True)
class Shard:
    """The `index`-th of `count` shards, counted from 1. Every name falls into exactly one."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that `3/16` stands for.

        Raises:
            UsageError: it is written differently, or there is no such shard.
        """
        match = _PATTERN.fullmatch(text)
        index, count = map(int, match.groups()) if match else (0, 0)
        if not 1 <= index <= count:
            raise UsageError(
                f"there is no shard {quote(text)}; expected such as 3/16, from 1/16 to 16/16"
            )
        return cls(index, count)

    def takes(self, name: str) -> bool:
        """Whether the input of this name is in the shard; the same on every machine."""
        return name_hash(name) % self.count == self.index - 1


def name_hash(name: str) -> int:
    """64 bits of BLAKE2b over the name in UTF-8."""
    data = name.encode("utf-8", "surrogatepass")  # file names need not be valid UTF-8
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")
