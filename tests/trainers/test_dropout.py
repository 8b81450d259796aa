"""Dropout from random bits: the distribution of `nn.Dropout(0.5)`, in any layout."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ptx.trainers.dropout import HalfDropout, use_bits


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    made: torch.Tensor = HalfDropout().train()(torch.ones(shape))
    return made


def test_each_element_is_zero_or_doubled_with_equal_probability() -> None:
    made = noise(1000, 1003)
    assert set(made.flatten().tolist()) == {0.0, 2.0}
    # Five standard deviations of a million draws.
    assert abs(float(made.mean()) - 1) < 5e-3
    columns = made.mean(dim=0)
    assert float((columns - 1).abs().max()) < 6 / 1000**0.5


@pytest.mark.parametrize("distance", range(1, 17))
def test_neighbours_know_nothing_of_each_other(distance: int) -> None:
    signs = noise(1_000_000) - 1
    correlation = float((signs[distance:] * signs[:-distance]).mean())
    assert abs(correlation) < 5e-3


def test_the_mask_follows_the_seed_and_changes_with_each_call() -> None:
    torch.testing.assert_close(noise(50, 7), noise(50, 7), rtol=0, atol=0)
    assert not torch.equal(noise(50, 7), noise(50, 7, seed=1))
    module = HalfDropout().train()
    assert not torch.equal(module(torch.ones(50, 7)), module(torch.ones(50, 7)))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_gradient_and_layout_go_through_the_same_mask(layout: torch.memory_format) -> None:
    values = torch.randn(4, 3, 5, 5).to(memory_format=layout).requires_grad_()
    made = HalfDropout().train()(values)
    assert made.is_contiguous(memory_format=layout)
    made.sum().backward()
    assert values.grad is not None
    assert set(values.grad.flatten().tolist()) == {0.0, 2.0}
    torch.testing.assert_close(made, values * values.grad, rtol=0, atol=0)


@pytest.mark.parametrize("values", [torch.ones(0, 4), torch.tensor(1.0), torch.ones(6, 4).t()])
def test_any_shape_comes_back_as_it_is(values: torch.Tensor) -> None:
    assert HalfDropout().train()(values).shape == values.shape
    assert torch.equal(HalfDropout().eval()(values), values)


def test_only_halves_are_replaced_and_on_the_cpu_alone() -> None:
    def kinds(device: str) -> list[str]:
        inner = nn.Sequential(nn.Dropout(0.2), nn.Dropout())
        network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(), inner)
        before = list(network.state_dict())
        use_bits(network, device)
        assert list(network.state_dict()) == before
        return [type(module).__name__ for module in network.modules()]

    assert kinds("cpu").count("HalfDropout") == 2
    assert kinds("cpu").count("Dropout") == 1
    assert kinds("cuda").count("Dropout") == 3
