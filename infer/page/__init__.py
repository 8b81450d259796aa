"""What the pages of ptx share: `ptx serve` has one, and an export to html is one."""

from ptx.infer.page.parts import allow, describe, part, words

__all__ = ["allow", "describe", "part", "words"]
