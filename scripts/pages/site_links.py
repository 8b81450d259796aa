"""For the site: a link to a file of the repository that is no page becomes the name of that file.

A link to nothing is left as it is, and fails the strict build.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.pages import Page

_LINK = re.compile(r"\[([^\]]+)\]\((\.\./[^)#\s]+)\)")
_DOCS = Path("docs").resolve()


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """The page's text, called by MkDocs."""
    folder = Path(page.file.abs_src_path or "").parent

    def written_out(link: re.Match[str]) -> str:
        text, target = link[1], (folder / link[2]).resolve()
        if target.is_relative_to(_DOCS) or not target.exists():
            return link[0]
        name = target.relative_to(_DOCS.parent).as_posix()
        return f"`{name}`" if text.rstrip("/") == name else f"{text} (`{name}`)"

    return _LINK.sub(written_out, markdown)
