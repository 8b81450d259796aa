"""What the libraries that decode pictures say on their own: not on the command line."""

from __future__ import annotations

import logging
import warnings
from functools import cache


@cache
def silence() -> None:
    """Keep Pillow's warnings, its log and libtiff's messages off stderr.

    A damaged file makes them write lines of their own there, the last one past Python. What came of the
    file is told in the verb's one line. A library must not turn them off for others; a verb may.
    """
    import ctypes

    from PIL import _imaging

    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    # libtiff is among what Pillow's module is linked to, unless it was built without it.
    handlers = ctypes.CDLL(_imaging.__file__)
    if hasattr(handlers, "TIFFSetErrorHandler"):
        handlers.TIFFSetErrorHandler(None)
