"""The limits of axes: the sizes that they accept, their forms, and sizes that follow from others."""

from __future__ import annotations

from typing import Any

import pytest

from ptx.infer.checks import check_limits
from ptx.infer.errors import InputError
from ptx.infer.limits import Limits, limits_from_data, parse_derived
from ptx.infer.signature import Signature


def images(height: Any, output: str = "height", **more: Any) -> Signature:
    return Signature.from_data(
        {
            "inputs": {"image": ["float32", ["batch", 3, height, "width"]]},
            "outputs": {"map": ["float32", ["batch", output, "width"]]},
            **more,
        }
    )


@pytest.mark.parametrize(
    ("limits", "accepted"),
    [
        (Limits(), [1, 2, 3, 31, 32, 64, 65]),
        (Limits(3, 64), [3, 31, 32, 64]),
        (Limits(32, None, 32), [32, 64]),
        (Limits(32, 32, 32), [32]),
    ],
)
def test_only_sizes_within_the_limits_are_accepted(limits: Limits, accepted: list[int]) -> None:
    assert [size for size in (0, 1, 2, 3, 31, 32, 64, 65) if limits.accepts(size)] == accepted


@pytest.mark.parametrize(
    ("size", "nearest"), [(1, 32), (47, 32), (48, 64), (80, 96), (96, 96), (1000, 96)]
)
def test_the_nearest_size_is_a_multiple_within_the_limits(size: int, nearest: int) -> None:
    assert Limits(32, 96, 32).nearest(size) == nearest


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (Limits(1, 64), "1 to 64"),
        (Limits(3), "at least 3"),
        (Limits(32, 512, 32), "32 to 512, multiples of 32"),
    ],
)
def test_limits_as_text(limits: Limits, text: str) -> None:
    assert str(limits) == text
    assert Limits.from_data("height", limits.to_data()) == limits


def test_limits_in_an_axis_are_those_of_the_key_axes() -> None:
    signature = images(["height", 32, 512, 32])
    assert signature.limits == {"height": Limits(32, 512, 32)}
    assert signature == images("height", axes={"height": [32, 512, 32]})
    assert signature == Signature.from_data(signature.to_data())


@pytest.mark.parametrize(
    ("height", "more", "message"),
    [
        (["height", 32, 500, 32], {}, "500, which is no multiple of 32"),
        (["height", 64, 32], {}, "64 and 32"),
        (["height"], {}, "expected its minimum"),
        (["height", 1, 2, 3, 4], {}, "expected its minimum"),
        (["height", "32"], {}, "expected integers"),
        (["height", 32], {"axes": {"height": [16]}}, "at least 16 and at least 32"),
    ],
)
def test_limits_that_are_not_valid_are_refused(
    height: Any, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        images(height, **more)


def test_the_sizes_of_a_test_are_multiples_and_different() -> None:
    signature = images(["height", 32, 0, 32], axes={"width": [32, 0, 32]})
    sizes = signature.distinct_sizes((5, 11, 13))
    assert sizes == {"batch": 5, "height": 32, "width": 64}


def test_a_size_between_two_multiples_is_refused() -> None:
    with pytest.raises(InputError, match=r"height is 48; .*32 to 512, multiples of 32") as caught:
        check_limits(images(["height", 32, 512, 32]), {"height": 48, "width": 7})
    assert caught.value.code == "E-SHAPE"


@pytest.mark.parametrize(
    ("name", "parts", "size"),
    [
        ("2*height", ("height", 2, 1), 128),
        ("height/4", ("height", 1, 4), 16),
        ("3*h/2", ("h", 3, 2), 96),
    ],
)
def test_an_axis_of_an_output_follows_from_an_input(
    name: str, parts: tuple[str, int, int], size: int
) -> None:
    derived = parse_derived(name)
    assert derived == parts
    assert derived.size(64) == size


@pytest.mark.parametrize("name", ["height", "0*height", "height/0", "*height", "height*2", "2*"])
def test_other_names_are_names(name: str) -> None:
    assert parse_derived(name) is None


def test_a_part_of_an_axis_needs_its_multiples() -> None:
    with pytest.raises(ValueError, match=r'state only its multiples: \["height", 4, 0, 4\]'):
        images("height", "height/4")
    signature = images(["height", 4, 0, 4], "height/4")
    assert signature.outputs[0].shape({"batch": 2, "height": 8, "width": 3}) == (2, 2, 3)
    assert images("height", "2*height").outputs[0].describe() == "(batch, 2*height, width)"


@pytest.mark.parametrize("output", ["depth", "2*depth", "2*batch/3"])
def test_an_axis_that_no_input_has_is_refused(output: str) -> None:
    with pytest.raises(ValueError, match="tensor 'map'"):
        images("height", output)


@pytest.mark.parametrize("data", [[1, 64], "time", {"time": 64}])
def test_other_data_are_no_limits(data: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        limits_from_data(data)
