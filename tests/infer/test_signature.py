"""The signature: axes, ranges, examples, and the JSON form that is checked when it is read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptx.infer.limits import Limits
from ptx.infer.signature import Signature, TensorSpec, bound
from ptx.models import CATALOG

LSTM = {
    "inputs": {"sequence": ["float32", ["time", "batch", 28]]},
    "outputs": {"logits": ["float32", ["batch", 10]]},
}
NAMES = {
    "inputs": {
        "characters": ["int64", ["batch", "time"], [0, 127]],
        "lengths": ["int64", ["batch"], [1, "time"]],
    },
    "outputs": {"logits": ["float32", ["batch", 18]]},
}


def test_the_batch_axis_is_found_by_its_name() -> None:
    (spec,) = Signature.from_data(LSTM).inputs
    assert spec.batch_axis == 1
    assert spec.sample_axes == ("time", 28)
    assert spec.describe() == "(time, batch, 28)"
    assert spec.shape({"time": 5, "batch": 3}) == (5, 3, 28)


def test_a_sample_fits_whatever_the_sizes_of_its_dynamic_axes() -> None:
    (spec,) = Signature.from_data(LSTM).inputs
    shapes = [(5, 28), (1, 28), (5, 27), (28,), (5, 1, 28)]
    assert [spec.fits_sample(shape) for shape in shapes] == [True, True, False, False, False]


def test_rows_are_put_where_the_batch_has_its_place() -> None:
    rows = np.arange(2 * 5 * 28, dtype=np.float32).reshape(2, 5, 28)
    (spec,) = Signature.from_data(LSTM).inputs
    batch = spec.place_batch(rows)
    assert batch.shape == (5, 2, 28)
    assert batch.flags.c_contiguous
    assert np.array_equal(batch[:, 1], rows[1])
    plain = TensorSpec("x", "float32", ("batch", 5, 28)).place_batch(rows)
    assert np.shares_memory(plain, rows)


def test_one_axis_is_described_as_python_writes_it() -> None:
    assert TensorSpec("lengths", "int64", ("batch",)).describe() == "(batch,)"


def test_the_batch_is_the_first_dynamic_axis() -> None:
    assert Signature.from_data(LSTM).dynamic_axes == ("batch", "time")


@pytest.mark.parametrize("model", CATALOG)
def test_the_json_form_comes_back(model: str) -> None:
    data = CATALOG[model].signature
    signature = Signature.from_data(data)
    assert signature.to_data() == data
    assert Signature.from_data(signature.to_data()) == signature


def test_examples_fill_their_ranges_and_repeat_by_seed() -> None:
    signature = Signature.from_data(NAMES)
    sizes = {"batch": 500, "time": 3}
    example = signature.example(sizes, seed=1)
    assert {name: array.shape for name, array in example.items()} == {
        "characters": (500, 3),
        "lengths": (500,),
    }
    assert (example["lengths"].min(), example["lengths"].max()) == (1, 3)
    assert (example["characters"].min(), example["characters"].max()) == (0, 127)
    again = signature.example(sizes, seed=1)
    assert all(np.array_equal(example[name], again[name]) for name in example)
    assert not np.array_equal(example["lengths"], signature.example(sizes)["lengths"])


def test_a_range_may_end_at_an_axis() -> None:
    lengths = Signature.from_data(NAMES).inputs[1]
    assert bound(lengths, {"time": 9}) == (1, 9)
    assert bound(TensorSpec("n", "int64", ("batch",)), {}) == (0, 1000)
    assert bound(TensorSpec("n", "uint8", ("batch",)), {}) == (0, 255)
    assert bound(TensorSpec("n", "int8", ("batch",)), {}) == (-128, 127)


def tensor(data: Any) -> dict[str, Any]:
    return {"inputs": {"x": data}, "outputs": {"y": ["float32", ["batch"]]}}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "not a signature"),
        ({"inputs": [], "outputs": {}}, "not a signature"),
        ({"inputs": None, "outputs": {}}, "not a signature"),
        ({"inputs": {}, "outputs": {}}, "at least one input and one output"),
        (tensor("float32"), r"expected \[dtype, axes\]"),
        (tensor(7), r"expected \[dtype, axes\]"),
        (tensor(["float32"]), r"expected \[dtype, axes\]"),
        (tensor(["float32", "batch"]), r"expected \[dtype, axes\]"),
        (tensor(["float32", {"batch": 1}]), r"expected \[dtype, axes\]"),
        (tensor(["string", ["batch"]]), "has dtype 'string'; known: float16, float32"),
        (tensor([["float32"], ["batch"]]), "has dtype"),
        (tensor(["float32", ["batch", 0]]), "has an axis 0"),
        (tensor(["float32", ["batch", -1]]), "has an axis -1"),
        (tensor(["float32", ["batch", True]]), "has an axis True"),
        (tensor(["float32", ["batch", 2.0]]), "has an axis 2.0"),
        (tensor(["float32", ["batch", ""]]), "has an axis ''"),
        (tensor(["float32", ["batch", None]]), "has an axis None"),
        (tensor(["float32", ["rows", 1]]), "no axis named 'batch'"),
        (tensor(["float32", ["batch", "batch"]]), "no axis named 'batch', or several"),
        (tensor(["int64", ["batch"], 5]), "not a signature"),
        (tensor(["int64", ["batch"], [0]]), "unpack"),
        (tensor(["int64", ["batch"], [0.5, 2]]), "a range is"),
        (tensor(["int64", ["batch"], [True, 2]]), "a range is"),
        (tensor(["int64", ["batch"], [0, "time"]]), "no input has an axis named 'time'"),
        (tensor(["float32", ["batch"], [0, 1]]), "only integers have one"),
        (
            {"inputs": LSTM["inputs"], "outputs": {"y": ["float32", ["batch", "width"]]}},
            "no input has an axis named 'width'",
        ),
    ],
)
def test_what_is_no_signature_is_refused(data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Signature.from_data(data)


def test_two_tensors_of_one_name_are_refused() -> None:
    spec = TensorSpec("x", "float32", ("batch",))
    with pytest.raises(ValueError, match="same name"):
        Signature((spec, spec), (spec,))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 40)
    | st.floats()
    | st.sampled_from(["batch", "time", "float32", "int64", "inputs", "outputs", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["inputs", "outputs", "x", "y"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_a_signature_or_a_value_error(data: Any) -> None:
    try:
        signature = Signature.from_data(data)
    except ValueError:
        return
    assert Signature.from_data(signature.to_data()) == signature


# The limits of axes.


@pytest.mark.parametrize(
    "axes", [{"time": [1, 64]}, {"time": [3]}, {"time": [5, 5]}, {"time": [8, 0, 4]}]
)
def test_limits_come_back_from_their_json_form(axes: dict[str, list[int]]) -> None:
    signature = Signature.from_data({**LSTM, "axes": axes})
    assert signature.to_data()["axes"] == axes
    assert Signature.from_data(signature.to_data()) == signature
    assert signature != Signature.from_data(LSTM)
    assert hash(signature) is not None


@pytest.mark.parametrize(
    "axes",
    [
        {"batch": [1, 100]},
        {"width": [1, 2]},
        {"time": [0, 2]},
        {"time": [3, 2]},
        {"time": []},
        {"time": [4, 6, 4]},
        {"time": [4, 8, 0]},
        {"time": [4, 8, 4, 4]},
        {"time": [1.0, 2]},
        {"time": [True, 2]},
        {"time": 64},
        [1, 64],
        "time",
    ],
)
def test_limits_that_are_none_are_refused(axes: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        Signature.from_data({**LSTM, "axes": axes})


def test_sizes_are_chosen_within_limits() -> None:
    signature = Signature.from_data({**LSTM, "axes": {"time": [3, 6]}})
    assert [signature.clamp("time", size) for size in (1, 4, 28)] == [3, 4, 6]
    assert signature.equal_sizes(28, batch=7) == {"batch": 7, "time": 6}
    assert signature.distinct_sizes((5, 11)) == {"batch": 5, "time": 6}
    assert signature.distinct_sizes((6, 9)) == {"batch": 6, "time": 5}
    assert signature.limit({"time": Limits()}) == Signature.from_data(LSTM)
