"""Input checks for an external file: what only its graph specifies is left to ONNX Runtime.

A rank, a fixed size and a type are looked at here, so that the message is that of any other file; sizes
that are named alike may differ and may be 0, and a tensor may be a sequence, or left out.
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
from ptx.infer.tasks import TASKS


def run_unchecked(
    manifest: Manifest, backend: Backend, inputs: Mapping[str, Any], *, finite: bool
) -> dict[str, Any]:
    """What the backend answers: arrays, lists of them for sequences, None for what is left out.

    Raises:
        InputError: the inputs do not fit.
        ArtifactError: an output is not as the model spec or the task says, or not finite.
    """
    values, sizes = check_unchecked_inputs(manifest.signature, inputs, finite=finite)
    outputs = backend.run(values)
    outputs_of_manifest = manifest.signature.outputs
    read = outputs_of_manifest[0].name if TASKS[manifest.task].has_decoder else None
    held = [spec for spec in outputs_of_manifest if spec.name == read or not spec.unchecked]
    for spec in held:
        # Axes that no input has, such as the size of a class map, have the size that is computed.
        shape = getattr(outputs.get(spec.name), "shape", ())
        for axis, size in zip_longest(spec.axes, shape, fillvalue=0):
            if isinstance(axis, str):
                sizes.setdefault(axis, int(size))
    check_outputs(held, outputs, sizes, finite=finite)
    for spec in outputs_of_manifest if finite else ():
        for array in arrays_of(outputs[spec.name]):
            if not is_finite(array):
                raise not_finite(spec)
    return outputs


def check_unchecked_inputs(
    signature: Signature, inputs: Mapping[str, Any], *, finite: bool
) -> tuple[dict[str, Any], dict[str, int]]:
    """As `ptx.infer.checks.check_inputs`, for a signature that is unchecked.

    Raises:
        InputError: a missing or unknown input, a wrong type, rank or fixed size; where all must be
            `finite` one that is not; where a model spec says an input, all that it does not allow.
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
    """The arrays of a tensor, of a sequence, or of nothing."""
    if isinstance(value, list):
        for part in value:
            yield from arrays_of(part)
    elif value is not None:
        yield value


def _as_runtime_value(spec: TensorSpec, kind: str, value: Any) -> Any:
    """The value as ONNX Runtime takes it; `kind`: of the part of the tensor's type that it is."""
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
    rank_fits = spec.axes == (ANY_SHAPE,) or len(array.shape) == len(spec.axes)
    fixed = zip(array.shape, spec.axes, strict=False)
    if not rank_fits or any(isinstance(axis, int) and axis != size for size, axis in fixed):
        raise InputError(
            f"input {spec.name!r} has shape {array.shape}; expected {spec.describe()}",
            code="E-SHAPE",
        )
    return array
