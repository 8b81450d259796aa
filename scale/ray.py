"""Prediction on Ray Data: in a pipeline that somebody has, and of files into a folder of Parquet parts.

>>> import ray
>>> from ptx.scale.ray import predict
>>> answered = predict(ray.data.read_parquet("s3://bucket/digits"), "digits.onnx")

Scheduling, retries and the object store are Ray's. What ended its worker once (a picture that crashes
the decoder, too little memory) is gone on with behind a process of its own, see `ptx.scale.guard`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import ray
import ray.exceptions

from ptx.infer.artifact.artifact import Artifact, read_artifact
from ptx.infer.artifact.card import Card
from ptx.infer.backends import Options
from ptx.infer.errors import PtxError, UsageError
from ptx.infer.predictor import Predictor
from ptx.scale.guard import Guarded
from ptx.scale.records import BATCH, batch
from ptx.scale.sharing import Opening

if TYPE_CHECKING:
    import ray.data

    from ptx.infer.described.description import Description

__all__ = ["Predict", "Shared", "Workers", "predict", "share"]


@dataclass(frozen=True)
class Workers:
    """What each worker takes of the cluster, and how many there are."""

    num_cpus: float = 1
    num_gpus: float = 0
    concurrency: int | None = None  # None: from one up to as many as the cluster holds

    def most(self) -> int:
        """How many workers the cluster holds now."""
        if self.concurrency is not None:
            return self.concurrency
        have: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        fitting = [have.get("CPU", 1) / self.num_cpus] if self.num_cpus else []
        fitting += [have.get("GPU", 0) / self.num_gpus] if self.num_gpus else []
        return max(1, int(min(fitting, default=1)))

    def options(self, options: Options | None = None) -> Options:
        """With as many threads as a worker has processors."""
        return replace(options or Options(), threads=max(1, int(self.num_cpus)))

    def resources(self) -> dict[str, Any]:
        """As Ray's options."""
        gpus = {"num_gpus": self.num_gpus} if self.num_gpus else {}
        return {"num_cpus": self.num_cpus, **gpus}


@dataclass(frozen=True)
class Shared:
    """A model file in Ray's object store: read once, where it was shared."""

    data: ray.ObjectRef[bytes]  # of the file's bytes
    name: str
    sha256: str
    card: Card
    description: Description | None = None  # of a file without a card

    def opening(self, backend: str, options: Options) -> Opening:
        """All that a process needs to open it."""
        return Opening(ray.get(self.data), self.name, backend, options, self.description)


def share(model: str | Path | Artifact, description: Description | None = None) -> Shared:
    """Put a model file into the object store, once for all workers.

    Raises:
        ArtifactError: it cannot be read, or has changed since it was sealed.
    """
    artifact = model if isinstance(model, Artifact) else read_artifact(model)
    if description is not None:
        from ptx.infer.described.described_artifact import describe_artifact

        card = describe_artifact(artifact, description).card
    else:
        card = artifact.require_card()
    return Shared(ray.put(artifact.data), str(artifact.path), artifact.sha256, card, description)


class Predict:
    """For `dataset.map_batches(Predict, batch_format="pyarrow", fn_constructor_kwargs={"model": …})`.

    Args:
        model: From `share`: a path would have to be there on every machine.
        backend: As of `ptx.infer.load`; opened when the worker starts, or the job fails.
        column: As of `ptx.scale.batch`, and the following.
        options: How the backend is opened. By default with one thread: there is a worker for each
            processor.
    """

    def __init__(
        self, model: Shared, *, backend: str = "auto", options: Options | None = None, **how: Any
    ) -> None:
        if not isinstance(model, Shared):
            raise UsageError(
                f"the model is {type(model).__name__}; expected what ptx.scale.ray.share(path) gives:"
                " the file itself need not be on this machine"
            )
        self._how = how
        self._predictor = open_here(model.opening(backend, options or Options(threads=1)))

    def __call__(self, table: pa.Table) -> pa.Table:
        """The table with the columns of `ptx.scale.answer_schema`."""
        if not isinstance(table, pa.Table):
            raise UsageError(
                f"a batch is {type(table).__name__}: give map_batches batch_format='pyarrow'"
            )
        records = table.combine_chunks().to_batches() or [_no_rows(table.schema)]
        return pa.Table.from_batches(
            [batch(one, cast(Predictor, self._predictor), **self._how) for one in records]
        )

    def close(self) -> None:
        """End what it answers with."""
        self._predictor.close()


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], kind) for kind in schema.types], schema=schema)


class _Held:
    """What the tasks of this process answer with, opened by the first of them."""

    key: Any = None
    answers: Predict | None = None


def _answer(table: pa.Table, *, model: Shared, **opening: Any) -> pa.Table:
    """`Predict` in a task; `opening`: its other arguments.

    A task that is tried again opens anew, and so does the next: see `open_here`.
    """
    again = ray.get_runtime_context().get_task_id() if _tried() else None
    key = again, model.data, tuple(opening.items())  # the bytes' place stands for the whole model
    if _Held.answers is None or _Held.key != key:
        if _Held.answers is not None:
            _Held.answers.close()
        _Held.answers, _Held.key = Predict(model, **opening), key
    return _Held.answers(table)


def _tried() -> int | None:
    """How often this task has been ended before; None where Ray does not say.

    There is no public name for it: ray.get_runtime_context() tells it of actors alone (Ray 2.60).
    """
    core = ray.get_runtime_context().worker.core_worker
    tried = getattr(core, "get_current_task_attempt_number", None)
    return None if tried is None else int(tried())


def open_here(opening: Opening) -> Predictor | Guarded:
    """The predictor; in a process of its own where this actor or task has been ended before."""
    context = ray.get_runtime_context()
    in_actor = context.get_actor_id() is not None
    ended = context.was_current_actor_reconstructed if in_actor else _tried()
    return Guarded(opening) if ended else opening.open()


def predict(
    dataset: ray.data.Dataset, model: str | Path | Shared, *, backend: str = "auto",
    workers: Workers | None = None, options: Options | None = None, **how: Any,
) -> ray.data.Dataset:  # fmt: skip
    """The dataset with the answers beside its rows, as one step of a pipeline.

    Args:
        model: A path on this machine, or what `share` gave.
        backend: As of `ptx.infer.load`; opened once before any data are read.
        how: `column`, `top`, `batch_size` and `prefix`, as of `ptx.scale.batch`.

    Raises:
        BackendError: the backend is not available where the workers are.
        ArtifactError: the file cannot be used.
    """
    # They take half a second, and no worker needs them to start.
    from ray.data import ActorPoolStrategy, TaskPoolStrategy

    workers = workers or Workers()
    shared = model if isinstance(model, Shared) else share(model)
    options = workers.options(options)
    begin_trial(shared, backend, options, workers)()
    opening = {"model": shared, "backend": backend, "options": options, **how}
    by: dict[str, Any]
    if workers.num_gpus or _tried() is None:
        fewest = 1 if workers.concurrency is None else workers.concurrency
        by = {
            "fn": Predict,
            "fn_constructor_kwargs": opening,
            "compute": ActorPoolStrategy(min_size=fewest, max_size=workers.most()),
        }
    else:  # Tasks begin in processes that are there already, where an actor waits seconds for its own.
        by = {
            "fn": _answer,
            "fn_kwargs": opening,
            "compute": TaskPoolStrategy(size=workers.concurrency),
        }
    return dataset.map_batches(
        **by,
        batch_format="pyarrow",
        batch_size=4 * how.get("batch_size", BATCH),
        zero_copy_batch=True,
        **workers.resources(),
    )


def begin_trial(
    shared: Shared, backend: str, options: Options, workers: Workers
) -> Callable[[], None]:
    """Begin to open the backend once, on a worker; what this gives waits, and raises its error."""
    remote: Any = ray.remote
    task = remote(max_retries=0, **workers.resources())(_open_once)
    opened = task.remote(shared, backend, options)

    def wait() -> None:
        with own_errors():
            ray.get(opened)

    return wait


def _open_once(shared: Shared, backend: str, options: Options) -> None:
    shared.opening(backend, options).open().close()


@contextmanager
def own_errors() -> Iterator[None]:
    """An error of ptx in a worker is that error here, without Ray's words around it."""
    try:
        yield
    except Exception as error:
        found = _find_own(error)
        if found is None:
            raise
        raise found from None


def _find_own(error: BaseException | None) -> PtxError | None:
    while error is not None:
        if isinstance(error, PtxError) and not isinstance(error, ray.exceptions.RayError):
            return error
        inner = getattr(error, "cause", None)
        error = inner if isinstance(inner, BaseException) else error.__cause__ or error.__context__
    return None
