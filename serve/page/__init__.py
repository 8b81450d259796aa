"""The page at `/`, to try the models: one file, without a build step or requests to other hosts."""

from ptx.serve.page.input_preview import preview
from ptx.serve.page.page import render

__all__ = ["preview", "render"]
