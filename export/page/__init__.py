"""A model as one page: its parts stand beside this file, without a build step."""

from ptx.export.page.choice import Choice, choose_runtime
from ptx.export.page.page import render
from ptx.export.page.runtime import find_runtime

__all__ = ["Choice", "choose_runtime", "find_runtime", "render"]
