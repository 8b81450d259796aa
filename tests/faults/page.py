"""docs/reference/faults.md from the table: `python -m faults.page`, in tests/."""

from __future__ import annotations

from pathlib import Path

from .fault import VERBS
from .refusals import REFUSALS
from .table import FAULTS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "faults.md"
HEAD = """# Planted faults

Each row is a fault that a test plants, and what comes out of each verb. **refused**: an error, and
nothing is written or measured. **fails**: the verdict is that the file does not hold. *right*: the verb
passes it, since no wrong answer can come out there. For `export` the fault is in what it is given or in
what it makes; the other verbs are given the file as an exporter without a proof would have left it,
sealed, beside the checkpoint. Cards are written anew with a new digest of what they state. The table is
`tests/faults/table.py`, run by `pytest tests/faults` and written here by `python -m faults.page` in
`tests/`.

"""
PLACES = {
    "network": "The network",
    "conversion": "The exporter: the file computes something else",
    "both": "The exporter, and a card that hides it",
    "card": "The card says something else",
    "file": "The files",
    "data": "The data",
}
FOOT = """
What this cannot find: a card in which the golden samples, what it states and both digests were forged
to fit. The seal is no signature. A weight that none of the golden samples touches, as of a character
that none of the words has, is found by `export`, whose proof draws characters from the whole range, and
not by `verify`.
"""

FORMS = """
## The forms of an export

Of [rounded weights, int8, pixels, OpenVINO and the page](deploy.md): each row is a fault that a test
meets, with the code and words of the error (`…` stands for what varies); of `E-AGREEMENT` without an
export, the check of `ptx verify` that fails. The table is `tests/faults/refusals.py`.
"""


def page() -> str:
    """The page's text."""
    return HEAD + "\n".join(map(_section, PLACES)) + FOOT + _forms()


def _forms() -> str:
    lines = [FORMS, "| fault | of | code | words of the message |", "|---|---|---|---|"]
    lines += [f"| {one.name} | {one.form} | `{one.code}` | {one.told} |" for one in REFUSALS]
    return "\n".join(lines) + "\n"


def _section(place: str) -> str:
    lines = [f"## {PLACES[place]}", "", f"| fault | model | {' | '.join(VERBS)} | why right |"]
    lines.append("|---" * (len(VERBS) + 3) + "|")
    for fault in FAULTS:
        if fault.plant.place == place:
            cells = (f"*{word}*" if word == "right" else word for word in map(fault.cell, VERBS))
            model = f"`{fault.model}`, {fault.format}"
            lines.append(f"| {fault.name} | {model} | {' | '.join(cells)} | {fault.why} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
