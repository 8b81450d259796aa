"""A model as one page: its parts stand beside this file, without a build step."""

from ptx.export.page.page import render
from ptx.export.page.runtime import find_runtime

__all__ = ["find_runtime", "render"]
