"""The one array guard, in front of every backend: the same check and the same text for all of them.

The runtimes differ or fall over: ONNX Runtime reads big-endian arrays as garbage, takes the index −1,
and aborts the process on an empty batch into an LSTM; eager PyTorch answers a picture of 29×29.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ptx.infer.errors import InputError, nearest
from ptx.infer.signature import BATCH, Array, Signature, TensorSpec, bound

_PIECE = 8192  # numbers; from 10,000 on OpenBLAS would wake its threads


def check_inputs(
    signature: Signature, inputs: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, int]]:
    """The inputs as the backends take them, and the sizes of the dynamic axes.

    Arrays come back native-endian, C-contiguous and in the signature's dtype (float16 and float64
    become float32, any integer type becomes int64; the values must survive it).

    Raises:
        InputError: a missing or unknown input, a wrong type, rank or axis, a value that is not
            finite, an index out of range, or a length of 0 on an axis that is not the batch.
    """
    plain = signature.plain_input
    if plain is not None and _is_ready(plain, inputs):
        array = inputs[plain.name]
        return {plain.name: array}, {BATCH: array.shape[0]}
    if not isinstance(inputs, Mapping) or len(inputs) != len(signature.inputs):
        raise _wrong_names(signature, inputs)
    arrays: dict[str, Array] = {}
    sizes: dict[str, int] = {}
    for spec in signature.inputs:
        try:
            array = inputs[spec.name]
        except KeyError:
            raise _wrong_names(signature, inputs) from None
        if type(array) is not np.ndarray or array.dtype is not spec.numpy_dtype:
            array = _converted(spec, array)
        _check_shape(spec, array, sizes)
        arrays[spec.name] = array if array.flags.c_contiguous else np.ascontiguousarray(array)
    for spec in signature.inputs:
        _check_values(spec, arrays[spec.name], sizes)
    return arrays, sizes


def is_finite(array: Array) -> bool:
    """Whether all values are finite."""
    # The product of values with themselves is quickly there, and holds what is not finite in any of
    # them.
    if array.flags.c_contiguous and math.isfinite(_product(array)):
        return True
    # It may have overflowed.
    # Counting takes half the time of `.all()` on the array of one sample.
    return int(np.count_nonzero(np.isfinite(array))) == array.size


def _product(array: Array) -> float:
    """The sum of the squares of a contiguous array, in its own precision."""
    if array.size <= _PIECE:
        return float(np.vdot(array, array))
    flat = array.reshape(-1)
    whole = array.size - array.size % _PIECE
    pieces, rest = flat[:whole].reshape(-1, _PIECE), flat[whole:]
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.vecdot(pieces, pieces).sum() + np.vdot(rest, rest))


def _is_ready(spec: TensorSpec, inputs: Mapping[str, Array]) -> bool:
    """Whether the common case is at hand: one array that passes all checks as it is."""
    if type(inputs) is not dict or len(inputs) != 1:
        return False
    array = inputs.get(spec.name)
    return (
        type(array) is np.ndarray
        and array.dtype is spec.numpy_dtype
        and array.ndim == len(spec.axes)
        and array.shape[1:] == spec.axes[1:]
        and array.flags.c_contiguous
        and is_finite(array)
    )


def _wrong_names(signature: Signature, inputs: Mapping[str, Array]) -> InputError:
    expected = [spec.name for spec in signature.inputs]
    if not isinstance(inputs, Mapping):
        return InputError(
            f"inputs are a {type(inputs).__name__}; expected a mapping of {expected} to arrays",
            code="E-TYPE",
        )
    got = [str(name) for name in inputs]
    unknown = [name for name in got if name not in expected]
    hint = f": {nearest(unknown[0], expected)}" if unknown else ""
    return InputError(f"inputs are named {got}; expected {expected}{hint}", code="E-NAME")


def _converted(spec: TensorSpec, array: Any) -> Array:
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
        raise InputError(
            f"input {spec.name!r} is a {type(array).__name__}; expected a NumPy array of"
            f" {spec.dtype} {spec.describe()}",
            code="E-TYPE",
        )
    kind = array.dtype.kind
    if (spec.dtype, kind) not in {("float32", "f"), ("int64", "i"), ("int64", "u")}:
        raise InputError(
            f"input {spec.name!r} has dtype {array.dtype}; expected {spec.dtype}: convert and scale"
            " it as the model expects",
            code="E-TYPE",
        )
    with np.errstate(over="ignore"):
        converted: Array = array.astype(spec.numpy_dtype, order="C", subok=False)
    survived = (
        bool(np.array_equal(converted, array))
        if spec.dtype == "int64"
        else is_finite(converted) or not is_finite(array)
    )
    if not survived:
        raise InputError(
            f"input {spec.name!r} has values that do not fit into {spec.dtype}", code="E-RANGE"
        )
    return converted


def _check_shape(spec: TensorSpec, array: Array, sizes: dict[str, int]) -> None:
    shape = array.shape
    if len(shape) != len(spec.axes):
        hint = ": add a leading batch axis" if len(shape) == len(spec.axes) - 1 else ""
        raise InputError(
            f"input {spec.name!r} has shape {shape}; expected {spec.describe()}{hint}",
            code="E-SHAPE",
        )
    for size, axis in zip(shape, spec.axes, strict=True):
        if size == axis:
            continue
        if isinstance(axis, int):
            raise InputError(
                f"input {spec.name!r} has shape {shape}; expected {spec.describe()}", code="E-SHAPE"
            )
        if sizes.setdefault(axis, size) != size:
            raise InputError(
                f"input {spec.name!r} has {axis} {size} in shape {shape}; another input has"
                f" {axis} {sizes[axis]}",
                code="E-SHAPE",
            )
        if size == 0 and axis != "batch":
            raise InputError(
                f"input {spec.name!r} has shape {shape}: its {axis} is 0; expected at least 1",
                code="E-SHAPE",
            )


def _check_values(spec: TensorSpec, array: Array, sizes: dict[str, int]) -> None:
    if not array.size:
        return
    if spec.dtype == "float32":
        if not is_finite(array):
            where = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
            raise InputError(
                f"input {spec.name!r} has {array[where]} at {where}; expected finite numbers",
                code="E-NONFINITE",
            )
    elif spec.bounds is not None:
        low, high = bound(spec, sizes)
        if array.min() < low or array.max() > high:
            wrong = int(array[(array < low) | (array > high)].flat[0])
            raise InputError(
                f"input {spec.name!r} has the value {wrong}; expected {low} to {high}",
                code="E-RANGE",
            )
