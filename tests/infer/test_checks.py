"""The array guard: what comes through is native, contiguous, finite, in range; the rest is an error."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from ptx.infer.checks import check_inputs, is_finite
from ptx.infer.errors import InputError
from ptx.infer.signature import DTYPES, Signature

IMAGE = Signature.from_data(
    {
        "inputs": {"image": ["float32", ["batch", 1, 4, 4]]},
        "outputs": {"logits": ["float32", ["batch", 2]]},
    }
)
NAMES = Signature.from_data(
    {
        "inputs": {
            "characters": ["int64", ["batch", "time"], [0, 127]],
            "lengths": ["int64", ["batch"], [1, "time"]],
        },
        "outputs": {"logits": ["float32", ["batch", 18]]},
    }
)
ONES = np.ones((2, 1, 4, 4), np.float32)
CODES = np.full((2, 3), 65, np.int64)
LENGTHS = np.array([3, 1])


def changed(array: Any, value: float) -> Any:
    copy = array.copy()
    copy.flat[5] = value
    return copy


def masked() -> Any:
    return np.ma.masked_array(ONES, mask=ONES > 0)


@pytest.mark.parametrize(
    ("inputs", "code", "message"),
    [
        (None, "E-TYPE", "inputs are a NoneType; expected a mapping of ['image'] to arrays"),
        (ONES, "E-TYPE", "inputs are a ndarray; expected a mapping"),
        (ONES[:1], "E-TYPE", "inputs are a ndarray; expected a mapping"),
        ([ONES], "E-TYPE", "inputs are a list; expected a mapping"),
        ("image", "E-TYPE", "inputs are a str; expected a mapping"),
        ({}, "E-NAME", "inputs are named []; expected 'image' float32 (batch, 1, 4, 4)"),
        (
            {"imag": ONES},
            "E-NAME",
            "inputs are named ['imag']; expected 'image' float32 (batch, 1, 4, 4): did you mean",
        ),
        ({"image": ONES, "x": ONES}, "E-NAME", "inputs are named ['image', 'x']"),
        ({0: ONES}, "E-NAME", "inputs are named ['0']"),
        (
            {"image": [[1.0]]},
            "E-TYPE",
            "input 'image' is a list; expected a NumPy array of float32 (batch, 1, 4, 4)",
        ),
        ({"image": None}, "E-TYPE", "is a NoneType; expected a NumPy array"),
        ({"image": 1.5}, "E-TYPE", "is a float; expected a NumPy array"),
        ({"image": masked()}, "E-TYPE", "is a MaskedArray; expected a NumPy array"),
        (
            {"image": ONES.astype(np.uint8)},
            "E-TYPE",
            "input 'image' has dtype uint8; expected float32: convert and scale",
        ),
        ({"image": ONES.astype(np.int64)}, "E-TYPE", "has dtype int64; expected float32"),
        ({"image": ONES.astype(bool)}, "E-TYPE", "has dtype bool"),
        ({"image": ONES.astype(complex)}, "E-TYPE", "has dtype complex128"),
        ({"image": ONES.astype(object)}, "E-TYPE", "has dtype object"),
        ({"image": ONES.astype(str)}, "E-TYPE", "has dtype <U32"),
        (
            {"image": ONES[0]},
            "E-SHAPE",
            "input 'image' has shape (1, 4, 4); expected (batch, 1, 4, 4): add a leading batch axis",
        ),
        ({"image": np.array(1.0)}, "E-SHAPE", "has shape ()"),
        (
            {"image": np.ones((2, 4, 4, 1), np.float32)},
            "E-SHAPE",
            "input 'image' has shape (2, 4, 4, 1); expected (batch, 1, 4, 4)",
        ),
        ({"image": np.ones((2, 1, 5, 5), np.float32)}, "E-SHAPE", "has shape (2, 1, 5, 5)"),
        ({"image": np.ones((0, 1, 5, 5), np.float32)}, "E-SHAPE", "has shape (0, 1, 5, 5)"),
        (
            {"image": changed(ONES, np.nan)},
            "E-NONFINITE",
            "input 'image' has nan at (0, 0, 1, 1); expected finite numbers",
        ),
        ({"image": changed(ONES, -np.inf)}, "E-NONFINITE", "has -inf at (0, 0, 1, 1)"),
        ({"image": changed(ONES.astype(float), np.nan)}, "E-NONFINITE", "has nan at"),
        (
            {"image": changed(ONES.astype(float), 1e39)},
            "E-RANGE",
            "input 'image' has values that do not fit into float32",
        ),
    ],
)
def test_a_picture_that_does_not_fit_is_refused(inputs: Any, code: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        check_inputs(IMAGE, inputs)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("characters", "lengths", "code", "message"),
    [
        (CODES, LENGTHS[:1], "E-SHAPE", "'lengths' has batch 1 in shape (1,); another input has"),
        (CODES[:, :0], LENGTHS, "E-SHAPE", "has shape (2, 0): its time is 0; expected at least 1"),
        (changed(CODES, 128), LENGTHS, "E-RANGE", "has the value 128; expected 0 to 127"),
        (changed(CODES, -1), LENGTHS, "E-RANGE", "has the value -1; expected 0 to 127"),
        (CODES, np.array([4, 1]), "E-RANGE", "'lengths' has the value 4; expected 1 to 3"),
        (CODES, np.array([3, 0]), "E-RANGE", "'lengths' has the value 0; expected 1 to 3"),
        (CODES.astype(np.float32), LENGTHS, "E-TYPE", "has dtype float32; expected int64"),
        (CODES, np.array(3, np.int32), "E-SHAPE", "'lengths' has shape (); expected (batch,)"),
        (
            np.full((2, 3), 2**63, np.uint64),
            LENGTHS,
            "E-RANGE",
            "has values that do not fit into int64",
        ),
    ],
)
def test_indices_that_do_not_fit_are_refused(
    characters: Any, lengths: Any, code: str, message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        check_inputs(NAMES, {"lengths": lengths, "characters": characters})
    assert caught.value.code == code


RANDOM = np.random.default_rng(0).standard_normal((2, 1, 4, 4)).astype(np.float32)
READ_ONLY = RANDOM.copy()
READ_ONLY.setflags(write=False)


@pytest.mark.parametrize(
    "array",
    [
        RANDOM,
        RANDOM.astype(">f4"),
        RANDOM.astype(np.float64),
        RANDOM.astype(">f8"),
        np.asfortranarray(RANDOM),
        RANDOM[:, :, ::-1, ::-1].copy()[:, :, ::-1, ::-1],
        np.repeat(RANDOM, 2, axis=0)[::2],
        READ_ONLY,
        RANDOM.view(np.recarray),
    ],
    ids=[
        "plain",
        "big-endian",
        "float64",
        "big-endian float64",
        "Fortran",
        "reversed",
        "strided",
        "read-only",
        "subclass",
    ],
)
def test_forms_of_one_array_become_the_same(array: Any) -> None:
    arrays, sizes = check_inputs(IMAGE, {"image": array})
    got = arrays["image"]
    assert type(got) is np.ndarray
    assert got.dtype.isnative
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    assert got.tobytes() == RANDOM.tobytes()
    assert sizes == {"batch": 2}


def test_the_plain_array_is_not_copied() -> None:
    arrays, _ = check_inputs(IMAGE, {"image": RANDOM})
    assert arrays["image"] is RANDOM


@pytest.mark.parametrize("dtype", ["i1", "u1", "<i2", ">i4", "u8", ">i8"])
def test_any_integer_type_becomes_int64(dtype: str) -> None:
    arrays, sizes = check_inputs(NAMES, {"characters": CODES.astype(dtype), "lengths": LENGTHS})
    assert arrays["characters"].dtype == np.int64
    assert arrays["characters"].tobytes() == CODES.tobytes()
    assert sizes == {"batch": 2, "time": 3}


def test_an_empty_batch_comes_through() -> None:
    arrays, sizes = check_inputs(NAMES, {"characters": CODES[:0], "lengths": LENGTHS[:0]})
    assert sizes == {"batch": 0, "time": 3}
    assert arrays["characters"].shape == (0, 3)


@given(npst.arrays(st.sampled_from(["f2", "f4", "f8"]), npst.array_shapes(min_side=0, max_side=4)))
def test_finite_is_what_numpy_says_without_a_warning(array: Any) -> None:
    assert is_finite(array) == bool(np.isfinite(array).all())


def test_large_finite_numbers_are_finite() -> None:
    # Their squares overflow, which NumPy would warn about.
    assert is_finite(np.full(10, 3e38, np.float32))
    assert is_finite(np.full(10, 6e4, np.float16))


def one(dtype: str, bounds: Any = None) -> Signature:
    spec = [dtype, ["batch", 2], bounds] if bounds else [dtype, ["batch", 2]]
    return Signature.from_data({"inputs": {"x": spec}, "outputs": {"y": ["float32", ["batch"]]}})


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_of_a_signature_comes_through_as_it_is(dtype: str) -> None:
    array = np.array([[0, 1], [1, 0]], DTYPES[dtype])
    arrays, sizes = check_inputs(one(dtype), {"x": array})
    assert arrays["x"] is array
    assert sizes == {"batch": 2}


@pytest.mark.parametrize(
    ("dtype", "given", "code"),
    [
        ("uint8", np.array([[0, 256]]), "E-RANGE"),
        ("uint8", np.array([[0, -1]]), "E-RANGE"),
        ("int8", np.array([[0, 128]]), "E-RANGE"),
        ("int32", np.array([[0, 2**31]]), "E-RANGE"),
        ("float16", np.array([[0.0, 1e6]]), "E-RANGE"),
        ("float16", np.array([[0.0, np.inf]]), "E-NONFINITE"),
        ("float64", np.array([[0.0, np.nan]]), "E-NONFINITE"),
        ("bfloat16", np.array([[0.0, np.nan]]), "E-NONFINITE"),
        ("uint8", np.array([[0.0, 1.0]]), "E-TYPE"),
        ("float32", np.array([[0, 1]]), "E-TYPE"),
        ("bool", np.array([[0, 1]]), "E-TYPE"),
        ("uint8", np.array([[True, False]]), "E-TYPE"),
    ],
)
def test_a_value_that_its_type_cannot_hold_is_refused(
    dtype: str, given: np.ndarray[Any, Any], code: str
) -> None:
    with pytest.raises(InputError) as caught:
        check_inputs(one(dtype), {"x": given})
    assert caught.value.code == code


def test_an_integer_of_another_width_is_taken_where_its_values_fit() -> None:
    arrays, _ = check_inputs(one("uint8"), {"x": np.array([[0, 255]])})
    assert arrays["x"].dtype == np.uint8
    assert arrays["x"].tolist() == [[0, 255]]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("size", [1, 784, 70_000])
def test_one_value_that_is_not_finite_is_found_and_large_ones_are_not_taken_for_it(
    dtype: str, size: int
) -> None:
    array = np.full(size, np.finfo(dtype).max, dtype)
    assert is_finite(array)
    for value in (np.inf, -np.inf, np.nan):
        array[-1] = value
        assert not is_finite(array)


@pytest.mark.parametrize(
    ("axes", "right", "wrong"),
    [
        ({"time": [2, 4]}, (2, 4), (1, 5, 400)),
        ({"time": [3]}, (3, 400), (1, 2)),
    ],
)
def test_a_size_outside_the_limits_of_its_axis_is_refused(
    axes: dict[str, list[int]], right: tuple[int, ...], wrong: tuple[int, ...]
) -> None:
    signature = Signature.from_data({**NAMES.to_data(), "axes": axes})
    for time in right:
        sizes = {"batch": 3, "time": time}
        assert check_inputs(signature, signature.example(sizes))[1] == sizes
    for time in wrong:
        with pytest.raises(InputError, match=f"time is {time}; the model accepts time") as caught:
            check_inputs(signature, signature.example({"batch": 3, "time": time}))
        assert caught.value.code == "E-SHAPE"
