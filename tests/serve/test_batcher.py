"""Which jobs share a run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from ptx.infer import Predictor
from ptx.serve.batcher import Batcher, Job
from ptx.serve.settings import Settings


def make_job(predictor: Predictor) -> Job:
    specs = predictor.signature.inputs
    arrays = {spec.name: np.zeros(spec.shape({"batch": 1}), spec.numpy_dtype) for spec in specs}
    return Job(1, (), arrays, sum(array.size for array in arrays.values()), sizes={"batch": 1})


@pytest.mark.parametrize("cancelled", [False, True])
def test_jobs_that_arrive_together_share_a_run(predictor: Predictor, cancelled: bool) -> None:
    """Also if the first of them, which starts the run, is cancelled before."""
    runs: list[int] = []

    def observe(jobs: Sequence[Job], started: float, seconds: float) -> None:
        runs.append(len(jobs))

    async def run_all() -> list[object]:
        batcher = Batcher(predictor, Settings(), observe)
        for _ in range(30):  # now the cost of a run is known, also on a machine that does more
            await batcher.run(make_job(predictor))
        runs.clear()
        tasks = [asyncio.create_task(batcher.run(make_job(predictor))) for _ in range(3)]
        await asyncio.sleep(0)  # they are queued
        tasks.append(asyncio.create_task(batcher.run(make_job(predictor))))  # one more arrives
        if cancelled:
            tasks[0].cancel()
        async with asyncio.timeout(10):
            return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(run_all())
    assert [isinstance(result, dict) for result in results] == [not cancelled, True, True, True]
    assert runs == ([2, 1] if cancelled else [4])
