"""An injected fault: what is wrong, where, and what must come out of each verb."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from ptx.export import TrainedModel
from ptx.infer.artifact.manifest import Manifest

VERBS = ("export", "verify", "compare", "evaluate")


@dataclass(frozen=True)
class Good:
    """A model as it is without a fault."""

    model: str
    format: str
    trained: TrainedModel
    checkpoint: Path
    content: bytes  # of the exported file, without its manifest
    path: Path  # of the exported file
    manifest: Manifest  # in it


class Injection(Protocol):
    """Puts a fault into a good model."""

    place: str  # where it is wrong: a word of the table

    def export(self, good: Good, path: Path, patch: pytest.MonkeyPatch) -> None:
        """Export with the fault: what raises is refused."""

    def workspace(self, good: Good, folder: Path) -> list[str]:
        """Checkpoint and file with the fault, in a folder; returns options of the verbs on data."""


@dataclass(frozen=True)
class Fault:
    """A row of the table.

    `refused`: an error, and nothing is written or measured. `fails`: the check fails. `right`: the
    command passes, because no wrong prediction can result; `why` says why.
    """

    name: str
    model: str
    injection: Injection
    export: str = "refused"
    verify: str = "fails"
    compare: str = "fails"
    evaluate: str = "refused"
    why: str = ""
    format: str = "onnx"

    def cell(self, verb: str) -> str:
        """What must come out of a verb."""
        word: str = getattr(self, verb)
        return word

    def __str__(self) -> str:
        return self.name
