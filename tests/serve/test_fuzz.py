"""Bytes of any kind into the readers of the protocol: a tensor comes out, or a refusal, nothing else."""

from __future__ import annotations

import contextlib
import gzip
import math
import zlib
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptx.serve.codec import decode_request, decompress
from ptx.serve.errors import RequestError
from ptx.serve.tensors import BYTES, DATATYPES, Tensor, check_shape, from_bytes, from_json, to_bytes

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)
NAMES = st.sampled_from([*DATATYPES, BYTES, "BF16", ""])
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("image") | VALUES,
        "shape": st.lists(st.integers(-1, 4), max_size=4) | VALUES,
        "datatype": NAMES | VALUES,
        "data": VALUES,
        "parameters": st.fixed_dictionaries(
            {},
            optional={
                "binary_data_size": st.integers(-1, 40) | VALUES,
                "shared_memory_region": VALUES,
            },
        )
        | VALUES,
    },
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "id": VALUES,
        "inputs": st.lists(TENSORS, max_size=3) | VALUES,
        "parameters": VALUES,
        "outputs": st.lists(TENSORS, max_size=2) | VALUES,
    },
)


@settings(max_examples=300, deadline=None)
@given(REQUESTS, st.binary(max_size=60))
def test_a_request_is_read_or_refused(request: Any, behind: bytes) -> None:
    try:
        text = orjson.dumps(request)
    except TypeError:
        return
    for body, size in ((text, None), (text + behind, len(text))):
        with contextlib.suppress(RequestError):
            for tensor in decode_request(body, size).inputs:
                assert math.prod(tensor.shape) == len(np.ravel(np.array(tensor.values, object)))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.none() | st.integers(0, 200))
def test_bytes_are_read_or_refused(body: bytes, size: int | None) -> None:
    with pytest.raises(RequestError):
        decode_request(body, None if size is None else min(size, len(body)))


@settings(max_examples=300, deadline=None)
@given(NAMES, st.lists(st.integers(0, 5), max_size=3), st.binary(max_size=80))
def test_what_is_read_is_written_the_same(datatype: str, shape: list[int], data: bytes) -> None:
    with contextlib.suppress(RequestError):
        assert to_bytes(from_bytes("x", datatype, check_shape("x", shape), data)) == data


@pytest.mark.parametrize("datatype", sorted(set(DATATYPES) - {"FP16"}))
def test_numbers_of_each_type_go_through_json(datatype: str) -> None:
    values = np.array([[0, 1], [1, 0]]).astype(DATATYPES[datatype])
    tensor: Tensor = from_json("x", datatype, (2, 2), values.tolist())
    assert isinstance(tensor.values, np.ndarray)
    assert tensor.values.dtype == values.dtype
    assert np.array_equal(tensor.values, values)


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=3000), st.sampled_from(["gzip", "deflate"]))
def test_what_is_compressed_is_decompressed_the_same(body: bytes, coding: str) -> None:
    compressed = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
    assert decompress(compressed, coding, 3000) == body
    with pytest.raises(RequestError) as found:
        decompress(compressed, coding, len(body) - 1)
    assert found.value.status == 413


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "br"]))
def test_what_is_not_compressed_is_refused(body: bytes, coding: str) -> None:
    with pytest.raises(RequestError):
        decompress(body, coding, 1000)
