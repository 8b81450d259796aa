"""Which weights of a file are made one block for cuDNN, and how it is asked to; without a device."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.backends.cudnn import rnn

from ptx.infer import load, read_artifact
from ptx.infer.backends.pytorch.recurrent_weights import (
    find_in_program,
    find_in_script,
    flatten_weights,
)


class Recurrent(nn.Module):
    """Every kind of layer, with and without biases, directions and a projection."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True)
        self.inner = nn.Sequential()
        self.inner.gru = nn.GRU(8, 5, bias=False)
        self.relu = nn.RNN(5, 7, nonlinearity="relu")
        self.projected = nn.LSTM(7, 8, proj_size=2)
        self.tanh = nn.RNN(2, 6)

    def layers(self) -> list[nn.RNNBase]:
        layers: list[nn.RNNBase] = [part for part in self.modules() if isinstance(part, nn.RNNBase)]
        return layers

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers():
            x, _ = layer(x)
        return x


def load_script(data: bytes) -> Any:
    return torch.jit.load(io.BytesIO(data))  # type: ignore[no-untyped-call]


def load_pt2(data: bytes) -> Any:
    return torch.export.load(io.BytesIO(data)).module()


def trace(network: nn.Module) -> bytes:
    traced = torch.jit.trace(network, torch.randn(2, 5, 3), check_trace=False)  # type: ignore[no-untyped-call]
    content: bytes = traced.save_to_buffer()
    return content


def capture(network: nn.Module) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(network, (torch.randn(2, 5, 3),)), buffer)
    return buffer.getvalue()


MAKERS: dict[str, Callable[[nn.Module], bytes]] = {"torchscript": trace, "pt2": capture}
LOADERS: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], Iterator[Any]]]] = {
    "torchscript": (load_script, find_in_script),
    "pt2": (load_pt2, find_in_program),
}


@pytest.fixture(autouse=True)
def deprecated() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is; torch.export warns of its own internals
        yield


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What cuDNN is asked for, on a machine without it."""
    found: list[tuple[Any, ...]] = []
    monkeypatch.setattr(torch, "_cudnn_rnn_flatten_weight", lambda *given: found.append(given))
    monkeypatch.setattr(torch.backends.cudnn, "is_acceptable", lambda weight: True)
    return found


CUDNN: Any = rnn


def as_layer_asks(layer: nn.RNNBase) -> tuple[Any, ...]:
    """The arguments of `nn.RNNBase.flatten_parameters`, but for `batch_first`, which is not heeded."""
    count = (4 if layer.bias else 2) + (layer.proj_size > 0)
    return (
        layer._flat_weights,
        count,
        layer.input_size,
        CUDNN.get_cudnn_mode(layer.mode),
        layer.hidden_size,
        layer.proj_size,
        layer.num_layers,
        False,
        layer.bidirectional,
    )


@pytest.mark.parametrize("format_name", LOADERS)
def test_each_layer_is_flattened_as_eager_does(
    format_name: str, calls: list[tuple[Any, ...]]
) -> None:
    network = Recurrent().eval()
    read, find = LOADERS[format_name]
    module = read(MAKERS[format_name](network))
    flatten_weights(list(find(module)))
    order = sorted(calls, key=lambda given: int(given[0][0].numel()))
    expected = sorted(
        map(as_layer_asks, network.layers()), key=lambda given: int(given[0][0].numel())
    )
    assert [given[1:] for given in order] == [given[1:] for given in expected]
    for given, wanted in zip(order, expected, strict=True):
        assert len(given[0]) == len(wanted[0])
        assert all(map(torch.equal, given[0], wanted[0]))
        own = {parameter.data_ptr() for parameter in module.parameters()}
        assert {weight.data_ptr() for weight in given[0]} <= own  # the module's, no copies


@pytest.mark.parametrize("format_name", LOADERS)
@pytest.mark.parametrize("model", ["lstm", "name-classifier"])
def test_every_recurrent_weight_of_the_catalog_is_in_a_block(
    model: str, format_name: str, artifact: Callable[[str, str], Path], calls: list[Any]
) -> None:
    read, find = LOADERS[format_name]
    module = read(read_artifact(artifact(model, format_name)).data)
    flatten_weights(list(find(module)))
    found = [weight.data_ptr() for given in calls for weight in given[0]]
    wanted = [p.data_ptr() for name, p in module.named_parameters() if "_l" in name]
    assert sorted(found) == sorted(wanted)


def test_what_cudnn_does_not_take_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*given: Any) -> None:
        raise AssertionError("cuDNN is asked")

    monkeypatch.setattr(torch, "_cudnn_rnn_flatten_weight", never)
    network = Recurrent().eval()
    flatten_weights(list(find_in_script(load_script(trace(network)))))


@pytest.mark.parametrize("format_name", LOADERS)
def test_the_cpu_is_not_asked(
    format_name: str, artifact: Callable[[str, str], Path], calls: list[Any]
) -> None:
    with load(artifact("lstm", format_name), device="cpu", trust=True):
        pass
    assert not calls
