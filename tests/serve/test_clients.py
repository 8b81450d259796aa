"""Clients of others, unmodified: tritonclient over HTTP and gRPC, curl."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException

from ptx.infer import load

from .conftest import Served

DIGIT = Path(__file__).parents[1] / "pictures" / "mnist-7.png"
HTTP, GRPC = tritonclient.http, tritonclient.grpc


@pytest.fixture(autouse=True, scope="session")
def _no_second_close() -> Iterator[None]:
    """The HTTP client closes itself again when it is collected, which gevent forbids other threads.

    To the end of the session: what is collected later is not of this file any more.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(HTTP.InferenceServerClient, "__del__")
        yield


@pytest.fixture(params=[HTTP, GRPC], ids=["http", "grpc"])
def library(request: pytest.FixtureRequest) -> ModuleType:
    found: ModuleType = request.param
    return found


@pytest.fixture
def client(library: ModuleType, served: Served) -> Any:
    port = served.port if library is HTTP else served.grpc_port
    with library.InferenceServerClient(f"127.0.0.1:{port}") as one:
        yield one


def as_dict(message: Any) -> Any:
    """What a client shows of an answer: JSON over HTTP, a message over gRPC."""
    if isinstance(message, dict | list):
        return message
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message, preserving_proto_field_name=True)


def tensor(library: ModuleType, name: str, array: Any, datatype: str, **how: Any) -> Any:
    given = library.InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array, **how)
    return given


def pictures(count: int) -> Any:
    return np.random.default_rng(0).random((count, 1, 28, 28), np.float32)


def test_every_method_that_shows_something(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("convnet")
    assert client.is_model_ready("convnet", "1")
    assert not client.is_model_ready("nobody")
    assert "binary_tensor_data" in as_dict(client.get_server_metadata())["extensions"]
    metadata = as_dict(client.get_model_metadata("convnet"))
    assert metadata["platform"] == "onnxruntime_onnx"
    assert [(one["name"], one["datatype"]) for one in metadata["inputs"]] == [("image", "FP32")]
    assert [int(size) for size in metadata["inputs"][0]["shape"]] == [-1, 1, 28, 28]
    config = as_dict(client.get_model_config("convnet"))
    config = config.get("config", config)
    assert config["input"][0]["format"] == "FORMAT_NCHW"
    assert int(config["max_batch_size"]) == 64
    index = as_dict(client.get_model_repository_index())
    names = {one["name"] for one in (index if isinstance(index, list) else index["models"])}
    assert names == {"convnet", "lstm", "name-classifier", "diabetes"}
    assert not as_dict(client.get_system_shared_memory_status())
    assert not as_dict(client.get_cuda_shared_memory_status())


def test_statistics_count_rows_and_runs(client: Any, library: ModuleType) -> None:
    def counted() -> tuple[int, int]:
        (model,) = as_dict(client.get_inference_statistics("diabetes"))["model_stats"]
        return int(model.get("inference_count", 0)), int(model.get("execution_count", 0))

    rows, runs = counted()
    client.infer(
        "diabetes", [tensor(library, "row", np.array([b"1,2,3,4,5,6,7,8"] * 3, object), "BYTES")]
    )
    assert counted() == (rows + 3, runs + 1)


@pytest.mark.parametrize("packing", [None, "gzip", "deflate"])
def test_tensors_give_what_the_predictor_gives(
    client: Any, library: ModuleType, artifact: Any, packing: str | None
) -> None:
    images = pictures(5)
    more = (
        {}
        if library is GRPC or not packing
        else {"request_compression_algorithm": packing, "response_compression_algorithm": packing}
    )
    answer = client.infer("convnet", [tensor(library, "image", images, "FP32")], **more)
    with load(artifact("convnet", "onnx"), backend="ort-cpu") as predictor:
        expected = predictor.run({"image": images})["logits"]
    assert np.array_equal(answer.as_numpy("logits"), expected)


def test_json_gives_the_same_as_binary(served: Served, artifact: Any) -> None:
    with HTTP.InferenceServerClient(f"127.0.0.1:{served.port}") as client:
        images = pictures(2)
        wanted = [HTTP.InferRequestedOutput("logits", binary_data=False)]
        given = [tensor(HTTP, "image", images, "FP32", binary_data=False)]
        in_json = client.infer("convnet", given, outputs=wanted, request_id="seven")
        in_bytes = client.infer("convnet", [tensor(HTTP, "image", images, "FP32")])
    assert in_json.get_response()["id"] == "seven"
    assert np.array_equal(in_json.as_numpy("logits"), in_bytes.as_numpy("logits"))


def test_a_picture_gives_its_label(client: Any, library: ModuleType, artifact: Any) -> None:
    files = np.array([DIGIT.read_bytes()] * 2, object)
    answer = client.infer("convnet", [tensor(library, "picture", files, "BYTES")])
    with load(artifact("convnet", "onnx"), backend="ort-cpu") as predictor:
        expected = predictor.predict(DIGIT)
    assert answer.as_numpy("label").tolist() == [str(expected.label).encode()] * 2
    assert answer.as_numpy("score").tolist() == [expected.score] * 2


def test_the_classes_are_ranked_with_their_labels(client: Any, library: ModuleType) -> None:
    wanted = [library.InferRequestedOutput("logits", class_count=3)]
    answer = client.infer(
        "convnet", [tensor(library, "image", pictures(2), "FP32")], outputs=wanted
    )
    rows = answer.as_numpy("logits")
    assert rows.shape == (2, 3)
    for row in rows:
        values, places, labels = zip(*(text.decode().split(":") for text in row), strict=True)
        assert places == labels
        assert sorted(map(float, values), reverse=True) == list(map(float, values))


def test_several_inputs_of_whole_numbers(client: Any, library: ModuleType, artifact: Any) -> None:
    words = np.array([[72, 105, 0], [65, 98, 99]], np.int64)
    lengths = np.array([2, 3], np.int64)
    with load(artifact("name-classifier", "onnx"), backend="ort-cpu") as predictor:
        names = [spec.name for spec in predictor.signature.inputs]
        expected = predictor.run(dict(zip(names, (words, lengths), strict=True)))
    answer = client.infer(
        "name-classifier",
        [
            tensor(library, names[0], words, "INT64"),
            tensor(library, names[1], lengths, "INT64"),
        ],
    )
    ((name, logits),) = expected.items()
    assert np.array_equal(answer.as_numpy(name), logits)


def test_a_model_whose_batch_is_its_second_axis(client: Any, library: ModuleType) -> None:
    sequence = np.random.default_rng(0).random((28, 3, 28), np.float32)
    answer = client.infer("lstm", [tensor(library, "sequence", sequence, "FP32")])
    assert answer.as_numpy("logits").shape == (3, 10)


def test_errors_are_the_protocols(client: Any, library: ModuleType) -> None:
    given = [tensor(library, "image", pictures(1), "FP32")]
    with pytest.raises(InferenceServerException, match="Request for unknown model") as found:
        client.infer("nobody", given)
    assert found.value.status() in ("404", "StatusCode.NOT_FOUND")
    with pytest.raises(InferenceServerException, match="unexpected input 'picture2'") as found:
        client.infer("convnet", [tensor(library, "picture2", pictures(1), "FP32")])
    assert found.value.status() in ("400", "StatusCode.INVALID_ARGUMENT")
    for call in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException, match=r"--reload|unloading"):
            call("convnet")
    with pytest.raises(InferenceServerException):
        client.register_system_shared_memory("a", "/b", 10)


@pytest.mark.parametrize(
    "library", [tritonclient.http.aio, tritonclient.grpc.aio], ids=["http", "grpc"], indirect=False
)
def test_asyncio_clients(library: Any, served: Served) -> None:
    port = served.port if library is tritonclient.http.aio else served.grpc_port

    async def ask() -> Any:
        async with library.InferenceServerClient(f"127.0.0.1:{port}") as client:
            assert await client.is_server_live()
            given = [tensor(library, "image", pictures(4), "FP32")]
            answers = await asyncio.gather(*(client.infer("convnet", given) for _ in range(8)))
            return [answer.as_numpy("logits") for answer in answers]

    found = asyncio.run(ask())
    assert all(np.array_equal(one, found[0]) for one in found)


def test_116_an_error_within_a_stream_leaves_it_open(served: Served) -> None:
    found: list[Any] = []
    with GRPC.InferenceServerClient(f"127.0.0.1:{served.grpc_port}") as client:
        client.start_stream(lambda result, error: found.append(error or result))
        good = [tensor(GRPC, "image", pictures(1), "FP32")]
        client.async_stream_infer("convnet", good)
        client.async_stream_infer("nobody", good)
        client.async_stream_infer("convnet", good)
        client.stop_stream()
    assert [isinstance(one, InferenceServerException) for one in found] == [False, True, False]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(served: Served) -> None:
    done = subprocess.run(
        [
            "curl",
            "-s",
            "--data-binary",
            f"@{DIGIT}",
            f"http://127.0.0.1:{served.port}/predict/convnet?top=2",
        ],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    assert '"label"' in done.stdout
    assert done.stdout.count('"score"') == 3
