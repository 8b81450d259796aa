"""Prediction on Ray Data: as a step of a pipeline, and of files into a folder of Parquet files.

>>> import ray
>>> from ptx.scale.ray import predict
>>> answered = predict(ray.data.read_parquet("s3://bucket/digits"), "digits.onnx")

Reading, scheduling, retries, the object store and writing are Ray's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import ray
import ray.exceptions

from ptx.infer.artifact.artifact import Artifact, read_artifact
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.backends import Options
from ptx.infer.errors import PtxError, UsageError
from ptx.infer.predictor import Predictor
from ptx.scale.records import BATCH, batch
from ptx.scale.spec import PredictorSpec

if TYPE_CHECKING:
    import ray.data

    from ptx.infer.described.description import Description

__all__ = ["ModelRef", "Predict", "Workers", "open_in_worker", "predict", "put_model"]

# A row that ends its worker's process would end every worker that tries it again: after this many
# tries the job fails.
TRIES = 4


@dataclass(frozen=True)
class Workers:
    """What each worker takes of the cluster, and how many there are."""

    num_cpus: float = 1
    num_gpus: float = 0
    concurrency: int | None = None  # None: from one up to as many as the cluster can hold

    @property
    def max_count(self) -> int:
        """The largest number of workers that leaves a processor for Ray to read and write with.

        Raises:
            UsageError: there is no room for so many.
        """
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        processors, gpus = resources.get("CPU", 1), resources.get("GPU", 0)
        fitting = [(processors - 1) / self.num_cpus] if self.num_cpus else []
        fitting += [gpus / self.num_gpus] if self.num_gpus else []
        room = int(min(fitting, default=processors))
        if room < (self.concurrency or 1):
            raise UsageError(
                f"{self.concurrency or 1} workers with {self.num_cpus:g} processors and"
                f" {self.num_gpus:g} GPUs each do not fit into a cluster of {processors:g} processors"
                f" and {gpus:g} GPUs, where one processor is left for reading and writing: give a"
                " smaller --num-cpus, --num-gpus or --concurrency"
            )
        return self.concurrency or room

    @property
    def resources(self) -> dict[str, Any]:
        """The arguments of Ray for one worker."""
        gpus = {"num_gpus": self.num_gpus} if self.num_gpus else {}
        return {"num_cpus": self.num_cpus, **gpus}


@dataclass(frozen=True)
class ModelRef:
    """A model file in Ray's object store, made by `put_model`."""

    data: ray.ObjectRef[bytes]  # of the file's bytes
    name: str
    sha256: str
    manifest: Manifest
    description: Description | None = None  # of an ONNX file without metadata of ptx

    def open(self, backend: str, options: Options) -> Predictor:
        """Open it in a worker, see `open_in_worker`."""
        data = ray.get(self.data)
        return open_in_worker(PredictorSpec(data, self.name, backend, options, self.description))


def open_in_worker(spec: PredictorSpec) -> Predictor:
    """Open a predictor with a thread for each processor that Ray has assigned to this worker.

    A number of threads in the options is kept. Outside a worker it is one.
    """
    context = ray.get_runtime_context()
    in_worker = context.worker.mode == ray.WORKER_MODE
    assigned = (
        context.get_assigned_resources().get("CPU", 1)  # type: ignore[no-untyped-call]
        if in_worker
        else 1
    )
    threads = spec.options.threads or max(1, int(assigned))
    return replace(spec, options=replace(spec.options, threads=threads)).open()


def put_model(model: str | Path | Artifact, description: Description | None = None) -> ModelRef:
    """Put a model file into Ray's object store, once for all workers.

    Raises:
        ArtifactError: it cannot be read, or its content digest does not match.
    """
    artifact = model if isinstance(model, Artifact) else read_artifact(model)
    if description is not None:
        from ptx.infer.described.described_artifact import describe_artifact

        manifest = describe_artifact(artifact, description).manifest
    else:
        manifest = artifact.require_manifest()
    return ModelRef(
        ray.put(artifact.data), str(artifact.path), artifact.sha256, manifest, description
    )


class Predict:
    """For `dataset.map_batches(Predict, batch_format="pyarrow", fn_constructor_kwargs={"model": …})`.

    Args:
        model: From `put_model`: a path would have to exist on every machine.
        backend: As in `ptx.infer.load`; opened when the worker starts, or the job fails.
        options: How the backend is opened. By default with a thread for each processor of the worker.
        batch_options: `column`, `top`, `batch_size` and `prefix`, as in `ptx.scale.batch`.
    """

    def __init__(
        self,
        model: ModelRef,
        *,
        backend: str = "auto",
        options: Options | None = None,
        **batch_options: Any,
    ) -> None:
        if not isinstance(model, ModelRef):
            raise UsageError(
                f"the model is a {type(model).__name__}; expected the result of"
                " ptx.scale.ray.put_model(path): the file may not exist on this machine"
            )
        self._batch_options = batch_options
        self._predictor = model.open(backend, options or Options())

    def __call__(self, table: pa.Table) -> pa.Table:
        """The table with the columns of `ptx.scale.answer_schema`."""
        if not isinstance(table, pa.Table):
            raise UsageError(
                f"a batch is a {type(table).__name__}: give map_batches batch_format='pyarrow'"
            )
        (records,) = table.combine_chunks().to_batches() or [
            pa.RecordBatch.from_pylist([], schema=table.schema)
        ]
        return pa.Table.from_batches([batch(records, self._predictor, **self._batch_options)])


def predict(
    dataset: ray.data.Dataset,
    model: str | Path | ModelRef,
    *,
    backend: str = "auto",
    workers: Workers | None = None,
    options: Options | None = None,
    **batch_options: Any,
) -> ray.data.Dataset:
    """The dataset with the predictions as more columns.

    Args:
        model: A path on this machine, or the result of `put_model`.
        backend: As in `ptx.infer.load`; opened once on a worker before any data are read.
        workers: What each worker takes of the cluster.
        options: How the backend is opened. By default with a thread for each processor of the worker.
        batch_options: `column`, `top`, `batch_size` and `prefix`, as in `ptx.scale.batch`.

    Raises:
        BackendError: the backend is not available on the workers.
        ArtifactError: the file cannot be used.
    """
    workers = workers or Workers()
    ref = model if isinstance(model, ModelRef) else put_model(model)
    options = options or Options()
    check_opening(ref, backend, options, workers)
    arguments = {"model": ref, "backend": backend, "options": options, **batch_options}
    return map_on_workers(dataset, Predict, arguments, workers)


def map_on_workers(
    dataset: ray.data.Dataset, worker: type, arguments: dict[str, Any], workers: Workers
) -> ray.data.Dataset:
    """The dataset through `worker(**arguments)`, a class that maps tables, on so many actors."""
    from ray.data import ActorPoolStrategy  # half a second

    fewest = 1 if workers.concurrency is None else workers.concurrency
    return dataset.map_batches(
        worker,
        fn_constructor_kwargs=arguments,
        batch_format="pyarrow",
        batch_size=4 * arguments.get("batch_size", BATCH),
        zero_copy_batch=True,
        compute=ActorPoolStrategy(min_size=fewest, max_size=workers.max_count),
        max_task_retries=TRIES - 1,  # Ray's own default is to retry for ever
        **workers.resources,
    )


def check_opening(model: ModelRef, backend: str, options: Options, workers: Workers) -> None:
    """Open the backend once on a worker: an error comes before any data are read.

    Raises:
        PtxError: what opening it there raises.
    """
    remote: Any = ray.remote
    task = remote(max_retries=0, **workers.resources)(_open_once)
    with unwrap_ray_errors():
        ray.get(task.remote(model, backend, options))


def _open_once(model: ModelRef, backend: str, options: Options) -> None:
    model.open(backend, options).close()


@contextmanager
def unwrap_ray_errors() -> Iterator[None]:
    """Raise the error of ptx that a worker raised, without Ray's errors around it."""
    try:
        yield
    except Exception as error:
        found = next((one for one in causes(error) if isinstance(one, PtxError)), None)
        if found is None:
            raise
        raise found from None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The errors behind one that Ray raised, without Ray's own."""
    while error is not None:
        if not isinstance(error, ray.exceptions.RayError):
            yield error
        inner = getattr(error, "cause", None)
        error = inner if isinstance(inner, BaseException) else error.__cause__ or error.__context__
