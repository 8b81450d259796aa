"""The channels-last layout: taken where the network takes it, and without a trace where not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ptx.infer.backends.pytorch.device import use_channels_last
from ptx.infer.signature import Signature

SIGNATURE = Signature.from_data(
    {
        "inputs": {"image": ["float32", ["batch", 1, 8, 8]]},
        "outputs": {"y": ["float32", ["batch", 108]]},
    }
)


class Viewing(nn.Module):
    """A network that looks at its features through `view`, as tutorials do."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Dropout())

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.features(image)
        return features.view(len(image), -1)


class Flattening(Viewing):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.features(image)
        return features.flatten(1)


class Refusing(Viewing):
    """A network of one's own, which checks its features itself."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.features(image)
        if not features.is_contiguous():
            raise KeyError("strides")
        return features.flatten(1)


@pytest.mark.parametrize(
    ("network", "taken"), [(Flattening, True), (Viewing, False), (Refusing, False)]
)
def test_the_layout_is_taken_where_the_network_takes_it(
    network: type[Viewing], taken: bool
) -> None:
    made = network().train()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    state = torch.get_rng_state()
    use_channels_last(made, SIGNATURE, "cpu")
    assert torch.equal(torch.get_rng_state(), state)
    assert made.training
    assert all(torch.equal(made.state_dict()[name], before[name]) for name in before)
    features = made.eval().features(torch.zeros(2, 1, 8, 8))
    assert features.is_contiguous(memory_format=torch.channels_last) == taken
    assert made(torch.zeros(2, 1, 8, 8)).shape == (2, 108)


def test_other_devices_and_networks_without_convolutions_stay_as_they_are() -> None:
    made = Flattening().eval()
    use_channels_last(made, SIGNATURE, "cuda")
    features = made.features(torch.zeros(2, 1, 8, 8))
    assert not features.is_contiguous(memory_format=torch.channels_last)

    class Untried(nn.Linear):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            raise AssertionError("it was tried")

    use_channels_last(Untried(1, 1), SIGNATURE, "cpu")
