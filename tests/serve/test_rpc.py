"""gRPC by its messages: what a client may send that it should not, and who goes away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from ptx.serve import Source
from ptx.serve.rpc.schema import MESSAGES, SERVICE

from .conftest import Acting, Serve, Served
from .test_slow import until

X = np.zeros((1, 1, 28, 28), np.float32)
SHAPE = {"name": "image", "datatype": "FP32", "shape": [1, 1, 28, 28]}


def call(channel: Any, method: str = "ModelInfer") -> Any:
    return channel.unary_unary(
        f"/{SERVICE}/{method}",
        request_serializer=MESSAGES[f"{method}Request"].SerializeToString,
        response_deserializer=MESSAGES[f"{method}Response"].FromString,
    )


def message(**changes: Any) -> Any:
    return MESSAGES["ModelInferRequest"](
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
        message(inputs=[{"name": "picture", "datatype": "BYTES", "shape": [1]}],
                raw_input_contents=[b"\x04\0\0\0none"]),
        "INVALID_ARGUMENT",
    ),
}  # fmt: skip


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


def test_115_what_was_cancelled_is_not_run(serve: Serve, predictor: Any) -> None:
    hold, rows = threading.Event(), list[int]()

    def before(inputs: Any) -> None:
        rows.append(len(inputs["image"]))
        hold.wait(20)

    acting = Acting(predictor, before)
    served = serve(Source("convnet", lambda: acting))
    batcher = served.registry.find("convnet")
    batcher._least = {False: 1.0, True: 1.0}  # so that it runs in the thread
    acting.armed = True
    with grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel:
        first = call(channel).future(message(), timeout=20)
        assert until(lambda: rows == [1])
        cancelled, late = (call(channel).future(message(), timeout=t) for t in (20, 1.5))
        assert until(lambda: batcher._rows[False] == 2)
        cancelled.cancel()
        assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        waiting = [job for queue in batcher._waiting.values() for job in queue]
        assert until(lambda: all(job.deliver is None for job in waiting))  # the server knows it too
        hold.set()
        first.result(20)
        assert until(lambda: batcher.idle)
    assert rows == [1]
    served.good()


def test_health_and_reflection(channel: Any) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", SERVICE):
        status = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=20).status
        assert status == health_pb2.HealthCheckResponse.SERVING
    database = ProtoReflectionDescriptorDatabase(channel)
    assert {SERVICE, "grpc.health.v1.Health"} <= set(database.get_services())
    assert database.FindFileContainingSymbol(SERVICE).package == "inference"
