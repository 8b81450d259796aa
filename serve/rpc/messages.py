"""An inference request in gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ptx.serve.messages import Asked, Wanted, check_parameters, read_classes, read_timeout
from ptx.serve.refusals import bad
from ptx.serve.tensors import BYTES, DATATYPES, Tensor, check_shape, from_bytes

_CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents",
    "INT32": "int_contents", "INT64": "int64_contents", "UINT8": "uint_contents",
    "UINT16": "uint_contents", "UINT32": "uint_contents", "UINT64": "uint64_contents",
    "FP32": "fp32_contents", "FP64": "fp64_contents", BYTES: "bytes_contents",
}  # fmt: skip


def read_message(given: Any) -> Asked:
    """The request in a message.

    Raises:
        RefusalError: it says two things at once, or nothing.
    """
    parameters = _parameters(given.parameters, "the request")
    raw = given.raw_input_contents
    if raw and len(raw) != len(given.inputs):
        raise bad(f"there are {len(raw)} raw_input_contents for {len(given.inputs)} inputs")
    if not given.inputs:
        raise bad("the request has no inputs")
    inputs = [_input(item, raw[index] if raw else None) for index, item in enumerate(given.inputs)]
    outputs = [
        Wanted(item.name, read_classes(item.name, _parameters(item.parameters, item.name).get(
            "classification", 0)))
        for item in given.outputs
    ]  # fmt: skip
    timeout = read_timeout(parameters.get("timeout"))
    return Asked(inputs, outputs, given.id, timeout, binary=True)


def _input(item: Any, raw: bytes | None) -> Tensor:
    _parameters(item.parameters, item.name)
    name, datatype, shape = item.name, item.datatype, check_shape(item.name, tuple(item.shape))
    if raw is not None:
        if item.HasField("contents"):
            raise bad(f"input {name!r} has contents beside raw_input_contents")
        return from_bytes(name, datatype, shape, raw)
    field = _CONTENTS.get(datatype)
    if field is None:
        known = ", ".join(_CONTENTS)
        raise bad(f"input {name!r} has the datatype {datatype[:80]!r}; contents know {known}")
    if any(found.name != field for found, _ in item.contents.ListFields()):
        raise bad(f"input {name!r} is {datatype} and has contents of another type")
    values: Sequence[Any] = getattr(item.contents, field)
    if np.prod(shape, dtype=object) != len(values):
        raise bad(f"input {name!r} has {len(values)} values; its shape has another number")
    if datatype == BYTES:
        return Tensor(name, datatype, shape, list(values))
    try:
        array = np.array(values, DATATYPES[datatype])
    except OverflowError as error:
        raise bad(f"input {name!r} has values that do not fit into {datatype}") from error
    return Tensor(name, datatype, shape, array.reshape(shape))


def _parameters(given: Any, whose: str) -> dict[str, Any]:
    check_parameters(given, whose)
    return {name: getattr(value, value.WhichOneof("parameter_choice") or "bool_param")
            for name, value in given.items()}  # fmt: skip
