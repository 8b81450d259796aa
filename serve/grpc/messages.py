"""Inference requests and responses of gRPC."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ptx.serve.codec import (
    InferRequest,
    RequestedOutput,
    check_parameters,
    read_classes,
    read_timeout,
)
from ptx.serve.errors import bad_request
from ptx.serve.grpc.protobuf import grpc_service_pb2 as pb2
from ptx.serve.tensors import BYTES, DATATYPES, Tensor, check_shape, from_bytes, to_bytes

# Datatype → field of InferTensorContents. FP16 has none.
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}


def decode_request(message: Any) -> InferRequest:
    """The request in a `ModelInferRequest`.

    Raises:
        RequestError: 400.
    """
    parameters = _read_parameters(message.parameters, "the request")
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise bad_request(
            f"there are {len(raw)} raw_input_contents for {len(message.inputs)} inputs"
        )
    if not message.inputs:
        raise bad_request("the request has no inputs")
    inputs = [
        _read_input(item, raw[index] if raw else None) for index, item in enumerate(message.inputs)
    ]
    outputs = []
    for item in message.outputs:
        classes = _read_parameters(item.parameters, item.name).get("classification", 0)
        outputs.append(RequestedOutput(item.name, read_classes(item.name, classes)))
    timeout = read_timeout(parameters.get("timeout"))
    return InferRequest(inputs, outputs, message.id, timeout, binary=True)


def _read_input(item: Any, raw: bytes | None) -> Tensor:
    _read_parameters(item.parameters, item.name)
    name, datatype, shape = item.name, item.datatype, check_shape(item.name, tuple(item.shape))
    if raw is not None:
        if item.HasField("contents"):
            raise bad_request(f"input {name!r} has both contents and raw_input_contents")
        return from_bytes(name, datatype, shape, raw)
    field = _CONTENTS.get(datatype)
    if field is None:
        raise bad_request(
            f"input {name!r} has the datatype {datatype[:80]!r}; contents take {', '.join(_CONTENTS)}"
        )
    if any(other.name != field for other, _ in item.contents.ListFields()):
        raise bad_request(f"input {name!r} is {datatype} and has contents of another type")
    values: Sequence[Any] = getattr(item.contents, field)
    if math.prod(shape) != len(values):
        raise bad_request(
            f"input {name!r} has {len(values)} values; its shape needs {math.prod(shape)}"
        )
    if datatype == BYTES:
        return Tensor(name, datatype, shape, list(values))
    try:
        array = np.array(values, DATATYPES[datatype])
    except OverflowError as error:
        raise bad_request(f"input {name!r} has values outside the range of {datatype}") from error
    return Tensor(name, datatype, shape, array.reshape(shape))


def _read_parameters(parameters: Any, owner: str) -> dict[str, Any]:
    check_parameters(parameters, owner)
    return {
        name: getattr(value, value.WhichOneof("parameter_choice") or "bool_param")
        for name, value in parameters.items()
    }


def encode_response(
    model: str,
    version: str,
    request: InferRequest,
    outputs: list[Tensor],
    parameters: Mapping[str, bool | str],
) -> Any:
    """The `ModelInferResponse` of a request."""
    response = pb2.ModelInferResponse(model_name=model, model_version=version, id=request.id)
    for tensor in outputs:
        response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        response.raw_output_contents.append(to_bytes(tensor))
    for name, value in parameters.items():
        if isinstance(value, bool):
            response.parameters[name].bool_param = value
        else:
            response.parameters[name].string_param = value
    return response
