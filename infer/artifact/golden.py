"""Golden samples: inputs with expected outputs, stored in the manifest to verify the file again.

A `GoldenSample` is a batch of input arrays. An `EndToEndSample` starts from raw inputs, and so
covers the preprocessing too. Both include the expected predictions: label and score, or value.

Both are small: random inputs are stored as a seed, large outputs as some elements with checksums.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from ptx.infer.artifact.sampled import SampledArray
from ptx.infer.artifact.seeded import SEEDED_LIMIT, SPAN_LIMIT, SeededArray
from ptx.infer.signature import DTYPES, Array

RawInput = bytes | str | tuple[float, ...]
"""An input before preprocessing: the bytes of an image file, a text, or numbers."""

AXES_LIMIT = 32  # dimensions of an array that every version of NumPy supports

T = TypeVar("T")
_DTYPES = set(DTYPES.values())  # NumPy dtypes of stored arrays
_SAMPLED = ("indices", "values", "checksums", "slack")  # the arrays of a sampled array


@dataclass(frozen=True)
class ExpectedPrediction:
    """The expected prediction for one sample."""

    label: str | None  # None for a regression
    score: float | None  # probability of the label, in [0, 1]
    value: float | None  # only for a regression


@dataclass(frozen=True)
class Ties:
    """Positions whose integer value depends on rounding, and the accepted values."""

    indices: Array  # int64 (positions,): in the flat output, or in the elements of a sampled output
    values: Array  # (alternatives, positions), with the dtype of the output


@dataclass(frozen=True)
class GoldenSample:
    """Inputs with the outputs that the model computes in float64.

    Attributes:
        arrays: The inputs as they are stored.
        outputs: float64; integers and bools keep their dtype.
        tolerance: Output name → largest accepted absolute difference.
        predictions: One per row; empty for the task "passthrough".
        columns: Per-column tolerances for outputs with columns of different magnitude: float32,
            broadcastable to the output, or one per element of a sampled output.
        labels_sha256: Digest of the model's labels, see `labels_digest`; empty without labels.
        ties: Output name → ties of an integer output.
    """

    arrays: Mapping[str, Array | SeededArray]
    outputs: Mapping[str, Array | SampledArray]
    tolerance: dict[str, float]
    predictions: tuple[ExpectedPrediction, ...] = ()
    columns: dict[str, Array] = field(default_factory=dict)
    labels_sha256: str = ""
    ties: dict[str, Ties] = field(default_factory=dict)

    @property
    def inputs(self) -> dict[str, Array]:
        """The input arrays; seeded arrays are generated.

        Raises:
            ArtifactError: E-MANIFEST: a generated array does not match its digest.
        """
        return {
            name: array.make() if isinstance(array, SeededArray) else array
            for name, array in self.arrays.items()
        }

    @property
    def is_seeded(self) -> bool:
        """Whether any input is generated from a seed."""
        return any(isinstance(array, SeededArray) for array in self.arrays.values())


@dataclass(frozen=True)
class EndToEndSample:
    """Raw inputs with the expected result of preprocessing, model and decoding."""

    values: tuple[RawInput, ...]
    sha256: str  # of the input arrays, see `input_digest`
    read: tuple[Array, ...]  # the preprocessed values; empty if they are large
    outputs: Mapping[str, Array | SampledArray]  # float64; integers and bools keep their dtype
    tolerance: dict[str, float]  # output name → largest accepted absolute difference
    # one per value; empty for the task "passthrough"
    predictions: tuple[ExpectedPrediction, ...] = ()
    columns: dict[str, Array] = field(default_factory=dict)  # as in GoldenSample
    labels_sha256: str = ""  # as in GoldenSample
    names: tuple[str, ...] = ()  # the names of the numbers in a value, if any
    ties: dict[str, Ties] = field(default_factory=dict)  # as in GoldenSample


def input_digest(arrays: Mapping[str, Array]) -> str:
    """The sha256 over the sorted names, dtypes, shapes and little-endian contents of input arrays."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        little = _little(arrays[name])
        digest.update(f"{name}\0{little.dtype.name}\0{little.shape}\0".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()


def labels_digest(labels: Sequence[str]) -> str:
    """The sha256 over labels in their order, as JSON."""
    return hashlib.sha256(json.dumps(list(labels)).encode()).hexdigest()


def samples_digest(golden: Iterable[GoldenSample], end_to_end: Iterable[EndToEndSample]) -> str:
    """The sha256 over all golden samples of a manifest, as JSON with sorted keys."""
    data = [
        [golden_to_data(sample) for sample in golden],
        [end_to_end_to_data(sample) for sample in end_to_end],
    ]
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def golden_to_data(sample: GoldenSample) -> dict[str, Any]:
    """The JSON form of a golden sample."""
    inputs = {
        name: _seeded_to_data(array) if isinstance(array, SeededArray) else array_to_data(array)
        for name, array in sample.arrays.items()
    }
    return {"inputs": inputs, **_expected_to_data(sample)}


def golden_from_data(data: Any) -> GoldenSample:
    """Parse the JSON form of a golden sample; ValueError if it is not valid."""
    if not isinstance(data, dict):
        raise ValueError("a golden sample is not an object")
    arrays = {
        name: _seeded_from_data(item) if _has(item, "seed") else array_from_data(item)
        for name, item in require_field(data, "inputs", dict).items()
    }
    if sum(array.nbytes for array in arrays.values()) > SEEDED_LIMIT:
        raise ValueError(f"the inputs of a golden sample have more than {SEEDED_LIMIT:,} bytes")
    return GoldenSample(arrays, **_expected_from_data(data))


def end_to_end_to_data(sample: EndToEndSample) -> dict[str, Any]:
    """The JSON form of an end-to-end sample."""
    return {
        "values": [value_to_data(value) for value in sample.values],
        "sha256": sample.sha256,
        "read": [array_to_data(array) for array in sample.read],
        **({"names": list(sample.names)} if sample.names else {}),
        **_expected_to_data(sample),
    }


def end_to_end_from_data(data: Any) -> EndToEndSample:
    """Parse the JSON form of an end-to-end sample; ValueError if it is not valid."""
    if not isinstance(data, dict):
        raise ValueError("an end-to-end sample is not an object")
    values = tuple(_value_from_data(value) for value in require_field(data, "values", list))
    read = tuple(array_from_data(item) for item in require_field(data, "read", list))
    if not values or len(read) not in (0, len(values)):
        raise ValueError(
            f"an end-to-end sample has {len(values)} values and {len(read)} preprocessed values"
        )
    names = require_field({"names": [], **data}, "names", list)
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"an end-to-end sample has the names {names}; expected texts")
    expected_fields = _expected_from_data(data)
    return EndToEndSample(
        values, require_field(data, "sha256", str), read, **expected_fields, names=tuple(names)
    )


def samples_from_data(
    data: Mapping[str, Any],
) -> tuple[tuple[GoldenSample, ...], tuple[EndToEndSample, ...]]:
    """The golden and end-to-end samples of a manifest's JSON; ValueError if one is not valid."""
    golden = tuple(golden_from_data(item) for item in require_field(data, "golden", list))
    return golden, tuple(
        end_to_end_from_data(item) for item in require_field(data, "end_to_end", list)
    )


def to_raw_input(value: Any) -> RawInput:
    """Convert a value to the form that a manifest stores.

    Raises:
        ValueError: it is neither bytes nor a text nor finite numbers.
    """
    if isinstance(value, bytes | str):
        return value
    try:
        numbers = tuple(float(number) for number in np.atleast_1d(value).tolist())
    except (TypeError, OverflowError) as error:
        raise ValueError(str(error)) from error
    if not numbers or not all(map(math.isfinite, numbers)):
        raise ValueError("it has no numbers, or one that is not finite")
    return numbers


def _expected_to_data(sample: GoldenSample | EndToEndSample) -> dict[str, Any]:
    predictions = [[one.label, one.score, one.value] for one in sample.predictions]
    ties = {
        name: _arrays_to_data({"indices": tied.indices, "values": tied.values})
        for name, tied in sample.ties.items()
    }
    return {
        "outputs": {
            name: _sampled_to_data(array)
            if isinstance(array, SampledArray)
            else array_to_data(array)
            for name, array in sample.outputs.items()
        },
        "tolerance": sample.tolerance,
        **({"columns": _arrays_to_data(sample.columns)} if sample.columns else {}),
        **({"predictions": predictions} if predictions else {}),
        **({"labels_sha256": sample.labels_sha256} if sample.labels_sha256 else {}),
        **({"ties": ties} if ties else {}),
    }


def _expected_from_data(data: Mapping[str, Any]) -> dict[str, Any]:
    tolerance = require_field(data, "tolerance", dict)
    for value in tolerance.values():
        if type(value) not in (float, int) or not 0 <= value < math.inf:
            raise ValueError(f"a tolerance is {value!r}; expected a number of at least 0")
    predictions = require_field(data, "predictions", list) if "predictions" in data else []
    ties = require_field(data, "ties", dict) if "ties" in data else {}
    outputs = {
        name: _sampled_from_data(item) if _has(item, "indices") else array_from_data(item)
        for name, item in require_field(data, "outputs", dict).items()
    }
    stored = {
        name: array.values if isinstance(array, SampledArray) else array
        for name, array in outputs.items()
    }
    columns = _arrays_from_data(data, "columns") if "columns" in data else {}
    for name, array in columns.items():
        _check_columns(name, array, stored.get(name))
    return {
        "outputs": outputs,
        "tolerance": tolerance,
        "columns": columns,
        "predictions": tuple(_prediction_from_data(item) for item in predictions),
        "labels_sha256": require_field({"labels_sha256": "", **data}, "labels_sha256", str),
        "ties": {name: _ties(ties, name, stored) for name in ties},
    }


def _check_columns(name: str, columns: Array, output: Array | None) -> None:
    """ValueError unless the tolerances of the columns match the output."""
    if output is None or columns.ndim != output.ndim:
        raise ValueError(f"the tolerances of the columns of {name!r} have no matching output")
    sizes = zip(columns.shape, output.shape, strict=True)
    if columns.dtype.kind != "f" or any(
        columns_size not in (1, size) for columns_size, size in sizes
    ):
        raise ValueError(
            f"the tolerances of the columns of {name!r} are {columns.dtype} {columns.shape}; its"
            f" output has shape {output.shape}"
        )
    if not (columns >= 0).all():
        raise ValueError(f"a tolerance of a column of {name!r} is not a number of at least 0")


def _ties(data: Mapping[str, Any], name: str, outputs: Mapping[str, Array]) -> Ties:
    arrays = _arrays_from_data(data, name)
    positions, values = arrays.get("indices"), arrays.get("values")
    if name not in outputs or positions is None or values is None:
        raise ValueError(f"the ties of {name!r} lack an output, indices or values")
    valid = (
        positions.dtype == np.int64 and positions.ndim == 1 and values.shape[1:] == positions.shape
    )
    if not valid or ((positions < 0) | (positions >= outputs[name].size)).any():
        raise ValueError(f"the ties of {name!r} do not match the output")
    return Ties(positions, values)


def _prediction_from_data(data: Any) -> ExpectedPrediction:
    if not isinstance(data, list) or len(data) != 3:
        raise ValueError(f"a prediction is {data!r}; expected a label, a score and a value")
    label, *numbers = data
    if not isinstance(label, str | None):
        raise ValueError(f"a prediction's label is {label!r}; expected text")
    for number in numbers:
        if number is not None and type(number) is not float:
            raise ValueError(f"a prediction's score or value is {number!r}; expected a float")
    return ExpectedPrediction(label, *numbers)


def value_to_data(value: RawInput) -> dict[str, Any]:
    """The JSON form of a raw value."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    return {"text": value} if isinstance(value, str) else {"numbers": list(value)}


def _value_from_data(data: Any) -> RawInput:
    if not isinstance(data, dict) or len(data) != 1:
        raise ValueError("a raw value is not an object with one key")
    if "base64" in data:
        return base64.b64decode(require_field(data, "base64", str), validate=True)
    return (
        require_field(data, "text", str)
        if "text" in data
        else to_raw_input(require_field(data, "numbers", list))
    )


def _arrays_to_data(arrays: Mapping[str, Array]) -> dict[str, Any]:
    return {name: array_to_data(array) for name, array in arrays.items()}


def _arrays_from_data(data: Mapping[str, Any], key: str) -> dict[str, Array]:
    return {name: array_from_data(item) for name, item in require_field(data, key, dict).items()}


def array_to_data(array: Array) -> dict[str, Any]:
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "base64": base64.b64encode(_little(array).tobytes()).decode("ascii"),
    }


def array_from_data(data: Any) -> Array:
    if not isinstance(data, dict):
        raise ValueError("an array is not an object")
    dtype, shape = _dtype_from_data(data), _shape_from_data(data)
    content = base64.b64decode(require_field(data, "base64", str), validate=True)
    if len(content) != math.prod(shape) * np.dtype(dtype).itemsize:
        raise ValueError(f"an array of shape {list(shape)} has {len(content)} bytes")
    array = np.frombuffer(content, dtype=np.dtype(dtype).newbyteorder("<")).reshape(shape)
    return array.astype(dtype)


def _seeded_to_data(array: SeededArray) -> dict[str, Any]:
    return {
        "dtype": array.dtype,
        "shape": list(array.shape),
        "seed": array.seed,
        **({} if array.bounds is None else {"bounds": list(array.bounds)}),
        "sha256": array.sha256,
    }


def _seeded_from_data(data: Mapping[str, Any]) -> SeededArray:
    dtype, shape = _dtype_from_data(data), _shape_from_data(data)
    seed, bounds = require_field(data, "seed", int), None
    if not 0 <= seed < 2**32:
        raise ValueError(f"an array has the seed {seed}; expected 0 to {2**32 - 1}")
    if (np.dtype(dtype).kind == "f") == ("bounds" in data):
        raise ValueError(f"a seeded array is {dtype}; integers need bounds, floats have none")
    if "bounds" in data:
        bounds = _bounds_from_data(dtype, require_field(data, "bounds", list))
    return SeededArray(dtype, shape, seed, bounds, require_field(data, "sha256", str))


def _bounds_from_data(dtype: str, bounds: list[Any]) -> tuple[int, int]:
    if len(bounds) != 2 or not all(type(end) is int for end in bounds):
        raise ValueError(f"a seeded array has the bounds {bounds}; expected two integers")
    low, high = bounds
    limits = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if not limits[0] <= low <= high <= limits[1] or high - low >= SPAN_LIMIT:
        raise ValueError(f"a seeded array has the bounds {bounds}, which {dtype} cannot represent")
    return low, high


def _sampled_to_data(array: SampledArray) -> dict[str, Any]:
    parts = {name: getattr(array, name) for name in _SAMPLED}
    return {"shape": list(array.shape), **_arrays_to_data(parts)}


def _sampled_from_data(data: Mapping[str, Any]) -> SampledArray:
    parts = {name: array_from_data(require_field(data, name, dict)) for name in _SAMPLED}
    sampled = SampledArray(_shape_from_data(data), **parts)
    indices, sums, slack = sampled.indices, sampled.checksums, sampled.slack
    flat = all(array.ndim == 1 and array.size for array in parts.values())
    if not flat or indices.dtype != np.int64 or indices.shape != sampled.values.shape:
        raise ValueError("a sampled array has no elements, or not as many indices as values")
    if indices[0] < 0 or indices[-1] >= sampled.size or (np.diff(indices) <= 0).any():
        raise ValueError("the indices of a sampled array are not ascending or outside of it")
    if sums.dtype != np.float64 or slack.dtype != np.float64 or sums.shape != slack.shape:
        raise ValueError("the checksums of a sampled array are not float64 with a slack each")
    finite = np.isfinite(sums).all() and np.isfinite(slack).all()
    if sums.size > sampled.size or not finite or (slack < 0).any():
        raise ValueError("the checksums of a sampled array are too many, or are not finite")
    return sampled


def _dtype_from_data(data: Mapping[str, Any]) -> str:
    dtype = require_field(data, "dtype", str)
    if dtype not in _DTYPES:
        raise ValueError(f"an array has dtype {dtype!r}")
    return dtype


def _shape_from_data(data: Mapping[str, Any]) -> tuple[int, ...]:
    shape = require_field(data, "shape", list)
    if len(shape) > AXES_LIMIT or not all(type(n) is int and 0 <= n < 2**31 for n in shape):
        raise ValueError(f"an array has shape {shape}")
    return tuple(shape)


def _has(data: Any, key: str) -> bool:
    return isinstance(data, dict) and key in data


def _little(array: Array) -> Array:
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))


def require_field(data: Mapping[str, Any], key: str, expected: type[T]) -> T:
    """The field `key` of a JSON object; ValueError if it is missing or of another type."""
    value = data.get(key)
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        actual = "missing" if key not in data else f"a {type(value).__name__}"
        raise ValueError(f"{key!r} is {actual}; expected {expected.__name__}")
    return value
