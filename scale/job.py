"""Files into a folder of Parquet parts, on Ray: what `ptx predict --on ray` does.

Each part is one row of a Ray data set and one task of a worker, which reads, answers and writes it. So
no picture goes through the object store, and what the engine tries again is a part.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, cast

from ptx.infer.backends import Options
from ptx.infer.predictor import TOP
from ptx.infer.preprocessing import open_preprocessing
from ptx.scale.output import Done, Output
from ptx.scale.parts import Part, digest, plan
from ptx.scale.ray import Shared, Workers, begin_trial, open_here, own_errors, share
from ptx.scale.reading import read_part
from ptx.scale.records import BATCH
from ptx.scale.store import Store

_BLOCKS = 10_000  # at most: each costs the driver a millisecond
_PLENTY = 8  # parts a worker


@dataclass(frozen=True)
class Job:
    """What is asked of the workers."""

    backend: str = "auto"
    options: Options = field(default_factory=Options)  # the threads are those of `workers`
    column: str | None = (
        None  # of Parquet (else `bytes`), of CSV; of a tar file its members' ending
    )
    top: int = TOP
    batch_size: int = BATCH
    workers: Workers = field(default_factory=Workers)


class PredictPart:
    """A worker: answers a part and writes it."""

    def __init__(self, job: Job, model: Shared, store: Store, output: Output) -> None:
        self._job, self._store, self._output = job, store, output
        self._preprocessing = open_preprocessing(model.card.preprocessing, model.card.signature)
        self._predictor = open_here(model.opening(job.backend, job.workers.options(job.options)))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """What became of a part."""
        values = read_part(
            pickle.loads(row["part"]),  # noqa: S301 - made by the driver
            self._preprocessing, self._store, self._job.column,
        )  # fmt: skip
        answers = self._predictor.predict_many(
            values, batch_size=self._job.batch_size, top=self._job.top, on_error="yield"
        )
        return self._output.write(int(row["number"]), answers)._asdict()


def predict_files(
    inputs: Sequence[str],
    model: str | Path | Shared,
    output: str,
    job: Job | None = None,
    *,
    filesystem: Any = None,
    progress: Callable[[Done, int], None] | None = None,
) -> tuple[int, int]:
    """Answer files, folders, globs, Parquet, CSV and tar files into the folder `output`.

    Parts that are there from a run before are not computed again. `filesystem`: a pyarrow file system in
    which all names are paths. `progress` is told each part that is done, and the rows known of in all.

    Returns:
        How many predictions the folder holds, and how many inputs that could not be used.

    Raises:
        InputError: an input is not there, or cannot be read now: the same call goes on.
        ArtifactError: E-RESUME: the folder holds parts of another job.
        BackendError: the backend is not available where the workers are.
        OutputError: a part cannot be written.
    """
    job = job or Job()
    shared = model if isinstance(model, Shared) else share(model)
    store = Store(filesystem)
    preprocessing = open_preprocessing(shared.card.preprocessing, shared.card.signature)
    parts = plan(inputs, preprocessing, store, job.column)
    facts = (
        shared.sha256,
        shared.description,
        job.backend,
        job.options.precision,
        job.column,
        job.top,
    )
    folder = Output(store, output.rstrip("/"), digest(parts, *facts))
    there = folder.begin()
    rows, good, bad = sum(part.rows for part in parts), 0, 0
    left = [(number, part) for number, part in enumerate(parts) if number not in there]
    for done in chain(
        map(folder.read, sorted(there)), _compute(left, (job, shared, store, folder))
    ):
        good, bad = good + done.good, bad + done.bad
        if progress is not None:
            progress(done, rows)
    folder.end()
    return good, bad


def _compute(
    left: list[tuple[int, Part]], given: tuple[Job, Shared, Store, Output]
) -> Iterator[Done]:
    """What became of each of these parts, as they are done."""
    if not left:
        return
    job, shared, *_ = given
    workers = job.workers
    wait = begin_trial(shared, job.backend, workers.options(job.options), workers)
    import ray.data  # half a second, while a worker opens the backend

    rows = [{"number": number, "part": pickle.dumps(part)} for number, part in left]
    size = min(workers.most(), len(left))
    # The next part waits at its worker, or the worker would wait for it; of few parts none does: the
    # worker that started first would have them, and another none.
    ahead = 2 if len(left) >= _PLENTY * size else 1
    dataset = ray.data.from_items(rows, override_num_blocks=min(len(rows), _BLOCKS)).map(
        cast(Any, PredictPart),
        fn_constructor_args=given,
        compute=ray.data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=ahead),
        **workers.resources(),
    )
    # Else a worker's error arrives as Ray's own, and its cause is lost on the way.
    dataset.context.raise_original_map_exception = True
    # `progress` tells more than Ray's bars, which know parts and no rows.
    dataset.context.enable_progress_bars = dataset.context.print_on_execution_start = False
    wait()
    with own_errors():
        for row in dataset.iter_rows():
            yield Done(int(row["number"]), int(row["good"]), int(row["bad"]))
