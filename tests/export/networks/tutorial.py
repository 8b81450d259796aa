"""The documented networks with the names that a reader of the tutorials types."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence


def chain(**layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear1 = nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Any:
        return self.linear1(x)


class Diabetes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear1 = nn.Linear(8, 6)
        self.linear2 = nn.Linear(6, 4)
        self.linear3 = nn.Linear(4, 1)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Any:
        x = self.sigmoid(self.linear1(x))
        x = self.sigmoid(self.linear2(x))
        return self.sigmoid(self.linear3(x))


def softmax_regression() -> nn.Module:
    return chain(linear=nn.Linear(784, 10, bias=False))


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 128)
        self.fc2 = nn.Linear(128, 64)
        self.out = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Any:
        return self.out(functional.relu(self.fc2(functional.relu(self.fc1(x)))))


def sigmoid_mlp() -> nn.Module:
    return chain(
        linear_1=nn.Linear(784, 512, bias=False),
        sigmoid_1=nn.Sigmoid(),
        linear_2=nn.Linear(512, 10, bias=False),
    )


def dropout_mlp() -> nn.Module:
    return chain(
        linear_1=nn.Linear(784, 512, bias=False),
        relu_1=nn.ReLU(),
        dropout_1=nn.Dropout(0.2),
        linear_2=nn.Linear(512, 512, bias=False),
        relu_2=nn.ReLU(),
        dropout_2=nn.Dropout(0.2),
        linear_3=nn.Linear(512, 10, bias=False),
    )


class DeepConvNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(3136, 512)  # registered first: order does not matter
        self.fc2 = nn.Linear(512, 10)
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)

    def forward(self, x: Tensor) -> Any:
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        return self.fc2(functional.relu(self.fc1(x.view(-1, 3136))))


class ConvNet(nn.Module):
    """conv1's bias and fc2's have equal shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
        self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
        self.drop = nn.Dropout2d()
        self.fc1 = nn.Linear(320, 50)
        self.fc2 = nn.Linear(50, 10)

    def forward(self, x: Tensor) -> Any:
        x = functional.relu(functional.max_pool2d(self.conv1(x), 2))
        x = functional.relu(functional.max_pool2d(self.drop(self.conv2(x)), 2))
        x = functional.relu(self.fc1(x.view(-1, 320)))
        return self.fc2(functional.dropout(x, training=self.training))


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(28, 128)
        self.fc = nn.Linear(128, 10, bias=False)

    def forward(self, x: Tensor) -> Any:
        h0 = torch.zeros(1, x.size(1), 128)
        outputs, _ = self.lstm(x, (h0, torch.zeros_like(h0)))
        return self.fc(outputs[-1])


class NeuralNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.linear_relu_stack = nn.Sequential(
            nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
        )

    def forward(self, x: Tensor) -> Any:
        return self.linear_relu_stack(self.flatten(x))


class SoftmaxMlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l1 = nn.Linear(784, 512)
        self.l2 = nn.Linear(512, 256)
        self.l3 = nn.Linear(256, 128)
        self.l4 = nn.Linear(128, 64)
        self.l5 = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Any:
        for layer in (self.l1, self.l2, self.l3, self.l4):
            x = functional.relu(layer(x))
        return self.l5(x)


class BasicCnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
        self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
        self.pooling = nn.MaxPool2d(2)
        self.fc = nn.Linear(320, 10)

    def forward(self, x: Tensor) -> Any:
        x = functional.relu(self.pooling(self.conv1(x)))
        x = functional.relu(self.pooling(self.conv2(x)))
        return self.fc(x.view(len(x), -1))


BRANCHES = (
    "branch1x1",
    "branch5x5_1",
    "branch5x5_2",
    "branch3x3_1",
    "branch3x3_2",
    "branch3x3_3",
    "branch_pool",
)


class InceptionA(nn.Module):
    branch1x1: nn.Module
    branch5x5_1: nn.Module
    branch5x5_2: nn.Module
    branch3x3_1: nn.Module
    branch3x3_2: nn.Module
    branch3x3_3: nn.Module
    branch_pool: nn.Module

    def __init__(self, channels: int, order: tuple[str, ...] = BRANCHES) -> None:
        super().__init__()
        made: dict[str, Callable[[], nn.Module]] = {
            "branch1x1": lambda: nn.Conv2d(channels, 16, 1),
            "branch5x5_1": lambda: nn.Conv2d(channels, 16, 1),
            "branch5x5_2": lambda: nn.Conv2d(16, 24, 5, padding=2),
            "branch3x3_1": lambda: nn.Conv2d(channels, 16, 1),
            "branch3x3_2": lambda: nn.Conv2d(16, 24, 3, padding=1),
            "branch3x3_3": lambda: nn.Conv2d(24, 24, 3, padding=1),
            "branch_pool": lambda: nn.Conv2d(channels, 24, 1),
        }
        for name in order:
            setattr(self, name, made[name]())

    def forward(self, x: Tensor) -> Any:
        branch1x1 = self.branch1x1(x)
        branch5x5 = self.branch5x5_2(self.branch5x5_1(x))
        branch3x3 = self.branch3x3_3(self.branch3x3_2(self.branch3x3_1(x)))
        branch_pool = self.branch_pool(functional.avg_pool2d(x, 3, stride=1, padding=1))
        return torch.cat([branch1x1, branch5x5, branch3x3, branch_pool], dim=1)


class Inception(nn.Module):
    def __init__(self, order: tuple[str, ...] = BRANCHES) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
        self.conv2 = nn.Conv2d(88, 20, kernel_size=5)
        self.incep1 = InceptionA(10, order)
        self.incep2 = InceptionA(20, order)
        self.mp = nn.MaxPool2d(2)
        self.fc = nn.Linear(1408, 10)

    def forward(self, x: Tensor) -> Any:
        x = self.incep1(functional.relu(self.mp(self.conv1(x))))
        x = self.incep2(functional.relu(self.mp(self.conv2(x))))
        return self.fc(x.view(len(x), -1))


def inception_in_another_order() -> nn.Module:
    """The pooling branch first, and the 3×3 branch before the 5×5 one."""
    return Inception((BRANCHES[6], *BRANCHES[3:6], *BRANCHES[1:3], BRANCHES[0]))


class ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Any:
        return functional.relu(x + self.conv2(functional.relu(self.conv1(x))))


class ResidualNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, kernel_size=5)
        self.conv2 = nn.Conv2d(16, 32, kernel_size=5)
        self.mp = nn.MaxPool2d(2)
        self.rblock1 = ResidualBlock(16)
        self.rblock2 = ResidualBlock(32)
        self.fc = nn.Linear(512, 10)

    def forward(self, x: Tensor) -> Any:
        x = self.rblock1(self.mp(functional.relu(self.conv1(x))))
        x = self.rblock2(self.mp(functional.relu(self.conv2(x))))
        return self.fc(x.view(len(x), -1))


class RnnCell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnncell = nn.RNNCell(4, 4)

    def forward(self, x: Tensor) -> Any:
        hidden, states = torch.zeros(x.size(1), 4), []
        for step in x:
            hidden = self.rnncell(step, hidden)
            states.append(hidden)
        return torch.stack(states)


class Rnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.RNN(4, 4)

    def forward(self, x: Tensor) -> Any:
        return self.net(x)[0]


class RnnEmbedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(4, 10)
        self.rnn = nn.RNN(10, 8, num_layers=2, batch_first=True)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.rnn(self.emb(x))[0])


class NameClassifier(nn.Module):
    """The backward state first, as the lecture has it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(128, 100)
        self.gru = nn.GRU(100, 100, 2, bidirectional=True)
        self.fc = nn.Linear(200, 18)

    def forward(self, characters: Tensor, lengths: Tensor) -> Any:
        embedded = self.embedding(characters.t())
        _, hidden = self.gru(pack_padded_sequence(embedded, lengths, enforce_sorted=False))
        return self.fc(torch.cat([hidden[-1], hidden[-2]], dim=1))


# Catalog name → the network as typed, and the ones typed otherwise.
TYPED: list[tuple[str, Callable[[], nn.Module]]] = [
    ("linear-regression", lambda: chain(linear=nn.Linear(1, 1, bias=False))),
    ("linear-model", Linear),
    ("logistic-regression", lambda: chain(linear=nn.Linear(1, 1), sigmoid=nn.Sigmoid())),
    ("diabetes", Diabetes),
    ("softmax-regression", softmax_regression),
    ("mlp", Mlp),
    ("sigmoid-mlp", sigmoid_mlp),
    ("dropout-mlp", dropout_mlp),
    ("deep-convnet", DeepConvNet),
    ("convnet", ConvNet),
    ("lstm", Lstm),
    ("neural-network", NeuralNetwork),
    ("softmax-mlp", SoftmaxMlp),
    ("basic-cnn", BasicCnn),
    ("inception", Inception),
    ("inception", inception_in_another_order),
    ("residual-net", ResidualNet),
    ("char-rnn-cell", RnnCell),
    ("char-rnn", Rnn),
    ("char-rnn-embedding", RnnEmbedding),
    ("name-classifier", NameClassifier),
]
