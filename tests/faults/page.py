"""docs/reference/faults.md from the table: `python -m faults.page`, in tests/."""

from __future__ import annotations

from pathlib import Path

from .fault import VERBS
from .table import FAULTS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "faults.md"
HEAD = """# Injected faults

Each row is a fault that a test injects, and the result of each command. *refused*: an error, and
nothing is written. *fails*: the check fails. *passes*: no wrong prediction can result, for the
reason in the last column. For `export` the fault is in its input or in what the exporter makes. The
other commands get the file as an exporter without a check would have left it, with valid digests,
next to the checkpoint. `pytest tests/faults` runs the table, `tests/faults/table.py`; `python -m
faults.page` in `tests/` writes this page.

"""
PLACES = {
    "network": "The network",
    "conversion": "The exporter: the file computes something else",
    "both": "The exporter, with a manifest that hides it",
    "manifest": "The manifest",
    "file": "The files",
    "data": "The data",
}
FOOT = """
Not detected: a manifest whose golden samples, settings and digests were all forged consistently,
since the content digest is not a signature. A weight that no golden sample uses, such as the
embedding of a rare character, is checked by `export`, which draws from the whole range, but not by
`verify`.
"""
WORDS = {"right": "passes"}


def page() -> str:
    """The page's text."""
    return HEAD + "\n".join(map(_section, PLACES)) + FOOT


def _section(place: str) -> str:
    lines = [f"## {PLACES[place]}", "", f"| fault | {' | '.join(VERBS)} | reason |"]
    lines.append("|---" * (len(VERBS) + 2) + "|")
    for fault in FAULTS:
        if fault.injection.place == place:
            cells = (WORDS.get(fault.cell(verb), fault.cell(verb)) for verb in VERBS)
            lines.append(f"| {fault.name} | {' | '.join(cells)} | {fault.why} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
