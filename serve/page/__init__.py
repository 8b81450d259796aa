"""The page at `/` of `ptx serve`: one file, without a build step and without any other address.

A server that nobody has asked for its page does not import what makes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptx.infer.lazy import lazy

if TYPE_CHECKING:
    from ptx.serve.page.page import render
    from ptx.serve.page.seeing import preview
else:
    __getattr__, __dir__ = lazy(__name__, {"render": "page", "preview": "seeing"})

__all__ = ["preview", "render"]
