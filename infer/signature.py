"""The signature: a model's inputs and outputs as data.

    {"inputs": {"sequence": ["float32", ["time", "batch", 28]]},
     "outputs": {"logits": ["float32", ["batch", 10]]}}

An axis that is an int is fixed, one that is a string is dynamic, and the same string means the same
size whatever its position. The batch axis is found by its name. An integer input may have a third
element, its inclusive range, whose end may be an axis name: `["int64", ["batch"], [1, "time"]]`.

A dynamic axis other than the batch may have limits (`ptx.infer.limits`): the minimum and maximum size
that the model accepts, and the number of which they are multiples: `["height", 32, 512, 32]` in place of
the name, or `"axes": {"height": [32, 512, 32]}`. Other dynamic axes have any size. An axis of an output
may be a multiple or a part of an input's: `"2*height"`, `"height/4"`.

A tensor that only the graph of an external ONNX file specifies is `unchecked`: the runtime checks it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from ptx.infer.limits import (
    NO_LIMITS,
    Limits,
    limits_from_data,
    merge_limits,
    parse_derived,
    split_limits,
)

Array = np.ndarray[Any, np.dtype[Any]]
Axis = int | str

BATCH = "batch"
# The tensor's dtype → the dtype of its NumPy arrays. NumPy has no bfloat16: such values are float32.
DTYPES = {
    "float16": "float16",
    "float32": "float32",
    "float64": "float64",
    "bfloat16": "float32",
    "uint8": "uint8",
    "int8": "int8",
    "int32": "int32",
    "int64": "int64",
    "bool": "bool",
}
# The same for an unchecked tensor, and the element of a `sequence(float32)` or an `optional(int64)`.
UNCHECKED_DTYPES = {
    **{name: dtype for name, dtype in DTYPES.items() if name != "bfloat16"},
    **{name: name for name in ("uint16", "int16", "uint32", "uint64")},
}
ANY_SHAPE = "..."  # in place of an unchecked tensor's axes: any number of them
UNBOUNDED = 1000  # the largest random value of an integer input without a range


@dataclass(frozen=True)
class TensorSpec:
    """One named tensor: its dtype and its axes.

    Attributes:
        bounds: Inclusive range of an integer tensor.
        unchecked: For an external file: the axes are informative, the runtime checks the values.
    """

    name: str
    dtype: str
    axes: tuple[Axis, ...]
    bounds: tuple[int, Axis] | None = None
    unchecked: bool = False
    numpy_dtype: np.dtype[Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.unchecked:
            element = self.dtype.rpartition("(")[2].rstrip(")")
            object.__setattr__(self, "numpy_dtype", np.dtype(UNCHECKED_DTYPES[element]))
            return
        if not isinstance(self.dtype, str) or self.dtype not in DTYPES:
            raise ValueError(
                f"tensor {self.name!r} has dtype {self.dtype!r}; known: {', '.join(DTYPES)}"
            )
        for axis in self.axes:
            named = isinstance(axis, str) and axis != ""
            if not named and (type(axis) is not int or axis < 1):
                raise ValueError(
                    f"tensor {self.name!r} has an axis {axis!r}; give a size or a name"
                )
        for text in (self.name, *self.axes):
            if isinstance(text, str) and not text.isprintable():
                raise ValueError(f"the name {text!r} contains a control character")
        object.__setattr__(self, "numpy_dtype", np.dtype(DTYPES[self.dtype]))
        if self.bounds is not None:
            self._check_bounds(self.bounds)

    def _check_bounds(self, bounds: tuple[int, Axis]) -> None:
        if self.numpy_dtype.kind not in "iu":
            raise ValueError(f"tensor {self.name!r} has a range; only integers have one")
        limits = np.iinfo(self.numpy_dtype)
        for end in bounds:
            if isinstance(end, int) and not limits.min <= end <= limits.max:
                raise ValueError(
                    f"tensor {self.name!r} has a range up to {end}; {self.dtype} holds"
                    f" {limits.min} to {limits.max}"
                )

    @property
    def is_float(self) -> bool:
        """Whether values are compared within a tolerance; integers and bools must be equal."""
        return self.numpy_dtype.kind == "f"

    @cached_property
    def batch_axis(self) -> int:
        """The position of the axis named `batch`."""
        return self.axes.index(BATCH)

    @cached_property
    def sample_axes(self) -> tuple[Axis, ...]:
        """The axes of one sample: all but the batch axis."""
        return tuple(axis for axis in self.axes if axis != BATCH)

    def fits_sample(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape is one sample, whatever the sizes of its dynamic axes."""
        axes = self.sample_axes
        return shape == axes or (
            len(shape) == len(axes)
            and all(
                size == axis or isinstance(axis, str)
                for size, axis in zip(shape, axes, strict=True)
            )
        )

    def place_batch(self, rows: Array) -> Array:
        """The input array: the first axis of `rows`, the batch, moved to its place in `axes`."""
        return np.ascontiguousarray(np.moveaxis(rows, 0, self.batch_axis))

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The concrete shape for the given sizes of the dynamic axes."""
        return tuple(
            [axis if isinstance(axis, int) else _axis_size(axis, sizes) for axis in self.axes]
        )

    def describe(self) -> str:
        """The shape as text: `(batch, 1, 28, 28)`."""
        return f"({', '.join(str(axis) for axis in self.axes)}{',' * (len(self.axes) == 1)})"

    def to_data(self) -> list[Any]:
        """The JSON form."""
        data: list[Any] = [self.dtype, list(self.axes)]
        return data if self.bounds is None else [*data, list(self.bounds)]

    @classmethod
    def from_data(cls, name: str, data: Sequence[Any]) -> TensorSpec:
        """Parse the JSON form; ValueError if it is not valid."""
        if not isinstance(data, list | tuple) or len(data) not in (2, 3):
            raise ValueError(f"tensor {name!r}: expected [dtype, axes] or [dtype, axes, range]")
        if not isinstance(data[1], list | tuple):
            raise ValueError(f"tensor {name!r}: expected [dtype, axes] or [dtype, axes, range]")
        bounds = None
        if len(data) == 3:
            low, high = data[2]
            if type(low) is not int or type(high) not in (int, str):
                raise ValueError(f"tensor {name!r}: a range is [int, int or axis name]")
            bounds = (low, high)
        return cls(name, data[0], tuple(data[1]), bounds)


@dataclass(frozen=True)
class Signature:
    """All inputs and outputs of a model, in the order in which its forward method takes them.

    Attributes:
        limits: Dynamic axis → limits, for axes that do not accept every size; the batch always does.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    limits: Mapping[str, Limits] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        limits = {axis: Limits(*ends) for axis, ends in self.limits.items()}
        object.__setattr__(self, "limits", limits)
        if not self.outputs or not (self.inputs or self.unchecked):
            raise ValueError("a signature needs at least one input and one output")
        self._check_axes(set(self.dynamic_axes))
        for specs in (self.inputs, self.outputs):
            if len({spec.name for spec in specs}) != len(specs):
                raise ValueError("two tensors have the same name")

    def _check_axes(self, known: set[str]) -> None:
        for spec in self:
            if spec.unchecked:
                continue
            if spec.axes.count(BATCH) != 1:
                raise ValueError(f"tensor {spec.name!r} has no axis named {BATCH!r}, or several")
            high = None if spec.bounds is None else spec.bounds[1]
            for axis in (*spec.axes, high):
                if isinstance(axis, str) and axis not in known:
                    self._check_derived(spec, axis)
        for axis, limits in self.limits.items():
            if axis not in known - {BATCH}:
                raise ValueError(
                    f"{axis!r} has limits; expected a dynamic axis other than the batch"
                )
            limits.check(axis)

    def _check_derived(self, spec: TensorSpec, axis: str) -> None:
        """ValueError unless it is an output's axis that has a whole size for each size of an input's."""
        derived = parse_derived(axis)
        if spec not in self.outputs or derived is None or derived.axis not in self.dynamic_axes:
            raise ValueError(f"tensor {spec.name!r}: no input has an axis named {axis!r}")
        multiple = self.limits.get(derived.axis, NO_LIMITS).multiple
        if multiple * derived.factor % derived.divisor:
            raise ValueError(
                f"tensor {spec.name!r} has an axis {axis!r}, but {derived.axis} has sizes that"
                f" {derived.divisor} does not divide; state only its multiples:"
                f' ["{derived.axis}", {derived.divisor}, 0, {derived.divisor}]'
            )

    def __iter__(self) -> Iterator[TensorSpec]:
        yield from self.inputs
        yield from self.outputs

    @cached_property
    def unchecked(self) -> bool:
        """Whether the runtime checks one of the tensors; see `TensorSpec.unchecked`."""
        return any(spec.unchecked for spec in self)

    @cached_property
    def dynamic_axes(self) -> tuple[str, ...]:
        """The names of the dynamic axes of the inputs, the batch first."""
        names = {axis for spec in self.inputs for axis in spec.axes if isinstance(axis, str)}
        return (BATCH, *sorted(names - {BATCH}))

    def limit(self, limits: Mapping[str, Limits]) -> Signature:
        """A copy with these limits added; NO_LIMITS removes the limits of an axis."""
        merged = {axis: Limits(*ends) for axis, ends in {**self.limits, **limits}.items()}
        return replace(
            self, limits={axis: ends for axis, ends in merged.items() if ends != NO_LIMITS}
        )

    def clamp(self, axis: str, size: int) -> int:
        """The size within the limits of the axis that is nearest to `size`."""
        return self.limits.get(axis, NO_LIMITS).nearest(size)

    def equal_sizes(self, length: int, *, batch: int) -> dict[str, int]:
        """The size of each dynamic axis: `batch`, and `length` for all others, within their limits."""
        return {axis: self.clamp(axis, length) for axis in self.dynamic_axes} | {BATCH: batch}

    def distinct_sizes(self, preferred: Sequence[int]) -> dict[str, int]:
        """The size of each dynamic axis: `preferred` in order, within its limits, and all different
        if the limits allow it.
        """
        sizes: dict[str, int] = {}
        for axis, size in zip(self.dynamic_axes, preferred, strict=False):
            minimum, maximum, step = self.limits.get(axis, NO_LIMITS)
            nearest = self.clamp(axis, size)
            end = nearest + len(preferred) * step if maximum is None else maximum
            choices = (
                *range(nearest, max(minimum, 2) - 1, -step),
                *range(nearest, end + 1, step),
            )
            sizes[axis] = next((c for c in choices if c not in sizes.values()), nearest)
        return sizes

    def example(self, sizes: Mapping[str, int], *, seed: int = 0) -> dict[str, Array]:
        """Random inputs of the given sizes: normal floats, integers over their entire range."""
        generator = np.random.default_rng(seed)
        return {spec.name: _random(spec, sizes, generator) for spec in self.inputs}

    def to_data(self) -> dict[str, Any]:
        """The JSON form."""
        axes = {axis: limits.to_data() for axis, limits in self.limits.items()}
        return {
            "inputs": {spec.name: spec.to_data() for spec in self.inputs},
            "outputs": {spec.name: spec.to_data() for spec in self.outputs},
            **({"axes": axes} if axes else {}),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Signature:
        """Parse the JSON form; ValueError if it is not valid."""
        try:
            inputs, inline = split_limits(data["inputs"])
            return cls(
                tuple(TensorSpec.from_data(name, spec) for name, spec in inputs.items()),
                tuple(TensorSpec.from_data(name, spec) for name, spec in data["outputs"].items()),
                merge_limits(limits_from_data(data.get("axes", {})), inline),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a signature: {error!r}") from error


def _axis_size(axis: str, sizes: Mapping[str, int]) -> int:
    """The size of a dynamic axis, or of one that is derived from it."""
    if axis in sizes:
        return sizes[axis]
    if (derived := parse_derived(axis)) is None:
        raise KeyError(axis)
    return derived.size(sizes[derived.axis])


def bound(spec: TensorSpec, sizes: Mapping[str, int]) -> tuple[int, int]:
    """The inclusive range of an integer tensor for the given sizes.

    If the tensor has no range: all values of an 8-bit dtype, 0 to 1,000 for a wider one.
    """
    if spec.bounds is None:
        limits = np.iinfo(spec.numpy_dtype)
        return (int(limits.min), int(limits.max)) if limits.bits == 8 else (0, UNBOUNDED)
    low, high = spec.bounds
    return low, sizes[high] if isinstance(high, str) else high


def _random(spec: TensorSpec, sizes: Mapping[str, int], generator: np.random.Generator) -> Array:
    shape, dtype = spec.shape(sizes), spec.numpy_dtype
    if dtype == np.float64:  # with all 53 bits, so that a file that rounds to float32 is noticed
        return generator.standard_normal(shape)
    if dtype.kind == "f":
        return generator.standard_normal(shape, dtype=np.float32).astype(dtype)
    if dtype.kind == "b":
        return generator.integers(0, 1, shape, dtype=dtype, endpoint=True)
    low, high = bound(spec, sizes)
    return generator.integers(low, high, shape, dtype=dtype, endpoint=True)
