"""The signature: a model's inputs and outputs as data.

    {"inputs": {"sequence": ["float32", ["time", "batch", 28]]},
     "outputs": {"logits": ["float32", ["batch", 10]]}}

An axis that is an int is fixed, one that is a string is dynamic, and the same string means the same
size whatever its position. The batch axis is found by its name. An integer input may have a third
element, its inclusive range, whose end may be an axis name: `["int64", ["batch"], [1, "time"]]`.

A dynamic axis other than the batch may have limits, the least and the largest size that the model takes:
`"axes": {"time": [1, 64]}`, or `[3]` where there is no largest. One that is not named takes any size.

A tensor that only the graph of an external ONNX file specifies is `unchecked`: the runtime checks it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Axis = int | str
Limits = tuple[int, int | None]  # the least and the largest size of an axis

NO_LIMITS: Limits = (1, None)
BATCH = "batch"
# The tensor's type → that of its NumPy arrays. NumPy has no bfloat16: its values are float32 there.
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
# Those of an unchecked tensor. It may also be contained, as in `sequence(float32)` or `optional(int64)`.
UNCHECKED_DTYPES = {
    **{name: kind for name, kind in DTYPES.items() if name != "bfloat16"},
    **{name: name for name in ("uint16", "int16", "uint32", "uint64")},
}
ANY_SHAPE = "..."  # in place of an unchecked tensor's axes: as many as there are
UNBOUNDED = 1000  # the largest example of an integer input without a range


@dataclass(frozen=True)
class TensorSpec:
    """One named tensor: its dtype and its axes.

    Attributes:
        bounds: Inclusive range of an integer tensor.
        unchecked: Of an external file: the axes are informative, the runtime checks the values.
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
                raise ValueError(f"the name {text!r} holds a control character")
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
        """Whether its numbers are right within a tolerance; integers and bools are equal or wrong."""
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
        """The input array of rows whose first axis is the batch: it has its own place here."""
        return np.ascontiguousarray(np.moveaxis(rows, 0, self.batch_axis))

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The concrete shape for the given sizes of the dynamic axes."""
        return tuple([axis if isinstance(axis, int) else sizes[axis] for axis in self.axes])

    def describe(self) -> str:
        """The shape as people read it: `(batch, 1, 28, 28)`."""
        return f"({', '.join(str(axis) for axis in self.axes)}{',' * (len(self.axes) == 1)})"

    def to_data(self) -> list[Any]:
        """The JSON form."""
        data: list[Any] = [self.dtype, list(self.axes)]
        return data if self.bounds is None else [*data, list(self.bounds)]

    @classmethod
    def from_data(cls, name: str, data: Sequence[Any]) -> TensorSpec:
        """The specification behind the JSON form; ValueError where it is not one."""
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
        limits: By dynamic axis, where it does not take any size; the batch always does.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    limits: Mapping[str, Limits] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not self.outputs or not (self.inputs or self.unchecked):
            raise ValueError("a signature needs at least one input and one output")
        known = set(self.dynamic_axes)
        for spec in self:
            if spec.unchecked:
                continue
            if spec.axes.count(BATCH) != 1:
                raise ValueError(f"tensor {spec.name!r} has no axis named {BATCH!r}, or several")
            high = None if spec.bounds is None else spec.bounds[1]
            for axis in (*spec.axes, high):
                if isinstance(axis, str) and axis not in known:
                    raise ValueError(f"tensor {spec.name!r}: no input has an axis named {axis!r}")
        for specs in (self.inputs, self.outputs):
            if len({spec.name for spec in specs}) != len(specs):
                raise ValueError("two tensors have the same name")
        _check_limits(self.limits, known - {BATCH})

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
        """The same with these limits; NO_LIMITS of an axis take its own away."""
        found = {**self.limits, **limits}
        return replace(
            self, limits={axis: ends for axis, ends in found.items() if ends != NO_LIMITS}
        )

    def clamp(self, axis: str, size: int) -> int:
        """The size of an axis that is nearest to this one within its limits."""
        least, most = self.limits.get(axis, NO_LIMITS)
        return max(least, size if most is None else min(size, most))

    def equal_sizes(self, length: int, *, batch: int) -> dict[str, int]:
        """This batch, and all other dynamic axes of one length, as far as their limits allow it."""
        return {axis: self.clamp(axis, length) for axis in self.dynamic_axes} | {BATCH: batch}

    def distinct_sizes(self, preferred: Sequence[int]) -> dict[str, int]:
        """Sizes of the dynamic axes: these in turn, within limits, different where those allow it."""
        sizes: dict[str, int] = {}
        for axis, size in zip(self.dynamic_axes, preferred, strict=False):
            least, most = self.limits.get(axis, NO_LIMITS)
            nearest = self.clamp(axis, size)
            end = nearest + len(preferred) if most is None else most
            choices = (*range(nearest, max(least, 2) - 1, -1), *range(nearest, end + 1))
            sizes[axis] = next((c for c in choices if c not in sizes.values()), nearest)
        return sizes

    def example(self, sizes: Mapping[str, int], *, seed: int = 0) -> dict[str, Array]:
        """Random inputs of the given sizes: normal floats, integers over their entire range."""
        generator = np.random.default_rng(seed)
        return {spec.name: _random(spec, sizes, generator) for spec in self.inputs}

    def to_data(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "inputs": {spec.name: spec.to_data() for spec in self.inputs},
            "outputs": {spec.name: spec.to_data() for spec in self.outputs},
            **({"axes": limits_to_data(self.limits)} if self.limits else {}),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Signature:
        """The signature behind the JSON form; ValueError where it is not one."""
        try:
            inputs, outputs = data["inputs"], data["outputs"]
            return cls(
                tuple(TensorSpec.from_data(name, spec) for name, spec in inputs.items()),
                tuple(TensorSpec.from_data(name, spec) for name, spec in outputs.items()),
                limits_from_data(data.get("axes", {})),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a signature: {error!r}") from error


def _check_limits(limits: Mapping[str, Limits], axes: set[str]) -> None:
    for axis, (least, most) in limits.items():
        if axis not in axes:
            raise ValueError(f"{axis!r} has limits; expected a dynamic axis but the batch")
        if least < 1 or (most is not None and most < least):
            raise ValueError(
                f"the limits of {axis!r} are {least} and {most}; expected 1 or more, and no less"
                " after it"
            )


def limits_to_data(limits: Mapping[str, Limits]) -> dict[str, list[int]]:
    """The JSON form: `{"time": [1, 64]}`."""
    return {
        axis: [least] if most is None else [least, most] for axis, (least, most) in limits.items()
    }


def limits_from_data(data: Any) -> dict[str, Limits]:
    """The limits of axes behind the JSON form; ValueError where it is not one."""
    if not isinstance(data, Mapping):
        raise ValueError(
            'axes: expected names with their least and largest size, {"time": [1, 64]}'
        )
    limits: dict[str, Limits] = {}
    for axis, ends in data.items():
        if not isinstance(ends, list | tuple) or len(ends) not in (1, 2):
            raise ValueError(f"axis {axis!r}: expected its least and largest size, or the least")
        least, most = (*ends, None)[:2]
        if type(least) is not int or not (most is None or type(most) is int):
            raise ValueError(f"axis {axis!r}: its sizes are {ends}; expected integers")
        limits[axis] = least, most
    return limits


def within(size: int, limits: Limits) -> bool:
    """Whether an axis of these limits takes a size."""
    least, most = limits
    return least <= size and (most is None or size <= most)


def describe_limits(limits: Limits) -> str:
    """`1 to 64`, `at least 3`."""
    least, most = limits
    return f"at least {least}" if most is None else f"{least} to {most}"


def bound(spec: TensorSpec, sizes: Mapping[str, int]) -> tuple[int, int]:
    """The inclusive range of an integer tensor for the given sizes.

    Without a range of its own: all values of 8 bits, or 0 to 1,000 of a wider type.
    """
    if spec.bounds is None:
        limits = np.iinfo(spec.numpy_dtype)
        return (int(limits.min), int(limits.max)) if limits.bits == 8 else (0, UNBOUNDED)
    low, high = spec.bounds
    return low, sizes[high] if isinstance(high, str) else high


def _random(spec: TensorSpec, sizes: Mapping[str, int], generator: np.random.Generator) -> Array:
    shape, dtype = spec.shape(sizes), spec.numpy_dtype
    if dtype == np.float64:  # of all its digits: a file that rounds them must show
        return generator.standard_normal(shape)
    if dtype.kind == "f":
        return generator.standard_normal(shape, dtype=np.float32).astype(dtype)
    if dtype.kind == "b":
        return generator.integers(0, 1, shape, dtype=dtype, endpoint=True)
    low, high = bound(spec, sizes)
    return generator.integers(low, high, shape, dtype=dtype, endpoint=True)
