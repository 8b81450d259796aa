"""The .npy reader: what numpy.save wrote comes back; a header that lies is an error, not memory."""

from __future__ import annotations

import io
import re
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from ptx.infer.errors import InputError
from ptx.infer.tables.npy import read_npy

DTYPES = ["?", "i1", "u1", "<i2", ">i2", "<u4", ">i8", "<u8", "<f2", ">f2", "<f4", ">f4", "<f8"]


def saved(values: Any, version: tuple[int, int] | None = None) -> bytes:
    target = io.BytesIO()
    np.lib.format.write_array(target, np.asanyarray(values), version=version)
    return target.getvalue()


def with_header(text: str, values: bytes = b"", version: bytes = b"\1\0") -> bytes:
    size = len(text).to_bytes(2 if version == b"\1\0" else 4, "little")
    return b"\x93NUMPY" + version + size + text.encode("latin-1") + values


def header(descr: str = "'<f4'", shape: str = "(2,)", fortran: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}}}\n"


@given(
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=0, min_side=0))
    ),
    st.booleans(),
    st.sampled_from([(1, 0), (2, 0), (3, 0)]),
)
def test_what_numpy_saved_comes_back_native_and_contiguous(
    values: np.ndarray[Any, Any], fortran: bool, version: tuple[int, int]
) -> None:
    if fortran:
        values = np.asfortranarray(values)
    got = read_npy(saved(values, version), name="a.npy")
    np.testing.assert_array_equal(got, values)
    assert got.shape == values.shape
    assert got.dtype == values.dtype.newbyteorder("=")
    assert got.dtype.isnative
    assert got.flags.c_contiguous
    assert got.flags.writeable


ONES = saved(np.ones((2, 3), np.float32))
STRUCTURED = saved(np.zeros(2, [("a", "f4"), ("b", "i4")]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "'a.npy' is empty; expected a .npy file"),
        (b"PK\3\4 an archive", "begins with 50 4b 03 04"),
        (ONES[:6], "has the format version ; expected 1.0, 2.0 or 3.0"),
        (b"\x93NUMPY\7\0" + ONES[8:], "has the format version 07 00"),
        (ONES[:9], "has a header that is truncated"),
        (ONES[:40], "has a header that is truncated"),
        (with_header(header() + " " * 20_000), "truncated or too long"),
        (with_header("{[]: 1}"), "has a header that cannot be parsed"),
        (with_header("-" * 9_000 + "1"), "has a header that cannot be parsed"),
        (ONES[:-1], "is truncated: it has 23 bytes of values; expected 24"),
        (ONES[:128], "is truncated: it has 0 bytes of values; expected 24"),
        (ONES + b"\0", "has trailing bytes: it has 25 bytes of values; expected 24"),
        (with_header(header(shape="(1099511627776, 4)")), "is truncated: it has 0 bytes"),
        (
            with_header(header(shape="(0, 9223372036854775807)")),
            "has shape (0, 9223372036854775807)",
        ),
        (saved(np.array([None, "x"], object)), "pickled Python objects, which are never loaded"),
        (STRUCTURED, "contains a structured array"),
        (saved(np.array(["ab"])), "has dtype '<U2'; expected booleans, integers or floats"),
        (saved(np.array([1j])), "has dtype '<c16'"),
        (saved(np.array(["2020-01-01"], "M8[D]")), "has dtype '<M8[D]'"),
        (with_header(header(descr="'<f16'"), b"\0" * 32), "has dtype '<f16'"),
        (with_header("{'descr': '<f4'}"), "has a header with other entries"),
        (with_header("[1, 2]"), "has a header with other entries"),
        (with_header("__import__('os').getpid()"), "has a header that cannot be parsed"),
        (with_header("(" * 5_000), "has a header that cannot be parsed"),
        (with_header("\xff", version=b"\3\0"), "has a header that cannot be parsed"),
        (with_header(header(shape="(-1,)")), "has an invalid shape"),
        (with_header(header(shape="(True,)")), "has an invalid shape"),
        (with_header(header(shape=f"(0x{'f' * 5000}, 2)")), "has an invalid shape"),
        (with_header(header(shape="2")), "has an invalid shape"),
        (with_header(header(shape=str((1,) * 40)), b"\0" * 4), "has an invalid shape"),
    ],
)
def test_a_file_that_is_not_a_whole_plain_array_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read_npy(data, name="a.npy")
    assert caught.value.code == "E-NPY"


def test_sixteen_tebibytes_in_the_header_take_no_memory() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="is truncated"):
            read_npy(with_header(header(shape="(4398046511104,)")), name="a.npy")
        assert tracemalloc.get_traced_memory()[1] < 2**20  # bytes
    finally:
        tracemalloc.stop()


@given(st.integers(0, len(ONES) - 1), st.integers(0, 7))
def test_a_flipped_bit_gives_an_array_or_an_input_error(position: int, bit: int) -> None:
    data = bytearray(ONES)
    data[position] ^= 1 << bit
    try:
        values = read_npy(bytes(data), name="a.npy")
    except InputError:
        return
    assert values.nbytes == 24


@given(st.binary(max_size=40), st.text(max_size=40))
def test_random_bytes_are_refused(data: bytes, text: str) -> None:
    encoded = text.encode("latin-1", "replace")
    for content in (data, with_header(encoded.decode("latin-1"), data)):
        with pytest.raises(InputError):
            read_npy(content, name="a.npy")
