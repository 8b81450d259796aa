"""The README in two languages says the same: the same commands, code, tables and links in one order."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def skeleton(name: str) -> dict[str, list[str]]:
    """What of a README does not depend on its language."""
    text = (ROOT / name).read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return {
        "commands": [line.split("#")[0].strip() for line in re.findall(r"^    \S.*$", text, re.M)],
        "code": [line.split("#")[0].rstrip() for line in code.splitlines()],
        "tables": [line.split("|")[1].strip() for line in re.findall(r"^\| `.*$", text, re.M)],
        "headings": [line.split()[0] for line in re.findall(r"^#+ .*$", text, re.M)],
        "links": re.findall(r"\]\(([^)]+)\)", text.replace("README.zh.md", "README.md")),
        "names": sorted({" ".join(name.split()) for name in re.findall(r"`([^`]+)`", prose)}),
    }


def test_both_readmes_hold_the_same() -> None:
    english, chinese = skeleton("README.md"), skeleton("README.zh.md")
    assert len(english["commands"]) > 15
    assert chinese == english
