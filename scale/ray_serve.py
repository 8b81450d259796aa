"""A model on Ray Serve, with the Open Inference Protocol over HTTP.

>>> from ray import serve
>>> from ptx.scale.ray_serve import deployment
>>> serve.run(deployment("digits.onnx", autoscaling_config={"max_replicas": 8}).bind())

Replicas, autoscaling, health checks and routing are Ray's; each replica runs `ptx.serve.app`. Needs the
extra `ray-serve`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import serve

from ptx.infer.artifact.artifact import Artifact, read_artifact
from ptx.infer.backends import Options
from ptx.infer.errors import ArtifactError
from ptx.infer.predictor import Predictor
from ptx.infer.verification import failures
from ptx.scale.ray import open_in_worker
from ptx.scale.spec import PredictorSpec
from ptx.serve import Settings, app

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from ptx.infer.external.spec import ModelSpec

__all__ = ["deployment"]

# Ray's default of 5 is too low for batching: requests that arrive during a run form the next batch.
MAX_ONGOING_REQUESTS = 128


def deployment(
    model: str | Path | Artifact,
    *,
    name: str | None = None,
    backend: str = "auto",
    options: Options | None = None,
    model_spec: ModelSpec | None = None,
    settings: Settings | None = None,
    **deployment_options: Any,
) -> serve.Deployment:
    """A deployment that responds as `ptx serve` does.

    The file is read and its content digest is checked here; its bytes travel with the deployment. Each
    replica opens it and replays its golden samples before it receives requests.

    Args:
        model: A model file on this machine.
        name: The name under which the model is served; by default the file name without its extension.
        backend: As in `ptx.infer.load`.
        options: How the backend is opened. ONNX Runtime gets as many threads as the replica has
            processors, unless `threads` is given.
        model_spec: The specification of an ONNX file without ptx metadata.
        settings: The limits of each replica.
        deployment_options: Arguments of `ray.serve.deployment`, such as `autoscaling_config` and
            `ray_actor_options`. By default `max_ongoing_requests` is 128.

    Raises:
        ArtifactError: the file cannot be read, or its content digest does not match.
    """
    artifact = model if isinstance(model, Artifact) else read_artifact(model)
    if model_spec is None:
        artifact.require_manifest()
    spec = PredictorSpec(
        artifact.data, str(artifact.path), backend, options or Options(), model_spec
    )
    served_name = name or artifact.path.stem
    settings = settings or Settings()

    @serve.ingress()
    class Replica:
        def __init__(self) -> None:
            self._predictor = open_in_worker(spec)
            self._app = app({served_name: self._predictor}, settings)

        def __serve_build_asgi_app__(self) -> ASGIApp:
            return self._app

        async def check_health(self) -> None:
            await asyncio.to_thread(_check_golden_samples, self._predictor)

    defaults: dict[str, Any] = {"name": served_name, "max_ongoing_requests": MAX_ONGOING_REQUESTS}
    result: serve.Deployment = serve.deployment(**{**defaults, **deployment_options})(Replica)
    return result


def _check_golden_samples(predictor: Predictor) -> None:
    """Raise an error if the backend does not reproduce the golden samples of the file."""
    manifest = predictor.manifest
    if manifest.golden and (failed := failures(predictor, manifest)):
        details = "; ".join(f"{check.name}: {check.detail}" for check in failed)
        raise ArtifactError(f"the golden samples fail: {details}", code="E-OUTPUT")
