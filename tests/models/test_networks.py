"""The networks against their documented definition: torch's own layers, or NumPy."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from ptx.infer.signature import Signature
from ptx.models import CATALOG, build
from ptx.models.networks.char_rnn import CharRNN, CharRNNCell, CharRNNEmbedding
from ptx.models.networks.convnet import ConvNet
from ptx.models.networks.inception import InceptionA
from ptx.models.networks.lstm import LSTMClassifier
from ptx.models.networks.name_classifier import NameClassifier
from ptx.models.networks.residual_net import ResidualBlock
from ptx.models.networks.tanh_rnn import tanh_rnn

MODULES = sorted({entry.network.partition(":")[0] for entry in CATALOG.values()})
TOLERANCES = {torch.float32: 1e-6, torch.float64: 1e-12}

Floats = NDArray[np.float64]


def uniform(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """Numbers from −1 to 1."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=dtype) * 2 - 1


def weights_of(layer: nn.Module) -> dict[str, Floats]:
    return {name: tensor.double().numpy() for name, tensor in layer.state_dict().items()}


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_print_what_they_say(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module), extraglobs={"torch": torch})
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize("model", CATALOG)
def test_every_parameter_gets_a_gradient(model: str) -> None:
    torch.manual_seed(0)
    network = build(model)
    signature = Signature.from_data(CATALOG[model].signature)
    inputs = signature.example({"batch": 16, "time": 6})
    network(*(torch.from_numpy(array) for array in inputs.values())).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("model", CATALOG)
def test_a_sample_is_answered_as_it_is_alone(model: str) -> None:
    torch.manual_seed(0)
    network = build(model).double().eval()
    signature = Signature.from_data(CATALOG[model].signature)
    tensors = [torch.from_numpy(a) for a in signature.example({"batch": 5, "time": 6}).values()]
    tensors = [t.double() if t.is_floating_point() else t for t in tensors]
    (output,) = signature.outputs
    together = network(*tensors)
    for row in range(5):
        alone = network(
            *(
                tensor.narrow(spec.batch_axis, row, 1)
                for spec, tensor in zip(signature.inputs, tensors, strict=True)
            )
        )
        torch.testing.assert_close(
            alone, together.narrow(output.batch_axis, row, 1), rtol=0, atol=1e-12
        )


# The plain recurrent layer, which is written as a GRU.


def gradients(outputs: Tensor, tensors: list[Tensor]) -> list[Tensor]:
    """Of a sum in which every output counts differently."""
    counted = outputs * uniform(*outputs.shape, dtype=outputs.dtype, seed=9)
    return list(torch.autograd.grad(counted.sum(), tensors))


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize(("time", "batch"), [(1, 1), (5, 1), (1, 4), (9, 3), (40, 2)])
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_tanh_rnn_is_nn_rnn(dtype: torch.dtype, time: int, batch: int, layers: int) -> None:
    torch.manual_seed(layers)
    reference = nn.RNN(4, 6, layers).to(dtype)
    sequence = (3 * uniform(time, batch, 4, dtype=dtype)).requires_grad_()
    parameters = [sequence, *reference.parameters()]
    expected, _ = reference(sequence)
    got = tanh_rnn(sequence, reference.all_weights)
    tolerance = TOLERANCES[dtype]
    torch.testing.assert_close(got, expected, rtol=0, atol=tolerance)
    for mine, theirs in zip(
        gradients(got, parameters), gradients(expected, parameters), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=10 * tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_tanh_rnn_is_a_loop_over_nn_rnn_cell(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    cell = nn.RNNCell(4, 6).to(dtype)
    sequence = (3 * uniform(11, 3, 4, dtype=dtype)).requires_grad_()
    parameters = [sequence, *cell.parameters()]
    state, states = torch.zeros(3, 6, dtype=dtype), []
    for step in sequence:
        state = cell(step, state)
        states.append(state)
    expected = torch.stack(states)
    got = tanh_rnn(sequence, [(cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)])
    tolerance = TOLERANCES[dtype]
    torch.testing.assert_close(got, expected, rtol=0, atol=tolerance)
    for mine, theirs in zip(
        gradients(got, parameters), gradients(expected, parameters), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=10 * tolerance, atol=10 * tolerance)


def test_the_char_rnns_are_their_documented_layers() -> None:
    torch.manual_seed(0)
    sequence = uniform(7, 3, 4)
    cell, layer, embedded = CharRNNCell(), CharRNN(), CharRNNEmbedding()
    state, states = torch.zeros(3, 4), []
    for step in sequence:
        state = cell.cell(step, state)
        states.append(state)
    torch.testing.assert_close(cell(sequence), torch.stack(states), rtol=0, atol=1e-6)
    torch.testing.assert_close(layer(sequence), layer.rnn(sequence)[0], rtol=0, atol=1e-6)
    tokens = torch.randint(0, 4, (3, 7))
    expected = embedded.classifier(embedded.rnn(embedded.embedding(tokens))[0])
    torch.testing.assert_close(embedded(tokens), expected, rtol=0, atol=1e-6)


# The name classifier against pack_padded_sequence.


class Documented(nn.Module):
    """Embedding, a bidirectional GRU of two layers over packed sequences, Linear."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(128, 100)
        self.gru = nn.GRU(100, 100, num_layers=2, bidirectional=True, batch_first=True)
        self.classifier = nn.Linear(200, 18)

    def forward(self, characters: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(
            self.embedding(characters), lengths, batch_first=True, enforce_sorted=False
        )
        _, hidden = self.gru(packed)
        logits: Tensor = self.classifier(torch.cat([hidden[-2], hidden[-1]], dim=1))
        return logits


# Each parameter of the network → the one of the documented network.
ONE_TO_ONE = {
    "embedding.weight": "embedding.weight",
    "classifier.weight": "classifier.weight",
    "classifier.bias": "classifier.bias",
    **{
        f"{ours}.{layer}.{kind}_l0": f"gru.{kind}_l{layer}{theirs}"
        for ours, theirs in (("forwards", ""), ("backwards", "_reverse"))
        for layer in (0, 1)
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    },
}


def name_classifiers(dtype: torch.dtype) -> tuple[NameClassifier, Documented]:
    torch.manual_seed(3)
    ours, theirs = NameClassifier().to(dtype), Documented().to(dtype)
    weights = theirs.state_dict()
    assert set(ONE_TO_ONE) == set(ours.state_dict())
    assert set(ONE_TO_ONE.values()) == set(weights)
    ours.load_state_dict({name: weights[other] for name, other in ONE_TO_ONE.items()}, strict=True)
    return ours, theirs


def names(lengths: list[int], *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random characters up to each length, and zeros after it."""
    generator = torch.Generator().manual_seed(seed)
    characters = torch.randint(1, 128, (len(lengths), max(lengths)), generator=generator)
    counts = torch.tensor(lengths)
    characters[torch.arange(max(lengths))[None, :] >= counts[:, None]] = 0
    return characters, counts


@pytest.mark.parametrize(
    "lengths",
    [[1], [9], [1, 1, 1], [3, 9, 1, 5], [1, 2, 3, 4, 5], [12, 1, 12, 1], [7, 7, 7]],
    ids=str,
)
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_the_name_classifier_is_the_documented_network(
    dtype: torch.dtype, lengths: list[int]
) -> None:
    ours, theirs = name_classifiers(dtype)
    batch = names(lengths)
    tolerance = TOLERANCES[dtype]
    torch.testing.assert_close(ours(*batch), theirs(*batch), rtol=0, atol=tolerance)


def test_the_name_classifier_learns_as_the_documented_network_does() -> None:
    ours, theirs = name_classifiers(torch.float64)
    batch = names([3, 9, 1, 5])
    for network in (ours, theirs):
        loss = nn.functional.cross_entropy(network(*batch), torch.tensor([0, 5, 17, 5]))
        torch.autograd.backward(loss)
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(
            parameter.grad, expected[ONE_TO_ONE[name]].grad, rtol=1e-9, atol=1e-12
        )


def test_a_name_is_answered_in_a_padded_batch_as_it_is_alone() -> None:
    ours, _ = name_classifiers(torch.float64)
    generator = np.random.default_rng(0)
    characters, lengths = names(generator.integers(1, 20, 64).tolist())
    together = ours(characters, lengths)
    for row in range(64):
        length = int(lengths[row])
        alone = ours(characters[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-12)


def test_the_padding_of_a_name_is_never_seen() -> None:
    ours, _ = name_classifiers(torch.float64)
    characters, lengths = names([3, 9, 1, 5])
    expected = ours(characters, lengths)
    padding = torch.arange(9)[None, :] >= lengths[:, None]
    assert torch.equal(ours(torch.where(padding, 99, characters), lengths), expected)


# The others against NumPy.


def sigmoid(numbers: Floats) -> Floats:
    return 1 / (1 + np.exp(-numbers))


def convolution(picture: Floats, weight: Floats, bias: Floats) -> Floats:
    """`picture` (channels, height, width); a valid cross-correlation."""
    windows = np.lib.stride_tricks.sliding_window_view(picture, weight.shape[2:], axis=(1, 2))
    result: Floats = np.einsum("chwyx,ocyx->ohw", windows, weight) + bias[:, None, None]
    return result


def pooling(picture: Floats) -> Floats:
    """The largest of each 2×2."""
    channels, height, width = picture.shape
    result: Floats = picture.reshape(channels, height // 2, 2, width // 2, 2).max(axis=(2, 4))
    return result


def test_convnet_is_its_documented_layers_in_numpy() -> None:
    torch.manual_seed(0)
    network = ConvNet().eval()
    picture = uniform(1, 1, 28, 28)
    w = weights_of(network)
    features = picture[0].double().numpy()
    for layer in ("features.0", "features.3"):
        features = convolution(features, w[f"{layer}.weight"], w[f"{layer}.bias"])
        features = np.maximum(pooling(features), 0)
    assert features.shape == (20, 4, 4)
    hidden = np.maximum(w["classifier.1.weight"] @ features.ravel() + w["classifier.1.bias"], 0)
    expected = w["classifier.4.weight"] @ hidden + w["classifier.4.bias"]
    with torch.no_grad():
        np.testing.assert_allclose(network(picture)[0].numpy(), expected, rtol=0, atol=1e-6)


def test_the_lstm_starts_from_zeros_and_answers_from_its_last_step() -> None:
    torch.manual_seed(0)
    network = LSTMClassifier()
    sequence = uniform(6, 3, 28)
    w = weights_of(network.lstm)
    hidden = cell = np.zeros((3, 128))
    for step in sequence.double().numpy():
        gates = step @ w["weight_ih_l0"].T + w["bias_ih_l0"]
        gates = gates + hidden @ w["weight_hh_l0"].T + w["bias_hh_l0"]
        entry, forget, candidate, exit_ = np.split(gates, 4, axis=1)
        cell = sigmoid(forget) * cell + sigmoid(entry) * np.tanh(candidate)
        hidden = sigmoid(exit_) * np.tanh(cell)
    expected = hidden @ weights_of(network.classifier)["weight"].T
    with torch.no_grad():
        np.testing.assert_allclose(network(sequence).numpy(), expected, rtol=0, atol=1e-6)


def test_the_lstms_zeros_follow_the_inputs_device_and_type() -> None:
    network = LSTMClassifier().to("meta").double()
    output = network(torch.zeros(4, 3, 28, device="meta", dtype=torch.float64))
    assert (output.device.type, output.dtype, output.shape) == ("meta", torch.float64, (3, 10))


def test_an_inception_block_joins_its_four_paths_along_the_channels() -> None:
    torch.manual_seed(0)
    block = InceptionA(3).double()
    features = uniform(2, 3, 6, 6, dtype=torch.float64)
    w = block.state_dict()

    def convolve(values: Tensor, layer: str, padding: int = 0) -> Tensor:
        return nn.functional.conv2d(
            values, w[f"{layer}.weight"], w[f"{layer}.bias"], padding=padding
        )

    averaged = nn.functional.avg_pool2d(features, 3, stride=1, padding=1)
    expected = torch.cat(
        [
            convolve(features, "pointwise"),
            convolve(convolve(features, "wide.0"), "wide.1", 2),
            convolve(convolve(convolve(features, "deep.0"), "deep.1", 1), "deep.2", 1),
            convolve(averaged, "pooled.1"),
        ],
        dim=1,
    )
    torch.testing.assert_close(block(features), expected)


def test_a_residual_block_adds_its_input_before_the_last_relu() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(2).double()
    features = uniform(1, 2, 5, 5, dtype=torch.float64)
    residual = block.second(torch.relu(block.first(features)))
    torch.testing.assert_close(block(features), torch.relu(features + residual))
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
    torch.testing.assert_close(block(features), torch.relu(features))


Activation = Callable[[Floats], Floats]


def relu(numbers: Floats) -> Floats:
    return np.maximum(numbers, 0)


@pytest.mark.parametrize(
    ("model", "activation", "last"),
    [
        ("softmax-regression", relu, None),
        ("mlp", relu, None),
        ("sigmoid-mlp", sigmoid, None),
        ("dropout-mlp", relu, None),
        ("neural-network", relu, None),
        ("softmax-mlp", relu, None),
        ("diabetes", sigmoid, sigmoid),
    ],
)
def test_a_perceptron_is_its_documented_layers_in_numpy(
    model: str, activation: Activation, last: Activation | None
) -> None:
    torch.manual_seed(0)
    network = build(model).eval()
    (inputs,) = Signature.from_data(CATALOG[model].signature).example({"batch": 3}).values()
    values: Floats = inputs.reshape(3, -1).astype(np.float64)
    w = weights_of(network)
    layers = [name.removesuffix(".weight") for name in w if name.endswith(".weight")]
    for position, layer in enumerate(layers):
        values = values @ w[f"{layer}.weight"].T + w.get(f"{layer}.bias", np.zeros(1))
        if position < len(layers) - 1:
            values = activation(values)
    if last is not None:
        values = last(values)
    with torch.no_grad():
        got = network(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(got, values, rtol=0, atol=3e-6)


@pytest.mark.parametrize(
    ("model", "places"), [("convnet", 2), ("deep-convnet", 1), ("dropout-mlp", 2)]
)
def test_dropout_works_in_training_alone(model: str, places: int) -> None:
    torch.manual_seed(0)
    network = build(model)
    assert sum(isinstance(module, nn.Dropout) for module in network.modules()) == places
    (inputs,) = Signature.from_data(CATALOG[model].signature).example({"batch": 2}).values()
    tensor = torch.from_numpy(inputs)
    assert not torch.equal(network(tensor), network(tensor))
    network.eval()
    assert torch.equal(network(tensor), network(tensor))


def test_logistic_regression_is_the_sigmoid_of_a_line() -> None:
    network = build("logistic-regression")
    network.load_state_dict(
        {"linear.weight": torch.tensor([[2.0]]), "linear.bias": torch.tensor([-4.0])}
    )
    with torch.no_grad():
        probability = network(torch.tensor([[2.0], [3.0]]))
    np.testing.assert_allclose(probability, [[0.5], [1 / (1 + np.exp(-2))]], rtol=1e-6)
