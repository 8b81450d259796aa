"""Inference requests and responses of HTTP: JSON, followed by tensors in binary."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from ptx.serve.errors import RequestError, bad_request
from ptx.serve.tensors import Tensor, check_shape, from_bytes, from_json, to_bytes, to_json

_WBITS = {"gzip": 31, "deflate": 15}  # zlib's code of the format of each content coding


class RequestedOutput(NamedTuple):
    """An output that the client requests.

    Attributes:
        classes: Number of classes to rank, for the classification extension; 0: none.
        binary: Whether it is sent in binary.
    """

    name: str
    classes: int = 0
    binary: bool = False


@dataclass(slots=True)
class InferRequest:
    """A request for inference, from HTTP or gRPC.

    Attributes:
        outputs: Empty: all.
        timeout: Seconds within which the run must begin.
        binary: Whether outputs that are not listed are sent in binary.
        top: Labels to rank for each row of a raw input.
    """

    inputs: list[Tensor]
    outputs: list[RequestedOutput] = field(default_factory=list)
    id: str = ""
    timeout: float | None = None
    binary: bool = False
    top: int = 0


def decode_request(body: bytes, header_size: int | None) -> InferRequest:
    """The request in a body whose first `header_size` bytes are JSON; None: all of them.

    Raises:
        RequestError: 400.
    """
    text = body if header_size is None else body[:header_size]
    binary = memoryview(b"" if header_size is None else body)[header_size or 0 :]
    try:
        data = orjson.loads(text)
    except ValueError as error:
        raise bad_request("the request is not valid JSON") from error
    if not isinstance(data, dict):
        raise bad_request("the request is not a JSON object")
    parameters = _read_parameters(data, "the request")
    items = data.get("inputs")
    if not isinstance(items, list) or not items:
        raise bad_request("the request has no inputs")
    inputs, position = [], 0
    for item in items:
        tensor, size = _read_input(item, binary[position:])
        inputs.append(tensor)
        position += size
    if position != len(binary):
        raise bad_request(f"the body has {len(binary) - position} bytes after the last tensor")
    binary_output = _read_flag(parameters, "binary_data_output", False)
    return InferRequest(
        inputs,
        _read_outputs(data.get("outputs", []), binary_output),
        _read_string(data, "id", ""),
        read_timeout(parameters.get("timeout")),
        binary_output,
    )


def _read_input(item: Any, binary: memoryview) -> tuple[Tensor, int]:
    """A tensor, and how many bytes of the binary data it uses."""
    if not isinstance(item, dict):
        raise bad_request("an input is not a JSON object")
    name, datatype = _read_string(item, "name"), _read_string(item, "datatype")
    shape = check_shape(name, item.get("shape"))
    size = _read_parameters(item, f"input {name!r}").get("binary_data_size")
    if size is None:
        return from_json(name, datatype, shape, item.get("data")), 0
    if "data" in item:
        raise bad_request(
            f"input {name!r} has both data and binary_data_size; expected one of them"
        )
    if type(size) is not int or not 0 <= size <= len(binary):
        raise bad_request(f"input {name!r}: binary_data_size is larger than the rest of the body")
    return from_bytes(name, datatype, shape, binary[:size]), size


def read_timeout(value: Any) -> float | None:
    """The parameter `timeout`, in microseconds, as seconds; 0 means none."""
    if value is None or value == 0:
        return None
    if type(value) is not int or value < 0:
        raise bad_request("the parameter timeout is not a number of microseconds")
    return value / 1e6


def _read_outputs(data: Any, binary: bool) -> list[RequestedOutput]:
    if not isinstance(data, list):
        raise bad_request("outputs is not a list")
    outputs = []
    for item in data:
        if not isinstance(item, dict):
            raise bad_request("an output is not a JSON object")
        name = _read_string(item, "name")
        parameters = _read_parameters(item, f"output {name!r}")
        classes = read_classes(name, parameters.get("classification", 0))
        outputs.append(
            RequestedOutput(name, classes, _read_flag(parameters, "binary_data", binary))
        )
    return outputs


def read_classes(name: str, value: Any) -> int:
    """The parameter `classification` of an output."""
    if type(value) is not int or value < 0:
        raise bad_request(f"output {name!r}: classification is not a number of classes")
    return value


def check_parameters(names: Iterable[str], owner: str) -> None:
    """Raise RequestError for unsupported parameters that must not be ignored."""
    for name in names:
        if name.startswith("shared_memory"):
            raise bad_request(f"{owner} has the parameter {name}; shared memory is not supported")


def _read_parameters(data: dict[str, Any], owner: str) -> dict[str, Any]:
    parameters = data.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise bad_request(f"the parameters of {owner} are not a JSON object")
    check_parameters(parameters, owner)
    return parameters


def _read_string(data: dict[str, Any], key: str, default: str | None = None) -> str:
    value = data.get(key, default)
    if not isinstance(value, str):
        raise bad_request(f"{key!r} is missing or not a string")
    return value


def _read_flag(parameters: dict[str, Any], name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise bad_request(f"the parameter {name} is neither true nor false")
    return value


def encode_response(
    model: str,
    version: str,
    request: InferRequest,
    outputs: list[Tensor],
    parameters: Mapping[str, bool | str],
) -> tuple[bytes, int | None]:
    """The body of the response, and how many bytes of it are JSON; None: all of them."""
    binary = {output.name: output.binary for output in request.outputs}
    parts: list[bytes] = []
    items = []
    for tensor in outputs:
        item: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": tensor.shape,
        }
        if binary.get(tensor.name, request.binary):
            parts.append(to_bytes(tensor))
            item["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            item["data"] = to_json(tensor)
        items.append(item)
    response: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": items}
    if parameters:
        response["parameters"] = parameters
    if request.id:
        response["id"] = request.id
    text = orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join((text, *parts)), len(text)) if parts else (text, None)


def decompress(data: bytes, coding: str, limit: int) -> bytes:
    """Decode a body that has the content coding `gzip` or `deflate`.

    Raises:
        RequestError: 415 for another coding, 413 above `limit` bytes, 400 if it is damaged.
    """
    wbits = _WBITS.get(coding.strip().lower())
    if wbits is None:
        raise RequestError(415, "the content coding is not supported; expected gzip or deflate")
    decoder = zlib.decompressobj(wbits)
    try:
        body = decoder.decompress(data, limit + 1)
    except zlib.error as error:
        raise bad_request(f"the body is not valid {coding}") from error
    if len(body) > limit:
        raise RequestError(413, f"the body has more than {limit} bytes (--max-body)")
    if not decoder.eof or decoder.unused_data:
        raise bad_request(f"the body is not exactly one {coding} stream")
    return body
