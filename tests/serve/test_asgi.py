"""The application in other applications, and on other servers."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

import ptx.serve
from ptx.infer import ArtifactError, Predictor, UsageError, load

from .conftest import BODY, HEADER, PATH, free_port

DIGIT = (Path(__file__).parents[1] / "pictures" / "mnist-7.png").read_bytes()


def ask(app: Any, method: str, path: str, **request: Any) -> httpx.Response:
    """The response of an application in this process, whose lifespan is not run."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **request)

    return asyncio.run(send())


@pytest.fixture
def app(predictor: Predictor) -> ASGIApp:
    return ptx.serve.app({"convnet": predictor})


def test_it_answers_in_the_process_as_predict_does(app: ASGIApp, predictor: Predictor) -> None:
    response = ask(app, "POST", "/predict/convnet", content=DIGIT)
    assert response.json() == predictor.predict(DIGIT).to_data()
    assert ask(app, "POST", PATH, content=BODY, headers=HEADER).status_code == 200


def test_it_is_mounted_in_fastapi_with_middleware(app: ASGIApp) -> None:
    """Starlette does not run the lifespan of what is mounted, so nothing may depend on it."""
    outer = FastAPI()
    outer.mount("/models", CORSMiddleware(app, allow_origins=["https://example.org"]))
    assert ask(outer, "POST", f"/models{PATH}", content=BODY, headers=HEADER).status_code == 200
    response = ask(outer, "GET", "/models/v2", headers={"Origin": "https://example.org"})
    assert response.headers["access-control-allow-origin"] == "https://example.org"
    assert ask(outer, "GET", "/models/").text.startswith("<!doctype html>")
    assert ask(outer, "GET", "/v2").status_code == 404


def test_the_health_of_a_mounted_application_needs_no_token(predictor: Predictor) -> None:
    outer = FastAPI()
    outer.mount(
        "/models", ptx.serve.app({"convnet": predictor}, ptx.serve.Settings(tokens=("secret",)))
    )
    assert ask(outer, "GET", "/models/v2/health/live").status_code == 200
    assert ask(outer, "GET", "/models/v2").status_code == 401


def test_a_model_that_cannot_be_served_makes_no_application(artifact: Any, tmp_path: Path) -> None:
    data = bytearray(artifact("convnet", "onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "broken.onnx").write_bytes(data)
    with pytest.raises(ArtifactError):
        ptx.serve.app({"convnet": lambda: load(tmp_path / "broken.onnx")})
    with pytest.raises(UsageError):
        ptx.serve.app({"a/b": lambda: load(artifact("convnet", "onnx"))})


def test_every_error_is_json(app: ASGIApp) -> None:
    for method, path in (("GET", "/nothing"), ("DELETE", "/v2"), ("POST", PATH)):
        assert ask(app, method, path).json()["error"]


SERVERS = {
    "hypercorn": ["-m", "hypercorn", "served:app", "--bind", "127.0.0.1:{port}"],
    "granian": ["-m", "granian", "served:app", "--interface", "asgi", "--port", "{port}"],
    "uvicorn": ["-m", "uvicorn", "served:app", "--port", "{port}", "--http", "h11"],
}


@pytest.fixture
def other_server(
    artifact: Callable[[str, str], Path], tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The address of the application on another server."""
    name = request.param
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    port = free_port()
    path = artifact("convnet", "onnx")
    (tmp_path / "served.py").write_text(
        f"import ptx.serve, ptx.infer\napp = ptx.serve.app({{'convnet': ptx.infer.load({str(path)!r})}})"
    )
    command = [word.format(port=port) for word in SERVERS[name]]
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"{address}/v2/health/live", timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield address
        finally:
            process.terminate()


@pytest.mark.parametrize("other_server", SERVERS, indirect=True)
def test_it_runs_on_another_server(other_server: str) -> None:
    with httpx.Client(base_url=other_server) as client:
        assert client.post(PATH, content=BODY, headers=HEADER).status_code == 200
        assert client.post("/predict/convnet", content=b"none").status_code == 422
        assert client.get("/v2/health/ready").json() == {"ready": True}
