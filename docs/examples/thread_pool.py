"""One predictor that several threads share.

python thread_pool.py convnet.onnx digit.png other.jpg
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from ptx.infer import InputError, Prediction, Predictor, load

WORKERS = 4


def predictions(
    predictor: Predictor, images: Iterable[str]
) -> Iterator[tuple[str, Prediction | InputError]]:
    """The prediction for each image, in order; an `InputError` for one that cannot be used."""
    with ThreadPoolExecutor(WORKERS) as pool:
        jobs: list[tuple[str, Future[Prediction]]] = [
            (image, pool.submit(predictor.predict, image)) for image in images
        ]
        for image, job in jobs:
            try:
                yield image, job.result()
            except InputError as error:
                yield image, error


def main() -> None:
    model, *images = sys.argv[1:]
    # The pool runs in parallel, so each run of the model uses one thread.
    with load(model, backend="ort-cpu", threads=1) as predictor:
        for image, result in predictions(predictor, images):
            text = str(result) if isinstance(result, InputError) else result.label
            print(f"{image}: {text}")


if __name__ == "__main__":
    main()
