"""Checks of input and output arrays: the same checks and messages for every backend.

The runtimes themselves differ: ONNX Runtime reads big-endian arrays as garbage, accepts the index −1,
and aborts the process on an empty batch for an LSTM; eager PyTorch accepts an image of 29×29.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ptx.infer.errors import ArtifactError, InputError, did_you_mean
from ptx.infer.signature import (
    BATCH,
    Array,
    Signature,
    TensorSpec,
    bound,
)

if TYPE_CHECKING:
    from ptx.infer.backends.ort.device_arrays import DeviceArray

# Kind of the signature's dtype → kinds of NumPy dtypes that are converted to it.
_CONVERTIBLE = {"f": "f", "i": "iu", "u": "iu", "b": "b"}


def check_inputs(
    signature: Signature, inputs: Mapping[str, Array], *, finite: bool = True
) -> tuple[dict[str, Array], dict[str, int]]:
    """The checked inputs, ready for a backend, and the sizes of the dynamic axes.

    The arrays returned are native-endian, C-contiguous and of the signature's dtype. Any float dtype is
    converted to the signature's float dtype, any integer dtype to its integer dtype, if no value changes
    beyond rounding.

    Args:
        finite: Whether infinities and NaN are errors.

    Raises:
        InputError: a missing or unknown input, a wrong type, rank or axis, a size outside the limits
            of its axis, a value that is not finite, an index out of range, or a length of 0 on an axis
            that is not the batch.
    """
    if not isinstance(inputs, Mapping) or len(inputs) != len(signature.inputs):
        raise wrong_names(signature, inputs)
    arrays: dict[str, Array] = {}
    sizes: dict[str, int] = {}
    for spec in signature.inputs:
        try:
            array = as_array(spec, inputs[spec.name])
        except KeyError:
            raise wrong_names(signature, inputs) from None
        check_shape(spec, array, sizes)
        arrays[spec.name] = array
    check_limits(signature, sizes)
    for spec in signature.inputs:
        check_values(spec, arrays[spec.name], sizes, finite=finite)
    return arrays, sizes


def check_device_inputs(
    signature: Signature,
    inputs: Mapping[str, Any],
    import_array: Callable[[TensorSpec, Any], DeviceArray],
    *,
    finite: bool = True,
) -> tuple[dict[str, Array | DeviceArray], dict[str, int]]:
    """The same for inputs of which some are on a device; the values of these are not checked.

    Args:
        import_array: The backend's conversion of an array that is not a NumPy array.

    Raises:
        InputError: as `check_inputs`, and for an empty batch.
    """
    if not isinstance(inputs, Mapping) or inputs.keys() != {spec.name for spec in signature.inputs}:
        raise wrong_names(signature, inputs)
    arrays: dict[str, Array | DeviceArray] = {}
    sizes: dict[str, int] = {}
    for spec in signature.inputs:
        value = inputs[spec.name]
        convert = as_array if isinstance(value, np.ndarray) else import_array
        arrays[spec.name] = convert(spec, value)
        check_shape(spec, arrays[spec.name], sizes)
    for spec in signature.inputs:
        array = arrays[spec.name]
        if isinstance(array, np.ndarray):
            check_values(spec, array, sizes, finite=finite)
    if sizes[BATCH] == 0:
        raise InputError("the batch is empty; expected at least one sample", code="E-SHAPE")
    return arrays, sizes


def check_device_outputs(
    specs: Iterable[TensorSpec], outputs: Mapping[str, DeviceArray], sizes: Mapping[str, int]
) -> None:
    """Check dtypes and shapes of outputs on a device against the manifest.

    Raises:
        ArtifactError: one of them differs.
    """
    for spec in specs:
        array = outputs[spec.name]
        if array.dtype != spec.numpy_dtype or array.shape != spec.shape(sizes):
            raise _wrong_output(spec, array, spec.shape(sizes))


def check_outputs(
    specs: Iterable[TensorSpec],
    outputs: Mapping[str, Array],
    sizes: Mapping[str, int],
    *,
    finite: bool = True,
) -> None:
    """Check a backend's outputs against the manifest.

    Args:
        sizes: The sizes of the dynamic axes of the inputs.
        finite: Whether infinities and NaN are errors.

    Raises:
        ArtifactError: an output is missing, has another dtype or shape, or is not finite.
    """
    for spec in specs:
        array = outputs.get(spec.name)
        if not isinstance(array, np.ndarray):
            raise ArtifactError(
                f"the model returns {sorted(outputs)}; its manifest says {spec.name!r}",
                code="E-OUTPUT",
            )
        shape = spec.shape(sizes)
        if array.shape != shape or array.dtype != spec.numpy_dtype:
            raise _wrong_output(spec, array, shape)
        if finite and not is_finite(array):
            raise not_finite(spec)


def _wrong_output(
    spec: TensorSpec, array: Array | DeviceArray, shape: tuple[int, ...]
) -> ArtifactError:
    return ArtifactError(
        f"output {spec.name!r} is {array.dtype} {array.shape}; its manifest says {spec.dtype} {shape}",
        code="E-OUTPUT",
    )


def not_finite(spec: TensorSpec) -> ArtifactError:
    """E-NONFINITE for an output with an infinity or a NaN."""
    return ArtifactError(
        f"output {spec.name!r} is not finite: the model's numbers overflow or its weights are"
        " damaged; use allow_nonfinite (--allow-nonfinite) if infinities are intended",
        code="E-NONFINITE",
    )


def is_finite(array: Array) -> bool:
    """Whether all values are finite; integers and bools always are."""
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def wrong_names(signature: Signature, inputs: Mapping[str, Array]) -> InputError:
    """E-NAME for missing or unknown inputs, E-TYPE if `inputs` is not a mapping."""
    expected = [spec.name for spec in signature.inputs]
    if not isinstance(inputs, Mapping):
        return InputError(
            f"inputs are a {type(inputs).__name__}; expected a mapping of {expected} to arrays",
            code="E-TYPE",
        )
    names = [str(name) for name in inputs]
    unknown = [name for name in names if name not in expected]
    hint = f": {did_you_mean(unknown[0], expected)}" if unknown else ""
    tensors = ", ".join(
        f"{spec.name!r} {spec.dtype} {spec.describe()}" for spec in signature.inputs
    )
    return InputError(f"inputs are named {names}; expected {tensors}{hint}", code="E-NAME")


def as_array(spec: TensorSpec, array: Any) -> Array:
    """The value as a native, contiguous array of the input's dtype.

    Raises:
        InputError: it is not an array, its dtype is of another kind, or a value does not fit.
    """
    if type(array) is not np.ndarray or array.dtype is not spec.numpy_dtype:
        array = _convert(spec, array)
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _convert(spec: TensorSpec, array: Any) -> Array:
    # The first test avoids the import of np.ma for a plain array, which has no mask.
    if type(array) is not np.ndarray and (
        not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray)
    ):
        raise InputError(
            f"input {spec.name!r} is a {type(array).__name__}; expected a NumPy array of"
            f" {spec.dtype} {spec.describe()}",
            code="E-TYPE",
        )
    if array.dtype.kind not in _CONVERTIBLE[spec.numpy_dtype.kind]:
        raise InputError(
            f"input {spec.name!r} has dtype {array.dtype}; expected {spec.dtype}: convert and scale"
            " it as the model expects",
            code="E-TYPE",
        )
    with np.errstate(over="ignore"):
        converted: Array = array.astype(spec.numpy_dtype, order="C", subok=False)
    unchanged = (
        is_finite(converted) or not is_finite(array)
        if array.dtype.kind == "f"
        else bool(np.array_equal(converted, array))
    )
    if not unchanged:
        raise InputError(
            f"input {spec.name!r} has values that do not fit into {spec.dtype}", code="E-RANGE"
        )
    return converted


def check_shape(spec: TensorSpec, array: Array | DeviceArray, sizes: dict[str, int]) -> None:
    """Check the shape of an array against the axes of its input.

    Args:
        sizes: The sizes of the dynamic axes seen so far; those of this array are added.
    """
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
        if size == 0 and axis != BATCH:
            raise InputError(
                f"input {spec.name!r} has shape {shape}: its {axis} is 0; expected at least 1",
                code="E-SHAPE",
            )


def check_limits(signature: Signature, sizes: Mapping[str, int]) -> None:
    """Check the sizes of the dynamic axes: beyond its limits the file computes something else.

    Raises:
        InputError: E-SHAPE, with the axis, its size and its limits.
    """
    for axis, limits in signature.limits.items():
        # An optional input that was omitted has no sizes.
        if axis in sizes and not limits.accepts(sizes[axis]):
            raise InputError(
                f"{axis} is {sizes[axis]}; the model accepts {axis} {limits}: cut or pad the input",
                code="E-SHAPE",
            )


def check_values(spec: TensorSpec, array: Array, sizes: Mapping[str, int], *, finite: bool) -> None:
    """Check the values of an array against the range of its input, and for infinities and NaN."""
    if finite and not is_finite(array):
        index = tuple(int(position) for position in np.argwhere(~np.isfinite(array))[0])
        raise InputError(
            f"input {spec.name!r} has {array[index]} at {index}; expected finite numbers, or"
            " allow_nonfinite (--allow-nonfinite) if infinities are intended",
            code="E-NONFINITE",
        )
    if spec.bounds is None or not array.size:
        return
    low, high = bound(spec, sizes)
    if array.min() < low or array.max() > high:
        invalid = int(array[(array < low) | (array > high)].flat[0])
        raise InputError(
            f"input {spec.name!r} has the value {invalid}; expected {low} to {high}",
            code="E-RANGE",
        )
