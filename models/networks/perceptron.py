"""A multilayer perceptron."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}


class Perceptron(nn.Module):
    """Linear layers with an activation between them; without hidden layers, a softmax regression.

    `dropout` is the probability of dropping a hidden unit in training. With `probability` a sigmoid
    follows the last layer, so that the output is a probability.

    >>> Perceptron(784, [128, 64], 10)(torch.zeros(2, 784)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        classes: int,
        *,
        activation: str = "relu",
        bias: bool = True,
        dropout: float = 0.0,
        probability: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        width = inputs
        for size in hidden:
            layers += [nn.Linear(width, size, bias=bias), ACTIVATIONS[activation]()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = size
        layers.append(nn.Linear(width, classes, bias=bias))
        if probability:
            layers.append(nn.Sigmoid())
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: Tensor) -> Tensor:
        """`inputs`: float32 (batch, ...); returns float32 (batch, classes)."""
        outputs: Tensor = self.layers(inputs)
        return outputs
