"""One predictor behind many threads: the workers of a program that does other things as well.

python thread_pool.py convnet.onnx digit.png other.jpg
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from ptx.infer import InputError, Prediction, Predictor, load

WORKERS = 4


def predictions(
    predictor: Predictor, pictures: Iterable[str]
) -> Iterator[tuple[str, Prediction | InputError]]:
    """The answer for each picture, in their order; an `InputError` in place of one that is bad."""
    with ThreadPoolExecutor(WORKERS) as pool:
        jobs: list[tuple[str, Future[Prediction]]] = [
            (picture, pool.submit(predictor.predict, picture)) for picture in pictures
        ]
        for picture, job in jobs:
            try:
                yield picture, job.result()
            except InputError as error:
                yield picture, error


def main() -> None:
    model, *pictures = sys.argv[1:]
    # The pool is what runs in parallel, so each run of the model takes one thread.
    with load(model, backend="ort-cpu", threads=1) as predictor:
        for picture, answer in predictions(predictor, pictures):
            text = str(answer) if isinstance(answer, InputError) else answer.label
            print(f"{picture}: {text}")


if __name__ == "__main__":
    main()
