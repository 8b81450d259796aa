"""Real Ray Serve, on one local cluster for all of these tests."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray

from ptx import infer
from ptx.infer.artifact.artifact import read_artifact
from ptx.infer.backends import Options
from ptx.infer.errors import ArtifactError
from ptx.scale.ray import open_in_worker
from ptx.scale.spec import PredictorSpec

with warnings.catch_warnings():  # of pydantic, about Ray
    warnings.simplefilter("ignore", DeprecationWarning)
    from ray import serve

    from ptx.scale.ray_serve import deployment

pytestmark = pytest.mark.filterwarnings("default")  # Ray's own

slow = pytest.mark.skipif("PTX_SCALE" not in os.environ, reason="scripts/test --scale runs it")
PICTURES = sorted((Path(__file__).parents[1] / "pictures").glob("mnist-*.png"))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of the HTTP proxy."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ray.init(
        num_cpus=3, include_dashboard=False, object_store_memory=80 * 2**20, log_to_driver=False
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()  # type: ignore[no-untyped-call]
    ray.shutdown()


@pytest.fixture(autouse=True)
def no_deployment_is_left() -> Iterator[None]:
    yield
    if ray.is_initialized():
        serve.delete("default")


def post(url: str, data: bytes) -> Any:
    request = urllib.request.Request(url, data=data)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.loads(response.read())


def post_until_answered(url: str, data: bytes) -> tuple[Any, list[int]]:
    """The answer, and the status codes of the attempts that failed before; 0: no connection."""
    codes: list[int] = []
    for _ in range(200):
        try:
            return post(url, data), codes
        except OSError as error:
            codes.append(error.code if isinstance(error, urllib.error.HTTPError) else 0)
            time.sleep(0.1)
    raise TimeoutError(url)


def replicas(name: str = "convnet") -> int:
    states = serve.status().applications["default"].deployments[name].replica_states
    return next((n for state, n in states.items() if state == "RUNNING"), 0)


def replica_pids() -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"ServeReplica:default:convnet" in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_a_deployment_answers_as_the_predictor_does(address: str, convnet: Path) -> None:
    serve.run(deployment(convnet, name="convnet", backend="ort-cpu").bind(), route_prefix="/digits")
    assert post(f"{address}/digits/v2/repository/index", b"")[0]["name"] == "convnet"
    with infer.load(convnet, backend="ort-cpu", threads=1) as predictor:
        for picture in PICTURES[:5]:
            answer = post(f"{address}/digits/predict/convnet", picture.read_bytes())
            expected = json.loads(json.dumps(predictor.predict(picture, top=3).to_data()))
            assert {key: answer[key] for key in ("label", "score", "top")} == {
                key: expected[key] for key in ("label", "score", "top")
            }
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(f"{address}/digits/predict/convnet", b"bad")
    assert caught.value.code == 422


def test_a_damaged_file_is_not_deployed(convnet: Path, tmp_path: Path) -> None:
    data = bytearray(convnet.read_bytes())
    data[len(data) // 2] ^= 1
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(data)
    with pytest.raises(ArtifactError) as caught:
        deployment(damaged)
    assert caught.value.code in ("E-HASH", "E-ONNX-PARSE")


@slow
def test_a_replica_that_gets_other_bytes_is_not_ready(address: str, convnet: Path) -> None:
    data = bytearray(convnet.read_bytes())
    data[len(data) // 2] ^= 1
    changed = replace(read_artifact(convnet), data=bytes(data))
    with pytest.raises(RuntimeError):
        serve.run(deployment(changed, name="convnet").bind())
    message = serve.status().applications["default"].deployments["convnet"].message
    assert "ArtifactError" in message
    assert "has changed since it was written" in message


@slow
def test_a_killed_replica_is_replaced_and_clients_that_retry_lose_nothing(
    address: str, convnet: Path
) -> None:
    served = deployment(
        convnet, name="convnet", backend="ort-cpu", num_replicas=1, health_check_period_s=1
    )
    serve.run(served.bind())
    url = f"{address}/v2/models/convnet/infer"
    # Large, so that the replica is always busy with one.
    image = {"name": "image", "datatype": "FP32", "shape": [1000, 1, 28, 28], "data": [0] * 784_000}
    data = json.dumps({"inputs": [image]}, separators=(",", ":")).encode()
    expected = post(url, data)
    (old,) = replica_pids()
    answers: list[tuple[Any, list[int]]] = []

    def ask() -> None:
        answers.extend(post_until_answered(url, data) for _ in range(20))

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    while len(answers) < 1:
        time.sleep(0.01)
    os.kill(old, signal.SIGKILL)
    for client in clients:
        client.join()
    assert len(answers) == 80
    assert all(answer == expected for answer, _ in answers)
    failed = [code for _, codes in answers for code in codes]
    assert failed, "no request was in flight"
    assert set(failed) == {500}
    assert replica_pids() != [old]
    assert replicas() == 1


@slow
def test_load_adds_replicas(address: str, convnet: Path) -> None:
    scaling = {
        "min_replicas": 1,
        "max_replicas": 2,
        "target_ongoing_requests": 1,
        "upscale_delay_s": 0.5,
        "look_back_period_s": 2,
        "metrics_interval_s": 0.5,
    }
    serve.run(deployment(convnet, name="convnet", autoscaling_config=scaling).bind())
    url, data = f"{address}/predict/convnet", PICTURES[0].read_bytes()
    assert replicas() == 1
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            post_until_answered(url, data)

    clients = [threading.Thread(target=ask) for _ in range(8)]
    for client in clients:
        client.start()
    limit = time.monotonic() + 60
    while replicas() < 2 and time.monotonic() < limit:
        time.sleep(0.2)
    done.set()
    for client in clients:
        client.join()
    assert replicas() == 2


def count_threads(spec: PredictorSpec) -> int:
    """The threads of this worker that a predictor has started."""
    import onnxruntime  # noqa: F401 - which may start threads of its own

    tasks = Path("/proc/self/task")
    before = len(list(tasks.iterdir()))
    with open_in_worker(spec):
        return len(list(tasks.iterdir())) - before


def test_a_worker_has_a_thread_for_each_of_its_processors(address: str, convnet: Path) -> None:
    remote: Any = ray.remote(num_cpus=3)(count_threads)
    started = [
        ray.get(
            remote.remote(
                PredictorSpec(
                    convnet.read_bytes(), "convnet.onnx", "ort-cpu", Options(threads=threads)
                )
            )
        )
        for threads in (None, 1)
    ]
    assert started[0] - started[1] == 2
