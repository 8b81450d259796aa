"""Weights under other names: matched where one place is left for each, refused where two are."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from ptx.models import CATALOG, build
from ptx.models.state_dict import find_models, match_weights

A, B = (4, 4, 3, 3), (8, 4, 3, 3)


def state(**layers: tuple[int, ...]) -> dict[str, Tensor]:
    """`conv1=(4, 4, 3, 3)`: the weight and the bias of a layer; `__` stands for a point."""
    return {
        f"{name.replace('__', '.')}.{last}": torch.zeros(shape)
        for name, weight in layers.items()
        for last, shape in (("weight", weight), ("bias", weight[:1]))
    }


def layers(found: dict[str, str]) -> dict[str, str]:
    return {own.rpartition(".")[0]: given.rpartition(".")[0] for own, given in found.items()}


def test_a_shape_that_stands_once_decides_whatever_name_and_order() -> None:
    own, given = state(features__0=A, classifier__1=(2, 8)), state(fc=(2, 8), stem=A)
    assert layers(match_weights(own, given)) == {"features.0": "stem", "classifier.1": "fc"}


def test_a_bias_goes_with_its_weight() -> None:
    own, given = state(a=(10, 1, 5, 5), b=(10, 50)), state(fc=(10, 50), conv=(10, 1, 5, 5))
    found = match_weights(own, given)
    assert (found["a.bias"], found["b.bias"]) == ("conv.bias", "fc.bias")


def test_numbered_layers_of_one_shape_are_matched_by_their_numbers() -> None:
    own = state(block__first=A, block__second=A, end=B)
    for names in (("b.conv1", "b.conv2"), ("b.conv_1", "b.conv_2"), ("b.0", "b.2"), ("l9", "l10")):
        first, second = (name.replace(".", "__") for name in names)
        found = match_weights(own, state(**{first: A, second: A, "fc": B}))
        assert layers(found) == {"block.first": names[0], "block.second": names[1], "end": "fc"}


def test_layers_of_one_shape_are_told_apart_by_those_that_are_numbered_with_them() -> None:
    own = state(wide__0=A, wide__1=B, deep__0=A, deep__1=(4, 4, 5, 5))
    given = state(b5_1=A, b5_2=(4, 4, 5, 5), b3_1=A, b3_2=B)
    assert layers(match_weights(own, given)) == {
        "wide.0": "b3_1",
        "wide.1": "b3_2",
        "deep.0": "b5_1",
        "deep.1": "b5_2",
    }


DOUBTFUL = {
    "the file has the second first": state(conv2=A, conv1=A, fc=B),
    "letters for numbers": state(conv_a=A, conv_b=A, fc=B),
    "words for numbers": state(reduce=A, expand=A, fc=B),
    "one number twice": state(conv1=A, conv_1=A, fc=B),
    "numbers of another chain": state(conv1=A, conv2=B, conv3=A),
}


@pytest.mark.parametrize("why", DOUBTFUL)
def test_layers_that_may_be_exchanged_for_each_other_are_refused(why: str) -> None:
    own = state(block__first=A, block__second=A, end=B)
    with pytest.raises(ValueError, match="it is ambiguous which layer is which") as caught:
        match_weights(own, DOUBTFUL[why])
    assert "expected the names block.first; block.second" in str(caught.value)
    assert "weight (4, 4, 3, 3)" in str(caught.value)


BRANCHES = {
    "1x1": (16, 10, 1, 1), "5x5_1": (16, 10, 1, 1), "5x5_2": (24, 16, 5, 5), "3x3_1": (16, 10, 1, 1),
    "3x3_2": (24, 16, 3, 3), "3x3_3": (24, 24, 3, 3), "pool": (24, 10, 1, 1),
}  # fmt: skip


@pytest.mark.parametrize(
    "order", [list(BRANCHES), ["pool", "3x3_1", "3x3_2", "3x3_3", "5x5_1", "5x5_2", "1x1"]]
)
def test_inceptions_branches_under_names_that_do_not_tell_are_refused(order: list[str]) -> None:
    own = {
        name.removeprefix("first_block."): tensor
        for name, tensor in build("inception").state_dict().items()
        if name.startswith("first_block.")
    }
    named = layers(match_weights(own, state(**{f"branch{name}": BRANCHES[name] for name in order})))
    first = {own: named[own] for own in ("pointwise", "wide.0", "deep.0")}
    assert first == {"pointwise": "branch1x1", "wide.0": "branch5x5_1", "deep.0": "branch3x3_1"}
    numbered = {f"conv{index}": BRANCHES[name] for index, name in enumerate(order, 1)}
    lettered = {f"branch_{chr(97 + index)}": BRANCHES[name] for index, name in enumerate(order)}
    for names in (numbered, lettered):
        with pytest.raises(ValueError, match="it is ambiguous which layer is which"):
            match_weights(own, state(**names))


def test_shapes_that_do_not_fit_are_listed_with_both() -> None:
    own = state(features__0=A, classifier=(10, 50))
    with pytest.raises(ValueError, match="the weights do not match the network") as caught:
        match_weights(own, state(conv=A, fc=(10, 60), more=(3, 3)))
    assert str(caught.value) == (
        "the weights do not match the network: fc.weight has shape (10, 60), expected (10, 50)"
        " of classifier.weight;"
        " more.bias (3,) is unknown; more.weight (3, 3) is unknown"
    )


def test_of_many_misfits_five_are_listed() -> None:
    given = state(**{f"l{index}": (index, 7) for index in range(1, 9)})
    with pytest.raises(ValueError, match=re.escape(" and 11 more")):
        match_weights(state(only=(3, 3)), given)


@pytest.mark.parametrize("model", CATALOG)
def test_the_models_of_a_state_dict_are_found_by_its_shapes(model: str) -> None:
    weights = build(model).state_dict()
    assert model in find_models(weights)
    assert find_models({**weights, "more.weight": torch.zeros(2)}) == ()


def test_layers_of_other_names_fit_a_model() -> None:
    weights = build("neural-network").state_dict()
    assert find_models({f"net.{name}": weights[name] for name in weights}) == ("neural-network",)
