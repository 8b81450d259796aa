"""docs/reference/faults.md from the table: `python -m faults.page`, in tests/."""

from __future__ import annotations

import textwrap
from pathlib import Path

from .fault import VERBS
from .table import FAULTS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "faults.md"
HEAD = """# Injected faults

`pytest tests/faults` injects each fault and checks the result of each command. For `export` the
fault is in its input or in the exporter. The other commands get the file as an exporter without a
check would have left it, with valid digests, next to the checkpoint.

Unless a table says otherwise, `export` refuses the model and writes nothing, `verify` and `compare`
fail, and `evaluate` refuses the file. A fault *passes* if it cannot lead to a wrong prediction, for
the reason in the last column.

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
## Not detected

A manifest whose golden samples, settings and digests were all forged consistently: the content
digest is not a signature. `verify` does not see a weight that no golden sample uses, such as the
embedding of a rare character; `export` does.
"""
USUAL = ["refused", "fails", "fails", "refused"]
WORDS = {"right": "passes"}


def page() -> str:
    """The page's text."""
    return HEAD + "\n".join(map(_section, PLACES)) + FOOT


def _section(place: str) -> str:
    """The faults with the usual results by name, the others in a table."""
    rows = [
        (fault.name, [WORDS.get(fault.cell(verb), fault.cell(verb)) for verb in VERBS], fault.why)
        for fault in FAULTS
        if fault.injection.place == place
    ]
    lines = [f"## {PLACES[place]}", ""]
    usual = [name for name, cells, _ in rows if cells == USUAL]
    if usual:
        lines += [textwrap.fill(f"{usual[0][0].upper()}{'; '.join(usual)[1:]}.", 100), ""]
    if len(usual) < len(rows):
        lines += [f"| fault | {' | '.join(VERBS)} | reason |", "|---" * (len(VERBS) + 2) + "|"]
        lines += [
            f"| {name} | {' | '.join(cells)} | {why} |"
            for name, cells, why in rows
            if cells != USUAL
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
