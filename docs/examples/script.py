"""Predict the images on the command line, with an error line for each one that cannot be used.

python script.py convnet.onnx digit.png other.jpg
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ptx.infer import Failure, PtxError, load


def main(arguments: Sequence[str]) -> int:
    model, *images = arguments
    failures = 0
    with load(model, backend="ort-cpu") as predictor:
        for result in predictor.predict_many(images, on_error="yield"):
            if isinstance(result, Failure):
                failures += 1
                print(f"{result.input}: {result.error}", file=sys.stderr)
            else:
                print(f"{result.input}: {result.label} ({result.score:.2f})")
    return 4 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except PtxError as error:  # the model itself cannot be used
        print(f"script: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
