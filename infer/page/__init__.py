"""Shared by the two HTML pages of ptx: the page of `ptx serve`, and the HTML export."""

from ptx.infer.page.parts import csp_hash, load_asset, page_data, translations

__all__ = ["csp_hash", "load_asset", "page_data", "translations"]
