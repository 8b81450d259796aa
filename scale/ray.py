"""Prediction on Ray Data: as a step of a pipeline, and of files into a folder of Parquet files.

>>> import ray
>>> from ptx.scale.ray import predict
>>> predicted = predict(ray.data.read_parquet("s3://bucket/digits"), "digits.onnx")

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

    from ptx.infer.external.spec import ModelSpec

__all__ = ["ModelRef", "Predict", "Workers", "open_in_worker", "predict", "put_model"]

# A row that crashes its worker would crash every worker that retries it, so the job fails after this
# number of attempts.
MAX_ATTEMPTS = 4


@dataclass(frozen=True)
class Workers:
    """The resources of each worker and the number of workers."""

    num_cpus: float = 1
    num_gpus: float = 0
    concurrency: int | None = None  # None: from one up to the capacity of the cluster

    @property
    def max_count(self) -> int:
        """The largest number of workers that leaves one processor for Ray to read and write.

        Raises:
            UsageError: the cluster is too small for `concurrency` workers.
        """
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        processors, gpus = resources.get("CPU", 1), resources.get("GPU", 0)
        limits = [(processors - 1) / self.num_cpus] if self.num_cpus else []
        limits += [gpus / self.num_gpus] if self.num_gpus else []
        capacity = int(min(limits, default=processors))
        if capacity < (self.concurrency or 1):
            raise UsageError(
                f"{self.concurrency or 1} workers with {self.num_cpus:g} processors and"
                f" {self.num_gpus:g} GPUs each do not fit into a cluster of {processors:g} processors"
                f" and {gpus:g} GPUs, of which one processor is reserved for reading and writing: give"
                " a smaller --num-cpus, --num-gpus or --concurrency"
            )
        return self.concurrency or capacity

    @property
    def resources(self) -> dict[str, Any]:
        """Ray's arguments for the resources of one worker."""
        gpus = {"num_gpus": self.num_gpus} if self.num_gpus else {}
        return {"num_cpus": self.num_cpus, **gpus}


@dataclass(frozen=True)
class ModelRef:
    """A model file in Ray's object store, made by `put_model`."""

    data: ray.ObjectRef[bytes]  # the bytes of the file
    name: str
    sha256: str
    manifest: Manifest
    model_spec: ModelSpec | None = None  # for an ONNX file without ptx metadata

    def open(self, backend: str, options: Options) -> Predictor:
        """Open the model in a worker; see `open_in_worker`."""
        data = ray.get(self.data)
        return open_in_worker(PredictorSpec(data, self.name, backend, options, self.model_spec))


def open_in_worker(spec: PredictorSpec) -> Predictor:
    """Open a predictor with a thread for each processor that Ray has assigned to this worker.

    `threads` in the options takes precedence. Outside a worker the default is one thread.
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


def put_model(model: str | Path | Artifact, model_spec: ModelSpec | None = None) -> ModelRef:
    """Put a model file into Ray's object store, where all workers read it.

    Raises:
        ArtifactError: it cannot be read, or its content digest does not match.
    """
    artifact = model if isinstance(model, Artifact) else read_artifact(model)
    if model_spec is not None:
        from ptx.infer.external.adapter import adapt_artifact

        manifest = adapt_artifact(artifact, model_spec).manifest
    else:
        manifest = artifact.require_manifest()
    return ModelRef(
        ray.put(artifact.data), str(artifact.path), artifact.sha256, manifest, model_spec
    )


class Predict:
    """A worker for `map_batches(Predict, batch_format="pyarrow", fn_constructor_kwargs={"model": …})`.

    Args:
        model: The result of `put_model`; a path would have to exist on every machine.
        backend: As in `ptx.infer.load`. It is opened when the worker starts; on an error the job fails.
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
        """The table with the columns of `ptx.scale.prediction_schema`."""
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
    """The dataset with added columns of predictions.

    Args:
        model: A path on this machine, or the result of `put_model`.
        backend: As in `ptx.infer.load`; it is opened once on a worker before any data is read.
        workers: The resources of each worker and the number of workers.
        options: How the backend is opened. By default with a thread for each processor of the worker.
        batch_options: `column`, `top`, `batch_size` and `prefix`, as in `ptx.scale.batch`.

    Raises:
        BackendError: the backend is not available on the workers.
        ArtifactError: the file cannot be used.
    """
    workers = workers or Workers()
    ref = model if isinstance(model, ModelRef) else put_model(model)
    options = options or Options()
    preflight_check(ref, backend, options, workers)
    arguments = {"model": ref, "backend": backend, "options": options, **batch_options}
    return map_on_workers(dataset, Predict, arguments, workers)


def map_on_workers(
    dataset: ray.data.Dataset, worker: type, arguments: dict[str, Any], workers: Workers
) -> ray.data.Dataset:
    """Map the tables of a dataset with actors of the class `worker(**arguments)`."""
    from ray.data import ActorPoolStrategy  # importing it takes half a second

    min_size = 1 if workers.concurrency is None else workers.concurrency
    return dataset.map_batches(
        worker,
        fn_constructor_kwargs=arguments,
        batch_format="pyarrow",
        batch_size=4 * arguments.get("batch_size", BATCH),
        zero_copy_batch=True,
        compute=ActorPoolStrategy(min_size=min_size, max_size=workers.max_count),
        max_task_retries=MAX_ATTEMPTS - 1,  # Ray's default is to retry forever
        **workers.resources,
    )


def preflight_check(model: ModelRef, backend: str, options: Options, workers: Workers) -> None:
    """Open the backend once on a worker, so that an error is raised before any data is read.

    Raises:
        PtxError: the error of opening the backend on the worker.
    """
    remote: Any = ray.remote
    task = remote(max_retries=0, **workers.resources)(_open_once)
    with unwrap_ray_errors():
        ray.get(task.remote(model, backend, options))


def _open_once(model: ModelRef, backend: str, options: Options) -> None:
    model.open(backend, options).close()


@contextmanager
def unwrap_ray_errors() -> Iterator[None]:
    """Raise the PtxError of a worker without the Ray errors that wrap it."""
    try:
        yield
    except Exception as error:
        cause = next((each for each in causes(error) if isinstance(each, PtxError)), None)
        if cause is None:
            raise
        raise cause from None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The chain of causes of an error, without Ray's wrappers."""
    while error is not None:
        if not isinstance(error, ray.exceptions.RayError):
            yield error
        inner = getattr(error, "cause", None)
        error = inner if isinstance(inner, BaseException) else error.__cause__ or error.__context__
