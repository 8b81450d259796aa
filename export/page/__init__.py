"""A model as one page: its parts stand beside this file, without a build step."""

from ptx.export.page.page import render

__all__ = ["render"]
