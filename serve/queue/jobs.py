"""What waits for a run, and how several of them become one."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from ptx.infer import Array, Prediction, Predictor
from ptx.infer.signature import BATCH, Signature
from ptx.infer.streaming import batch_key
from ptx.serve.refusals import RefusalError, refusal

_FAILS = Exception, SystemExit  # a network's own code may try to end the process

Result = Mapping[str, Array] | list[Prediction]  # of tensors; of the card's own input
# Seconds of a run that may hold the event loop; a hop to a thread and back costs 0.1 ms.
ON_LOOP = 0.002
_NO_SIZES: Mapping[str, int] = {}
VALUES = "values"  # the key of all of them: what they become is known when they are read
Deliver = Callable[[Result | RefusalError], None]


def _nobody(result: Result | RefusalError) -> None:
    """Where the answer of a client that has gone goes."""


class Job:
    """The rows of one request. `deliver` is called once; None: the client has gone.

    Args:
        key: What jobs that become one run have in common.
        content: Arrays by their input, or values.
        sizes: Of the dynamic axes of arrays, the batch among them.
        top: Labels of each value that are ranked.
        timeout: Seconds that it may wait.
    """

    __slots__ = ("arrived", "content", "deadline", "deliver", "key", "of_value", "rows", "sizes",
                 "started", "top")  # fmt: skip

    def __init__(
        self, rows: int, key: Hashable, content: Any, sizes: Mapping[str, int] = _NO_SIZES, *,
        top: int = 0, timeout: float | None = None,
    ) -> None:  # fmt: skip
        self.rows, self.key, self.content, self.sizes, self.top = rows, key, content, sizes, top
        self.of_value = key == VALUES  # values of the card's own input, and no arrays
        self.arrived = self.started = time.perf_counter()
        self.deadline = None if timeout is None else self.arrived + timeout
        self.deliver: Deliver | None = None

    def abandon(self) -> None:
        """Its client has gone: it is not computed any more."""
        self.deliver = None

    def finish(self, result: Result | RefusalError) -> None:
        """Hand the answer over, the first time."""
        deliver, self.deliver = self.deliver, _nobody
        if deliver is not None:
            deliver(result)


def compute(predictor: Predictor, jobs: Sequence[Job]) -> list[Result | RefusalError]:
    """The results of jobs with one key, in one run; a bad one spoils no other."""
    first = jobs[0]
    if first.of_value:
        return _values(predictor, jobs)
    try:
        if len(jobs) == 1:
            return [predictor.run_checked(first.content, first.sizes)]
        return _joined(predictor, jobs)
    except _FAILS as error:
        if len(jobs) == 1:
            return [refusal(error)]
    return [result for job in jobs for result in compute(predictor, [job])]


def _joined(predictor: Predictor, jobs: Sequence[Job]) -> list[Result | RefusalError]:
    """Arrays that go in together."""
    rows = sum(job.rows for job in jobs)
    sizes = {**jobs[0].sizes, BATCH: rows}
    signature: Signature = predictor.signature
    joined = {
        spec.name: np.concatenate([job.content[spec.name] for job in jobs], spec.batch_axis)
        for spec in signature.inputs
    }
    outputs = predictor.run_checked(joined, sizes)
    if rows == len(jobs) and all(spec.batch_axis == 0 for spec in signature.outputs):
        return [{name: array[place : place + 1] for name, array in outputs.items()}
                for place in range(rows)]  # fmt: skip
    results: list[Result | RefusalError] = []
    place = 0
    for job in jobs:
        part = slice(place, place + job.rows)
        results.append({
            spec.name: outputs[spec.name][(slice(None),) * spec.batch_axis + (part,)]
            for spec in signature.outputs
        })  # fmt: skip
        place += job.rows
    return results


def _values(predictor: Predictor, jobs: Sequence[Job]) -> list[Result | RefusalError]:
    """Values are read here, each by itself; samples of one shape go in together."""
    results: list[Result | RefusalError] = []
    groups: dict[Hashable, list[tuple[list[Prediction], int, Array]]] = {}
    for job in jobs:
        try:
            samples = [predictor.preprocessing.read(value) for value in job.content]
        except _FAILS as error:
            results.append(refusal(error, of_value=True))
            continue
        answers = cast("list[Prediction]", [None] * len(samples))
        results.append(answers)
        for index, sample in enumerate(samples):
            key = job.top, batch_key(predictor.preprocessing, sample)
            groups.setdefault(key, []).append((answers, index, sample))
    try:
        for (top, _), members in cast("dict[tuple[int, Hashable], Any]", groups).items():
            samples = [sample for _, _, sample in members]
            found = predictor.predict_samples(samples, [None] * len(samples), top=top)
            for (answers, index, _), prediction in zip(members, found, strict=True):
                answers[index] = prediction
    except _FAILS as error:
        if len(jobs) == 1:
            return [refusal(error)]
        return [result for job in jobs for result in _values(predictor, [job])]
    return results
