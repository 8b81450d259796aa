"""The page at `/` of `ptx serve`: one file, without a build step and without any other address."""

from ptx.serve.page.page import render
from ptx.serve.page.preview import preview

__all__ = ["preview", "render"]
