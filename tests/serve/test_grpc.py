"""gRPC by its messages: what a client may send that it should not, and who goes away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from ptx.infer import Predictor
from ptx.serve import ModelSource, Settings
from ptx.serve.grpc.protobuf import grpc_service_pb2 as pb2
from ptx.serve.grpc.servicer import SERVICE

from .conftest import Acting, Served, serving, until

X = np.zeros((1, 1, 28, 28), np.float32)
SHAPE = {"name": "image", "datatype": "FP32", "shape": [1, 1, 28, 28]}


def call(channel: Any, method: str = "ModelInfer") -> Any:
    return channel.unary_unary(
        f"/{SERVICE}/{method}",
        request_serializer=getattr(pb2, f"{method}Request").SerializeToString,
        response_deserializer=getattr(pb2, f"{method}Response").FromString,
    )


def message(**changes: Any) -> Any:
    return pb2.ModelInferRequest(
        **{"model_name": "convnet", "inputs": [SHAPE], "raw_input_contents": [X.tobytes()]}
        | changes
    )


@pytest.fixture
def channel(served: Served) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as one:
        yield one


CONTENTS = SHAPE | {"contents": {"fp32_contents": [0.0] * 784}}
CASES = {
    "111 over the limit": (message(raw_input_contents=[bytes(5 * 2**20)]), "RESOURCE_EXHAUSTED"),
    "112 raw and contents": (message(inputs=[CONTENTS]), "INVALID_ARGUMENT"),
    "113 count of raw": (message(raw_input_contents=[b"", b""]), "INVALID_ARGUMENT"),
    "114 contents of another type": (
        message(inputs=[SHAPE | {"contents": {"int_contents": [0] * 784}}], raw_input_contents=[]),
        "INVALID_ARGUMENT",
    ),
    "no inputs": (message(inputs=[], raw_input_contents=[]), "INVALID_ARGUMENT"),
    "shape of -1": (message(inputs=[SHAPE | {"shape": [-1]}]), "INVALID_ARGUMENT"),
    "too few contents": (
        message(inputs=[SHAPE | {"contents": {"fp32_contents": [0.0]}}], raw_input_contents=[]),
        "INVALID_ARGUMENT",
    ),
    "shared memory": (
        message(inputs=[SHAPE | {"parameters": {"shared_memory_region": {"string_param": "a"}}}]),
        "INVALID_ARGUMENT",
    ),
    "unknown model": (message(model_name="nobody"), "NOT_FOUND"),
    "a picture that is none": (
        message(
            inputs=[{"name": "picture", "datatype": "BYTES", "shape": [1]}],
            raw_input_contents=[b"\x04\0\0\0none"],
        ),
        "INVALID_ARGUMENT",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_has_its_code_and_others_their_answer(served: Served, channel: Any, case: str) -> None:
    given, code = CASES[case]
    with pytest.raises(grpc.RpcError) as found:
        call(channel)(given, timeout=20)
    assert found.value.code().name == code, found.value.details()
    assert len(call(channel)(message(), timeout=20).raw_output_contents[0]) == 40
    served.good()


def test_contents_by_their_type_give_the_same(channel: Any) -> None:
    typed = call(channel)(message(inputs=[CONTENTS], raw_input_contents=[]), timeout=20)
    assert typed.raw_output_contents == call(channel)(message(), timeout=20).raw_output_contents


def test_115_what_was_cancelled_is_not_run(predictor: Predictor) -> None:
    hold, rows = threading.Event(), list[int]()

    def before(inputs: Any) -> None:
        rows.append(len(inputs["image"]))
        hold.wait(20)

    acting = Acting(predictor, before)
    with serving(
        [ModelSource("convnet", lambda: acting)], Settings(max_wait=30), grpc=True
    ) as served:
        acting.armed = True
        with grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel:
            first = call(channel).future(message(), timeout=20)
            assert until(lambda: rows == [1])
            cancelled, late = (call(channel).future(message(), timeout=t) for t in (20, 1.5))
            assert until(lambda: served.waiting == 2)
            waiting = [job for queue in served.batcher._queues.values() for job in queue]
            cancelled.cancel()
            assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert until(lambda: all(job.result.cancelled() for job in waiting))
            hold.set()
            first.result(20)
            assert until(lambda: served.batcher.idle)
        assert rows == [1]
        served.good()


def test_bytes_that_are_no_message_are_the_clients_fault(channel: Any) -> None:
    raw = channel.unary_unary(f"/{SERVICE}/ModelInfer")
    with pytest.raises(grpc.RpcError) as found:
        raw(b"\xff\xff\xff", timeout=20)
    assert found.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_token_is_needed_except_for_health(source: Callable[[str], ModelSource]) -> None:
    settings = Settings(tokens=("secret",))
    with (
        serving([source("convnet")], settings, grpc=True) as served,
        grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel,
    ):
        with pytest.raises(grpc.RpcError) as found:
            call(channel)(message(), timeout=20)
        assert found.value.code() is grpc.StatusCode.UNAUTHENTICATED
        metadata = [("authorization", "Bearer secret")]
        assert call(channel)(message(), timeout=20, metadata=metadata).model_name == "convnet"
        stub = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=20).status


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_describes_the_service(channel: Any, version: str) -> None:
    reflect = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    services, file = reflect(iter(asked), timeout=20)
    names = {one.name for one in services.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"} <= names
    files = [
        FileDescriptorProto.FromString(one)
        for one in file.file_descriptor_response.file_descriptor_proto
    ]
    assert files[0].package == "inference"


def test_health_of_server_and_service(channel: Any) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", SERVICE):
        status = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=20).status
        assert status == health_pb2.HealthCheckResponse.SERVING
