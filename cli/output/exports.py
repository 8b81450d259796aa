"""What `ptx export` shows: what it assumes, and what came of it."""

from __future__ import annotations

import ptx.export as exporting
from ptx import report, trainers
from ptx.cli.output.terminal import note, verdict
from ptx.cli.values.real_rows import count_right
from ptx.infer.errors import escape_controls, pluralise

ASSUMED = "assumed"  # key of a card's `training`, as in ptx.export.statement
HINTS = {  # how to state what is assumed
    "preprocessing": "; else state --mean and --std, --scale 255, or --describe",
    "labels": "; else state --labels",
}


def say_assumed(trained: exporting.TrainedModel) -> None:
    """Say how a bare state dict was read, and what is assumed of its network."""
    for text in trained.notes:
        note(escape_controls(text))
    for topic, text in trained.card.training.get(ASSUMED, {}).items():
        note(f"assumed {topic}: {escape_controls(text)}{HINTS.get(topic, '')}")


def print_done(done: exporting.Exported, split: trainers.Split | None) -> None:
    """One file's line: its size, its agreement, and how many rows it answers right."""
    right = "" if split is None else f"; {count_right(done, split)}"
    cases, size = pluralise(done.cases, "case"), report.file_size(done.size)
    verdict(
        f"{done.path}: {size}, agrees with {done.reference} in {cases}: largest error {done.error:.1e},"
        f" allowed {done.tolerance:.1e}{right}"
    )
