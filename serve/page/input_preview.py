"""What the model sees of an input, for a person."""

from __future__ import annotations

import json

import numpy as np

from ptx.infer.preprocessing import Preprocessing
from ptx.infer.preprocessing.picture import pixels_as_png


def preview(preprocessing: Preprocessing, value: bytes | str) -> tuple[bytes, str]:
    """The body and the content type of `POST /v2/models/NAME/preview`.

    Of a picture its pixels as a PNG file, of others `{"seen": …}`: the characters that are left of a
    text, the numbers of a row as the network gets them.

    Args:
        preprocessing: Of the manifest.
        value: A picture's file, or a text.

    Raises:
        InputError: it cannot be used.
    """
    sample = preprocessing.transform(value)
    if preprocessing.image_spec is not None:
        return pixels_as_png(sample), "image/png"
    if preprocessing.feature_names:
        seen = ", ".join(f"{number:.4g}" for number in sample)
    elif hasattr(preprocessing, "alphabet"):
        seen = " ".join(map(str, sample))
    else:
        seen = "".join(chr(code) if 32 <= code < 127 else "□" for code in np.ravel(sample))
    return json.dumps({"seen": seen}).encode(), "application/json"
