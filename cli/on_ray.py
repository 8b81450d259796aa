"""`ptx predict --on ray`: the same predictions from a cluster, into a folder of Parquet files."""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ptx import infer
from ptx.cli.local_prediction import PredictOptions
from ptx.cli.model import ResolvedModel
from ptx.cli.predictions import summary
from ptx.cli.streams import echo
from ptx.infer.errors import BackendError, UsageError, install_hint, quote


@dataclass(frozen=True)
class RayOptions:
    """Where the Ray cluster is, and what each of its workers takes."""

    on: str | None
    address: str | None
    column: str | None
    prefix: str | None
    num_cpus: float | None
    num_gpus: float | None
    concurrency: int | None


def predict_on_ray(
    inputs: tuple[str, ...],
    found: ResolvedModel,
    asked: infer.Options,
    request: PredictOptions,
    cluster: RayOptions,
) -> int:
    """Predict the inputs on the cluster, with at least three labels."""
    if request.output is None:
        raise UsageError("--on ray writes a folder of Parquet files: use --output DIR")
    # A path made of a URI has lost one of its two slashes.
    output = os.fspath(request.output).replace(":/", "://", 1)
    with _ray(cluster.address):
        from ptx.scale.ray import Workers, put_model
        from ptx.scale.ray_files import PredictionJob, predict_files

        workers = Workers(
            num_cpus=cluster.num_cpus or 1,
            num_gpus=cluster.num_gpus or 0,
            concurrency=cluster.concurrency,
        )
        job = PredictionJob(
            backend=found.backend,
            options=asked,
            column=cluster.column,
            top=max(request.top, 3),
            batch_size=request.batch_size,
            prefix=cluster.prefix or "",
            workers=workers,
        )
        model = put_model(found.artifact, found.model_spec)
        succeeded, failed = predict_files(inputs, model, output, job, resume=request.resume)
    echo(f"{output}: {summary(succeeded, failed)}")
    return 4 if failed else 0


@contextmanager
def _ray(address: str | None) -> Iterator[None]:
    """Ray, connected to a cluster, or to one of this machine that ends with the block."""
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    _prepare(local=address == "local")
    try:
        import pyarrow  # noqa: F401 - of the same extra, and Ray does without it until it has data
        import ray.data
    except ModuleNotFoundError as error:
        raise BackendError(f"{error.name} is not installed: {install_hint('ray')}") from error
    own = not ray.is_initialized()
    if own:
        # A processor more than there are: reading and writing, which need one, are small work.
        local: dict[str, Any] = {"include_dashboard": False, "num_cpus": (os.cpu_count() or 1) + 1}
        try:
            ray.init(
                address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **(local if address == "local" else {}),
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            text = f"cannot connect to a Ray cluster at {quote(address)}: {error}"
            raise BackendError(" ".join(text.split())) from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = sys.stderr.isatty()
    context.print_on_execution_start = False
    try:
        yield
    finally:
        if own:
            ray.shutdown()


def _prepare(*, local: bool) -> None:
    """What Ray reads from the environment when it is imported, where the user has not said it."""
    said = os.environ.setdefault
    said("RAY_USAGE_STATS_ENABLED", "0")  # ptx never phones home
    said("RAY_DATA_LOG_LEVEL", "ERROR")  # it sets up its loggers anew when it is imported
    said("RAY_worker_niceness", "0")  # 15 by default: they would starve next to any other work
    if local and "RAY_AUTH_MODE" not in os.environ:
        # A token of this job alone: Ray would write one into the user's home, and without any whoever
        # reaches the cluster's ports could run programs.
        os.environ["RAY_AUTH_MODE"] = "token"
        said("RAY_AUTH_TOKEN", secrets.token_hex(32))
