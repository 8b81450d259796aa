"""Answer for the pictures on the command line; the good ones are answered, each bad one has its line.

python script.py convnet.onnx digit.png other.jpg
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ptx.infer import Failure, PtxError, load


def main(arguments: Sequence[str]) -> int:
    model, *pictures = arguments
    failures = 0
    with load(model, backend="ort-cpu") as predictor:
        for answer in predictor.predict_many(pictures, on_error="yield"):
            if isinstance(answer, Failure):
                failures += 1
                print(f"{answer.input}: {answer.error}", file=sys.stderr)
            else:
                print(f"{answer.input}: {answer.label} ({answer.score:.2f})")
    return 4 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except PtxError as error:  # the model itself cannot be used
        print(f"script: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
