"""Whether a label may be wrong, in the parameters of responses over HTTP and gRPC."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from ptx.infer import Prediction, Predictor, read_artifact
from ptx.infer.backends import Options, open_backend
from ptx.serve import ModelSource
from ptx.serve.grpc.protobuf import grpc_service_pb2 as pb2
from ptx.serve.grpc.servicer import SERVICE
from ptx.serve.model import response_parameters

TEXTS = ["Satoshi", "Ivanov"]


def prediction(error_probability: float) -> Prediction:
    judge = partial(float, error_probability)
    return Prediction("a", 0.9, (("a", 0.9),), None, "m", "b", compute_error_probability=judge)


def test_the_rows_of_low_confidence_are_named() -> None:
    rows = [prediction(one) for one in (0.9, 0.1, 0.6)]
    assert response_parameters(rows) == {"low_confidence": True, "low_confidence_rows": "0,2"}
    assert response_parameters(rows[1:2]) == {"low_confidence": False}


def test_what_has_no_label_has_no_confidence() -> None:
    value = Prediction(None, None, (), 1.0, "m", "b")
    assert response_parameters([value]) == {}
    assert response_parameters({}) == {}


@pytest.mark.parametrize("low", [True, False])
def test_both_protocols_say_what_predict_says(
    serve: Callable[..., Any], artifact: Callable[[str, str], Path], low: bool
) -> None:
    """The network is untrained: its logits are nearly equal, unless a temperature parts them."""
    read = read_artifact(artifact("name-classifier", "onnx"))
    calibration = {"temperature": 1.0 if low else 0.01}

    def opened() -> Predictor:
        manifest = replace(read.require_manifest(), calibration=calibration)
        return Predictor(manifest, lambda: open_backend("ort-cpu", read, Options()))

    with opened() as predictor:
        flags = [one.low_confidence for one in predictor.predict_many(TEXTS)]
    expected: dict[str, Any] = {"low_confidence": any(flags)}
    if any(flags):
        rows = [str(row) for row, flag in enumerate(flags) if flag]
        expected["low_confidence_rows"] = ",".join(rows)
    assert any(flags) == low

    served = serve(ModelSource("names", opened), server={"grpc": True})
    tensor = {"name": "text", "datatype": "BYTES", "shape": [len(TEXTS)]}
    body = json.dumps({"inputs": [tensor | {"data": TEXTS}]}).encode()
    assert served.infer(body, model="names").json["parameters"] == expected

    contents = {"bytes_contents": [text.encode() for text in TEXTS]}
    message = pb2.ModelInferRequest(model_name="names", inputs=[tensor | {"contents": contents}])
    with grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel:
        call = channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=pb2.ModelInferRequest.SerializeToString,
            response_deserializer=pb2.ModelInferResponse.FromString,
        )
        parameters = call(message).parameters
    found = {
        name: getattr(value, str(value.WhichOneof("parameter_choice")))
        for name, value in parameters.items()
    }
    assert found == expected
