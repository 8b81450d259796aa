"""Faults in a network, and a network of one's own that has room for many."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

SIGNATURE = {
    "inputs": {"image": ["float32", ["batch", 3, 9, 9]]},
    "outputs": {"logits": ["float32", ["batch", 3]], "box": ["float32", ["batch", 3]]},
}
COLOURS = ("blue", "green", "red")


class Ward(nn.Module):
    """Convolution, batch normalisation, both poolings; three logits, and a box that mixes scales."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution, self.normalisation = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.classes, self.box = nn.Linear(4, 3), nn.Linear(4, 3)
        seen = self.normalisation.state_dict()
        nn.init.uniform_(seen["running_var"], 1e-3, 0.1)
        nn.init.normal_(seen["running_mean"])

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """`image`: float32 (batch, 3, 9, 9). Returns logits and box, both float32 (batch, 3)."""
        features = self.normalisation(torch.relu(self.convolution(image)))
        features = nn.functional.max_pool2d(features, 2)
        features = nn.functional.avg_pool2d(features, 3, 1, 1, count_include_pad=False).mean((2, 3))
        place = self.box(features)
        pixels, sure = 4000 * torch.tanh(place[:, :2]), torch.sigmoid(place[:, 2:])
        return self.classes(features), torch.cat([pixels, sure], dim=1)


class Around(nn.Module):
    """A network with something before and after it."""

    def __init__(
        self,
        network: nn.Module,
        before: Callable[..., tuple[Tensor, ...]],
        after: Callable[[Any], Any],
    ) -> None:
        super().__init__()
        self.network, self.before, self.after = copy.deepcopy(network), before, after

    def forward(self, *inputs: Tensor) -> Any:
        return self.after(self.network(*self.before(*inputs)))


def _as_it_is(*inputs: Tensor) -> tuple[Tensor, ...]:
    return inputs


def after(change: Callable[[Any], Any]) -> Callable[[nn.Module], nn.Module]:
    """The network's output is changed."""
    return lambda network: Around(network, _as_it_is, change)


def before(change: Callable[..., tuple[Tensor, ...]]) -> Callable[[nn.Module], nn.Module]:
    """The network's inputs are changed."""
    return lambda network: Around(network, change, lambda outputs: outputs)


def logits(change: Callable[[Tensor], Tensor]) -> Callable[[nn.Module], nn.Module]:
    """The first of Ward's outputs is changed."""
    return after(lambda outputs: (change(outputs[0]), outputs[1]))


def without_two(values: Tensor) -> Tensor:
    """NaN where the batch has two rows."""
    apart = torch.ones_like(values[:, 0]).sum() - 2
    return values * (apart / apart)


class Training(Around):
    """Whose batch normalisation eval() leaves in training mode."""

    def train(self, mode: bool = True) -> Training:
        super().train(mode)
        self.network.get_submodule("normalisation").training = True
        return self


def in_training(network: nn.Module) -> nn.Module:
    return Training(network, _as_it_is, lambda outputs: outputs).eval()


class Counting(Around):
    """Which counts its calls, and lets them show."""

    calls: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network, _as_it_is, lambda outputs: outputs)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, *inputs: Tensor) -> Any:
        self.calls.add_(1)
        first, second = super().forward(*inputs)
        return first + self.calls, second


class Spoiling(Around):
    """Which overwrites what it is given once it has read it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network, _as_it_is, lambda outputs: outputs)

    def forward(self, *inputs: Tensor) -> Any:
        outputs = super().forward(inputs[0].clone())
        inputs[0].zero_()
        return outputs


def on_the_cpu(values: Tensor) -> Tensor:
    """Constants that are made on the CPU, whatever the device of the rest."""
    return values + torch.zeros(3, device="cpu")


def frozen_time(network: nn.Module) -> nn.Module:
    """Four steps, as they were when a loop was traced; what follows repeats the last."""

    class Frozen(Around):
        def forward(self, *inputs: Tensor) -> Any:
            four = self.network(inputs[0][:4])
            more = four[-1:].expand(inputs[0].shape[0] - 4, -1, -1)
            return torch.cat([four, more])

    return Frozen(network, _as_it_is, lambda outputs: outputs)


def unmasked(characters: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
    """The padding counts as part of each name."""
    return characters, torch.zeros_like(lengths) + characters.shape[1]


def transposed(image: Tensor) -> tuple[Tensor, ...]:
    """Rows and columns of a flat picture have changed places."""
    return (image.reshape(-1, 28, 28).transpose(1, 2).reshape(-1, 784),)


def other_weights(network: nn.Module) -> nn.Module:
    """The same network of another seed."""
    other = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return other
