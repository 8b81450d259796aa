"""An inference request and its answer in HTTP: JSON, with tensors in binary behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from ptx.serve.refusals import bad
from ptx.serve.tensors import Tensor, check_shape, from_bytes, from_json, to_bytes, to_json

_REMEMBERED = 1024  # bytes of JSON that are worth it


class Wanted(NamedTuple):
    """An output that the client asks for."""

    name: str
    classes: int = 0  # of the classification extension
    binary: bool = False


@dataclass(slots=True)
class Asked:
    """A request for one run, however it came."""

    inputs: list[Tensor]
    outputs: list[Wanted] = field(default_factory=list)  # none: all
    id: str = ""
    timeout: float | None = None  # seconds that the client waits
    binary: bool = False  # for outputs that are not listed
    top: int = 0  # labels of each row, of the card's own input


class _Input(NamedTuple):
    """A tensor as the JSON of a request describes it; its bytes follow, or `data` holds it."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    size: int | None
    data: Any


class _Head(NamedTuple):
    """What the JSON of a request says."""

    inputs: list[_Input]
    outputs: list[Wanted]
    id: str
    timeout: float | None
    binary: bool


def read_request(body: bytes, header: int | None) -> Asked:
    """The request in a body whose first `header` bytes are JSON: all of them where there is none."""
    if header is None:
        head, binary = _read_head(body), memoryview(b"")
    else:
        text = body[:header]
        head = _remembered_head(text) if header <= _REMEMBERED else _read_head(text)
        binary = memoryview(body)[header:]
    inputs, place = [], 0
    for name, datatype, shape, size, data in head.inputs:
        if size is None:
            inputs.append(from_json(name, datatype, shape, data))
            continue
        if size > len(binary) - place:
            raise bad(f"input {name!r}: binary_data_size is not within the body")
        inputs.append(from_bytes(name, datatype, shape, binary[place : place + size]))
        place += size
    if place != len(binary):
        raise bad(f"there are {len(binary) - place} bytes behind the last tensor")
    return Asked(inputs, head.outputs, head.id, head.timeout, head.binary)


def _read_head(text: bytes) -> _Head:
    try:
        data = orjson.loads(text)
    except ValueError as error:
        raise bad("the request is not valid JSON") from error
    if not isinstance(data, dict):
        raise bad("the request is no JSON object")
    parameters = _parameters(data, "the request")
    given = data.get("inputs")
    if not isinstance(given, list) or not given:
        raise bad("the request has no inputs")
    inputs = [_input(item) for item in given]
    timeout = read_timeout(parameters.get("timeout"))
    binary = _flag(parameters, "binary_data_output", False)
    outputs = _outputs(data.get("outputs", []), binary)
    return _Head(inputs, outputs, _text(data, "id", ""), timeout, binary)


# A client says the same of each of its tensors, and only the bytes behind it differ.
_remembered_head = lru_cache(256)(_read_head)


def raw_request(body: bytes, name: str, datatype: str, shape: tuple[int, ...]) -> Asked:
    """A body that is one tensor and nothing else."""
    return Asked([from_bytes(name, datatype, shape, body)], binary=True)


def read_timeout(value: Any) -> float | None:
    """Microseconds as seconds; 0 is none."""
    if value is None or value == 0:
        return None
    if type(value) is not int or value < 0:
        raise bad("the parameter timeout is no number of microseconds")
    return value / 1e6


def _input(item: Any) -> _Input:
    if not isinstance(item, dict):
        raise bad("an input is no JSON object")
    name, datatype = _text(item, "name"), _text(item, "datatype")
    shape = check_shape(name, item.get("shape"))
    size = _parameters(item, f"input {name!r}").get("binary_data_size")
    if size is None:
        return _Input(name, datatype, shape, None, item.get("data"))
    if "data" in item:
        raise bad(f"input {name!r} has data and binary_data_size; expected one of them")
    if type(size) is not int or size < 0:
        raise bad(f"input {name!r}: binary_data_size is not within the body")
    return _Input(name, datatype, shape, size, None)


def _outputs(data: Any, binary: bool) -> list[Wanted]:
    if not isinstance(data, list):
        raise bad("outputs is no list")
    found = []
    for item in data:
        if not isinstance(item, dict):
            raise bad("an output is no JSON object")
        name = _text(item, "name")
        parameters = _parameters(item, f"output {name!r}")
        classes = read_classes(name, parameters.get("classification", 0))
        found.append(Wanted(name, classes, _flag(parameters, "binary_data", binary)))
    return found


def read_classes(name: str, value: Any) -> int:
    """The parameter `classification` of an output."""
    if type(value) is not int or value < 0:
        raise bad(f"output {name!r}: classification is no number of classes")
    return value


def check_parameters(names: Any, whose: str) -> None:
    """Refuse those that cannot be heeded and must not be passed over; others are ignored."""
    for name in names:
        if name.startswith("shared_memory"):
            raise bad(f"{whose} has the parameter {name}: there is no shared memory here")


def _parameters(data: dict[str, Any], whose: str) -> dict[str, Any]:
    found = data.get("parameters")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise bad(f"the parameters of {whose} are no JSON object")
    check_parameters(found, whose)
    return found


def _text(data: dict[str, Any], key: str, default: str | None = None) -> str:
    value = data.get(key, default)
    if not isinstance(value, str):
        raise bad(f"{key!r} is missing or no text")
    return value


def _flag(parameters: dict[str, Any], name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise bad(f"the parameter {name} is neither true nor false")
    return value


def write_answer(
    model: str, version: str, asked: Asked, outputs: list[Tensor]
) -> tuple[bytes, int | None]:
    """The body, and how many bytes of it are JSON: None where all are."""
    wanted = {item.name: item.binary for item in asked.outputs}
    parts: list[bytes] = []
    described = []
    for tensor in outputs:
        item: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": tensor.shape,
        }
        if wanted.get(tensor.name, asked.binary):
            parts.append(to_bytes(tensor))
            item["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            item["data"] = to_json(tensor)
        described.append(item)
    answer: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": described}
    if asked.id:
        answer["id"] = asked.id
    text = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join((text, *parts)), len(text)) if parts else (text, None)
