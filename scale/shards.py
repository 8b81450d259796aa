"""One of several equal shares of the inputs, told by each input's name alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b

from ptx.infer.errors import UsageError, quote

_WRITTEN = re.compile(r"([0-9]{1,9})/([0-9]{1,9})", re.ASCII)


@dataclass(frozen=True)
class Shard:
    """The `index`-th of `count` shards, counted from 1. Every name falls into exactly one."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """What `3/16` means.

        Raises:
            UsageError: it is not so written, or there is no such shard.
        """
        found = _WRITTEN.fullmatch(text)
        index, count = map(int, found.groups()) if found else (0, 0)
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
    data = name.encode("utf-8", "surrogatepass")  # the names of files need not be UTF-8
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")
