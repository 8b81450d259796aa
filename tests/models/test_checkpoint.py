"""The checkpoint format: what it keeps, and what it refuses."""

from __future__ import annotations

import io
import math
import os
import pickle
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ptx.models import build
from ptx.models.checkpoint import Checkpoint, dumps, load_weights, loads, weights_digest


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def weights(model: str = "linear-model") -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(build(model).state_dict())


def whole() -> Checkpoint:
    torch.manual_seed(0)
    network = build("convnet")
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    network(torch.zeros(2, 1, 28, 28)).sum().backward()
    optimizer.step()
    return Checkpoint(
        weights=network.state_dict(),
        optimizer=optimizer.state_dict(),
        progress={"epoch": 2, "step": 7, "totals": {"loss": 0.5, "rows": 3}},
        random={"cpu": torch.get_rng_state()},
        history=[{"epoch": 1, "train_loss": 0.25}],
        samples={"image": torch.rand(3, 1, 28, 28)},
    )


def assert_same(got: Any, expected: Any) -> None:
    if isinstance(expected, Tensor):
        assert got.dtype == expected.dtype
        assert torch.equal(got, expected)
    elif isinstance(expected, dict):
        assert list(got) == list(expected)
        for key in expected:
            assert_same(got[key], expected[key])
    elif isinstance(expected, list):
        assert len(got) == len(expected)
        for mine, theirs in zip(got, expected, strict=True):
            assert_same(mine, theirs)
    else:
        assert got == expected


def test_a_checkpoint_comes_back_as_it_was() -> None:
    checkpoint = whole()
    got = loads(dumps(checkpoint))
    for part in ("weights", "optimizer", "progress", "random", "history", "samples"):
        assert_same(getattr(got, part), getattr(checkpoint, part))


def test_the_same_checkpoint_gives_the_same_bytes() -> None:
    assert dumps(whole()) == dumps(whole())


def test_the_weights_of_a_checkpoint_go_into_a_new_network() -> None:
    expected = whole().weights
    network = build("convnet")
    load_weights(network, loads(dumps(whole())).weights)
    assert_same(dict(network.state_dict()), dict(expected))


# A bare state dict.


@pytest.mark.parametrize(
    "prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."]
)
@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_a_bare_state_dict_is_read_without_its_wrappers_prefix(
    prefix: str, kind: type[dict[str, Tensor]]
) -> None:
    bare = weights("char-rnn-cell")
    data = saved(kind((f"{prefix}{name}", tensor) for name, tensor in bare.items()))
    assert_same(loads(data).weights, bare)
    assert loads(data).samples == {}


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "net"])
def test_a_state_dict_in_a_dictionary_with_other_things_is_found_and_told(key: str) -> None:
    bare = weights("char-rnn-cell")
    content = {"epoch": 3, key: {f"module.{name}": tensor for name, tensor in bare.items()}}
    found = loads(saved({**content, "optimizer_state_dict": {"state": {}}}))
    assert_same(found.weights, bare)
    assert found.notes == (
        f"the state dict is taken from {key!r}; ignored: epoch, optimizer_state_dict",
        "the prefix module. is removed from the names",
    )
    assert loads(saved(bare)).notes == ()


def test_a_wrapped_network_saves_what_is_read() -> None:
    network = build("linear-model")
    wrapped: Any = torch.compile(nn.DataParallel(network), backend="eager")
    assert all("." in name for name in wrapped.state_dict())
    assert_same(loads(saved(wrapped.state_dict())).weights, dict(network.state_dict()))


def test_a_weight_that_stands_with_and_without_a_prefix_is_refused() -> None:
    twice = {"module.linear.weight": torch.zeros(1, 1), "linear.weight": torch.ones(1, 1)}
    with pytest.raises(ValueError, match=r"weight 'linear.weight' occurs twice"):
        loads(saved(twice))


def test_parameters_are_weights() -> None:
    assert_same(
        loads(saved({"linear.weight": nn.Parameter(torch.ones(1, 1))})).weights,
        {"linear.weight": torch.ones(1, 1)},
    )


VALUES = {
    "nan": (torch.tensor([[math.nan]]), "weight 'linear.weight' is not finite"),
    "inf": (torch.tensor([[math.inf]]), "weight 'linear.weight' is not finite"),
    "-inf": (torch.tensor([[-math.inf]]), "weight 'linear.weight' is not finite"),
    "complex": (torch.tensor([[1j]]), "is of type torch.complex64; expected floats"),
    "none": (None, "entry 'linear.weight' is not a tensor with a name"),
    "str": ("1.0", "entry 'linear.weight' is not a tensor with a name"),
    "float": (1.0, "entry 'linear.weight' is not a tensor with a name"),
    "list": ([1.0], "entry 'linear.weight' is not a tensor with a name"),
    "sparse": (torch.eye(1).to_sparse(), "weight 'linear.weight' is not stored completely"),
    "expanded": (torch.zeros(1).expand(2**18, 2**18), "'linear.weight' is not stored completely"),
}


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("inside", ["bare", "checkpoint"])
def test_a_value_that_is_no_weight_is_refused_by_name(kind: str, inside: str) -> None:
    value, message = VALUES[kind]
    content: dict[str, Any] = {"linear.bias": torch.zeros(1), "linear.weight": value}
    if inside == "checkpoint":
        content = {
            "format": 1,
            "weights": content,
            "optimizer": {},
            "progress": {},
            "random": {},
            "history": [],
            "samples": {},
        }
    with pytest.raises(ValueError, match=re.escape(message)):
        loads(saved(content))


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="entry 0 is not a tensor with a name"):
        loads(saved({0: torch.zeros(1)}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "it contains no weights"),
        ([torch.zeros(1)], "it contains a list; expected a state dict"),
        (torch.zeros(1), "it contains a Tensor; expected a state dict"),
        ({"state_dict": {}, "epoch": 3}, "it contains no weights"),
        ({"model_state_dict": {"a": 3}}, "entry 'a' is not a tensor with a name"),
        ({"format": 2, "weights": {}}, "its format is 2; this ptx reads 1"),
        ({"format": 1, "weights": {"a": torch.zeros(1)}}, "'optimizer' is missing or not a dict"),
        (
            {
                "format": 1,
                "weights": {"a": torch.zeros(1)},
                "optimizer": {},
                "progress": {},
                "random": {},
                "history": {},
                "samples": {},
            },
            "its part 'history' is missing or not a list",
        ),
        ({"format": torch.ones(3), "a": "text"}, "entry 'a' is not a tensor with a name"),
    ],
)
def test_what_is_neither_checkpoint_nor_state_dict_is_refused(
    content: object, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        loads(saved(content))


# Code in a file is never run.


class _Shell:
    """Unpickling this makes a file."""

    def __init__(self, marker: Path) -> None:
        self.command = f"touch '{marker}'"

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("form", ["zip", "legacy", "bare"])
def test_a_pickle_that_runs_a_command_is_refused_and_does_not_run_it(
    form: str, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    content = {"weight": torch.zeros(1), "evil": _Shell(marker)}
    if form == "bare":
        data = pickle.dumps({"evil": _Shell(marker)}, protocol=2)
    else:
        buffer = io.BytesIO()
        torch.save(content, buffer, _use_new_zipfile_serialization=form == "zip")
        data = buffer.getvalue()
    with pytest.raises(ValueError, match="which could run code") as caught:
        loads(data)
    assert not marker.exists()
    assert "weights_only" not in str(caught.value)  # torch's advice to do without the guard
    if form == "bare":  # the negative control: the pickle is as bad as it is meant to be
        pickle.loads(data)
        assert marker.exists()


def test_a_whole_pickled_network_is_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match=r"save only the state dict: torch.save\(model.state_di"):
        loads(saved(nn.Linear(1, 1)))


# Weights into a network.


def test_missing_unknown_and_misshaped_weights_are_listed_by_name() -> None:
    wrong = weights("char-rnn-cell")
    del wrong["cell.bias_hh"]
    wrong["extra"] = torch.zeros(1)
    wrong["cell.weight_ih"] = torch.zeros(4, 5)
    network = build("char-rnn-cell")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ValueError, match="the weights do not match the network") as caught:
        load_weights(network, wrong)
    assert str(caught.value) == (
        "the weights do not match the network: cell.bias_hh is missing; extra is unknown;"
        " cell.weight_ih has shape (4, 5), expected (4, 4)"
    )
    assert_same(dict(network.state_dict()), before)


def test_of_many_problems_the_first_five_are_listed() -> None:
    with pytest.raises(ValueError, match=r"linear.bias is missing; .* and 5 more$"):
        load_weights(build("linear-model"), weights("convnet"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_float_type_become_the_networks(dtype: torch.dtype) -> None:
    network = build("linear-model")
    load_weights(network, {name: w.to(dtype) for name, w in weights().items()})
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, weights()[name].to(dtype).float())


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
def test_integers_in_the_place_of_weights_are_refused(dtype: torch.dtype) -> None:
    wrong = {**weights(), "linear.weight": torch.ones(1, 1, dtype=dtype)}
    with pytest.raises(ValueError, match=rf"linear.weight is of type {dtype}, expected floats"):
        load_weights(build("linear-model"), loads(saved(wrong)).weights)


def test_a_counter_beside_the_weights_is_kept_and_held_to_its_type() -> None:
    network = nn.BatchNorm1d(2)
    network.num_batches_tracked = torch.tensor(41)
    content = loads(saved(network.state_dict())).weights
    fresh = nn.BatchNorm1d(2)
    load_weights(fresh, content)
    assert fresh.num_batches_tracked == 41
    with pytest.raises(ValueError, match=r"tracked is of type torch.float32, expected torch.int64"):
        load_weights(fresh, {**content, "num_batches_tracked": torch.tensor(41.0)})


def test_a_weight_too_large_for_the_network_is_refused() -> None:
    large = {name: tensor.double() * 0 + 1e300 for name, tensor in weights().items()}
    with pytest.raises(ValueError, match=r"'linear.weight' has values that do not fit into torch"):
        load_weights(build("linear-model"), large)


# The digest.


def test_the_digest_is_of_the_content_not_of_its_layout() -> None:
    plain = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)}
    expected = weights_digest(plain)
    strided = {"b": torch.ones(4)[::2], "a": torch.arange(6.0).reshape(2, 3).t().contiguous().t()}
    assert strided["a"].stride() != plain["a"].stride()
    assert weights_digest(strided) == expected
    assert (
        weights_digest({name: nn.Parameter(tensor) for name, tensor in plain.items()}) == expected
    )


@pytest.mark.parametrize(
    "other",
    [
        {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1.0, 1.0000001])},
        {"a": torch.arange(6.0).reshape(3, 2), "b": torch.ones(2)},
        {"a": torch.arange(6.0).reshape(2, 3), "c": torch.ones(2)},
        {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.float64)},
        {"a": torch.arange(6.0).reshape(2, 3)},
    ],
    ids=["value", "shape", "name", "type", "missing"],
)
def test_the_digest_tells_contents_apart(other: dict[str, Tensor]) -> None:
    plain = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)}
    assert weights_digest(other) != weights_digest(plain)


def test_the_digest_is_the_one_that_is_written_in_manifests() -> None:
    """It is stored in files: this value never changes."""
    import hashlib

    content = b"a\0<f4\0(2,)\0" + b"\x00\x00\x80\x3f\x00\x00\x00\x40"
    expected = hashlib.sha256(content).hexdigest()
    assert weights_digest({"a": torch.tensor([1.0, 2.0])}) == expected


def test_the_digest_tells_bfloat16_from_other_types_of_its_bytes() -> None:
    half = {"a": torch.tensor([1.0, 2.0], dtype=torch.bfloat16)}
    digests = {
        weights_digest(weights)
        for weights in (half, {"a": half["a"].view(torch.float16)}, {"a": half["a"] * 2})
    }
    assert len(digests) == 3
    assert weights_digest(half) in digests
