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
    """The Ray cluster, the columns of its tables, and the resources of each worker."""

    on: str | None
    address: str | None
    column: str | None
    prefix: str | None
    num_cpus: float | None
    num_gpus: float | None
    concurrency: int | None


def predict_on_ray(
    inputs: tuple[str, ...],
    resolved: ResolvedModel,
    opening: infer.Options,
    request: PredictOptions,
    cluster: RayOptions,
) -> int:
    """Predict the inputs on the cluster, with at least three labels; returns the exit code."""
    if request.output is None:
        raise UsageError("--on ray writes a folder of Parquet files: use --output DIR")
    # Path has removed one of the two slashes of a URI.
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
            backend=resolved.backend,
            options=opening,
            column=cluster.column,
            top=max(request.top, 3),
            batch_size=request.batch_size,
            prefix=cluster.prefix or "",
            workers=workers,
        )
        model = put_model(resolved.artifact, resolved.model_spec)
        succeeded, failed = predict_files(inputs, model, output, job, resume=request.resume)
    echo(f"{output}: {summary(succeeded, failed)}")
    return 4 if failed else 0


@contextmanager
def _ray(address: str | None) -> Iterator[None]:
    """Connect Ray to a cluster, or to one that runs on this machine until the block ends."""
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    _prepare(local=address == "local")
    try:
        import pyarrow  # noqa: F401 - part of the extra; Ray imports it only when there is data
        import ray.data
    except ModuleNotFoundError as error:
        raise BackendError(f"{error.name} is not installed: {install_hint('ray')}") from error
    starts_ray = not ray.is_initialized()
    if starts_ray:
        # One CPU more than there are, for reading and writing, which take little time.
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
        if starts_ray:
            ray.shutdown()


def _prepare(*, local: bool) -> None:
    """Set the environment variables that Ray reads on import, unless the user has set them."""
    set_default = os.environ.setdefault
    set_default("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry
    set_default("RAY_DATA_LOG_LEVEL", "ERROR")  # Ray configures its loggers on import
    set_default(
        "RAY_worker_niceness", "0"
    )  # with the default, 15, other processes starve the workers
    if local and "RAY_AUTH_MODE" not in os.environ:
        # A token for this job only: Ray would write one into the user's home folder, and without a
        # token anyone who can reach the ports of the cluster could run programs.
        os.environ["RAY_AUTH_MODE"] = "token"
        set_default("RAY_AUTH_TOKEN", secrets.token_hex(32))
