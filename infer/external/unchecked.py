"""Input checks for an external file, most of which are left to ONNX Runtime.

Type, rank and fixed sizes are checked here, so that the messages are those of any other file. Axes with
the same name may have different sizes, sizes may be 0, and a value may be a sequence or absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

import numpy as np

from ptx.infer.artifact.manifest import Manifest
from ptx.infer.backends import Backend
from ptx.infer.checks import (
    as_array,
    check_limits,
    check_outputs,
    check_shape,
    check_values,
    is_finite,
    not_finite,
    wrong_names,
)
from ptx.infer.errors import InputError
from ptx.infer.signature import ANY_SHAPE, Array, Signature, TensorSpec
from ptx.infer.tasks import TASKS, decoded_outputs


def run_unchecked(
    manifest: Manifest, backend: Backend, inputs: Mapping[str, Any], *, finite: bool
) -> dict[str, Any]:
    """The outputs of the backend: arrays, lists of arrays for sequences, None for absent optionals.

    Raises:
        InputError: the inputs do not match the signature.
        ArtifactError: an output does not match the model spec or the task, or is not finite.
    """
    values, sizes = check_unchecked_inputs(manifest.signature, inputs, finite=finite)
    outputs = backend.run(values)
    specs = manifest.signature.outputs
    decoded = decoded_outputs(manifest.task, specs, len(manifest.labels))
    if not TASKS[manifest.task].has_decoder:
        decoded = ()
    checked = [spec for spec in specs if spec in decoded or not spec.unchecked]
    for spec in checked:
        # Axes that no input has, such as the size of a class map, have the size that is computed.
        shape = getattr(outputs.get(spec.name), "shape", ())
        for axis, size in zip_longest(spec.axes, shape, fillvalue=0):
            if isinstance(axis, str):
                sizes.setdefault(axis, int(size))
    check_outputs(checked, outputs, sizes, finite=finite)
    for spec in specs if finite else ():
        for array in arrays_of(outputs[spec.name]):
            if not is_finite(array):
                raise not_finite(spec)
    return outputs


def check_unchecked_inputs(
    signature: Signature, inputs: Mapping[str, Any], *, finite: bool
) -> tuple[dict[str, Any], dict[str, int]]:
    """As `ptx.infer.checks.check_inputs`, for a signature with unchecked tensors.

    Raises:
        InputError: an input is missing or unknown; its type, rank or a fixed size is wrong; it has
            values that are not finite although `finite`; or it does not match the model spec.
    """
    if not isinstance(inputs, Mapping) or set(inputs) != {spec.name for spec in signature.inputs}:
        raise wrong_names(signature, inputs)
    sizes: dict[str, int] = {}
    values = {}
    for spec in signature.inputs:
        value = inputs[spec.name]
        if spec.unchecked:
            values[spec.name] = _as_runtime_value(spec, spec.dtype, value)
            shape = getattr(values[spec.name], "shape", ())
            for axis, size in zip(spec.axes, shape, strict=False):
                if isinstance(axis, str):
                    sizes.setdefault(axis, size)
            continue
        values[spec.name] = as_array(spec, value)
        check_shape(spec, values[spec.name], sizes)
    check_limits(signature, sizes)
    for spec in signature.inputs:
        for array in arrays_of(values[spec.name]):
            check_values(spec, array, sizes, finite=finite)
    return values, sizes


def arrays_of(value: Any) -> Iterator[Array]:
    """The arrays in a value: one of a tensor, several of a sequence, none of an absent optional."""
    if isinstance(value, list):
        for part in value:
            yield from arrays_of(part)
    elif value is not None:
        yield value


def _as_runtime_value(spec: TensorSpec, kind: str, value: Any) -> Any:
    """The value as ONNX Runtime accepts it.

    Args:
        kind: The type of the value, which may be an element of the type of `spec`.
    """
    container, _, inner = kind.removesuffix(")").partition("(")
    if container == "optional":
        return None if value is None else _as_runtime_value(spec, inner, value)
    if container == "sequence":
        if not isinstance(value, list | tuple):
            raise InputError(
                f"input {spec.name!r} is a {type(value).__name__}; expected a list of NumPy arrays:"
                f" {spec.dtype}",
                code="E-TYPE",
            )
        return [_as_runtime_value(spec, inner, part) for part in value]
    if isinstance(value, bool | int | float | np.generic):
        value = np.asarray(value)
    array = as_array(spec, value)
    rank_ok = spec.axes == (ANY_SHAPE,) or len(array.shape) == len(spec.axes)
    sizes = zip(array.shape, spec.axes, strict=False)
    if not rank_ok or any(isinstance(axis, int) and axis != size for size, axis in sizes):
        raise InputError(
            f"input {spec.name!r} has shape {array.shape}; expected {spec.describe()}",
            code="E-SHAPE",
        )
    return array
