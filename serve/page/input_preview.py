"""A preview of an input as the model receives it."""

from __future__ import annotations

import json

import numpy as np

from ptx.infer.preprocessing import Preprocessing
from ptx.infer.preprocessing.gray_image import pixels_as_png


def preview(preprocessing: Preprocessing, value: bytes | str) -> tuple[bytes, str]:
    """The body and the content type of `POST /v2/models/NAME/preview`.

    The pixels of an image as a PNG file; for other inputs `{"preview": …}`, with the characters of a
    text that the model knows, or the scaled numbers of a row.

    Args:
        preprocessing: The preprocessing of the model.
        value: The bytes of an image file, or a text.

    Raises:
        InputError: the input cannot be used.
    """
    sample = preprocessing.transform(value)
    if preprocessing.image_spec is not None:
        return pixels_as_png(sample), "image/png"
    if preprocessing.feature_names:
        text = ", ".join(f"{number:.4g}" for number in sample)
    elif hasattr(preprocessing, "alphabet"):
        text = " ".join(map(str, sample))
    else:
        text = "".join(chr(code) if 32 <= code < 127 else "□" for code in np.ravel(sample))
    return json.dumps({"preview": text}).encode(), "application/json"
