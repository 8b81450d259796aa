"""LSTM and GRU layers keep their time axis, whatever the process has exported before."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ptx.export.formats import EXPORTERS
from ptx.export.recurrent_shapes import recurrent_shapes
from ptx.export.tracing import trace
from ptx.infer.backends.pytorch.device import to_tensors
from ptx.infer.signature import Signature
from ptx.models import CATALOG, build

# torch.export warns of its own parts: that a layer's list of its weights was assigned meanwhile, ...
pytestmark = pytest.mark.filterwarnings("ignore")

TIME, BATCH = 5, 3
OPERATORS = (torch.ops.aten.lstm.input, torch.ops.aten.gru.input)


class Recurrent(nn.Module):
    """The outputs of one layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, sequence: Tensor) -> Tensor:
        outputs: Tensor = self.layer(sequence)[0]
        return outputs


def make_inputs(signature: Signature, sizes: dict[str, int]) -> tuple[Tensor, ...]:
    return tuple(to_tensors(signature, signature.example(sizes), "cpu"))


def capture(network: nn.Module) -> torch.export.ExportedProgram:
    """The network over (time, batch, 4), both axes free."""
    axes = {0: torch.export.Dim("time"), 1: torch.export.Dim("batch")}
    return torch.export.export(network, (torch.zeros(TIME, BATCH, 4),), dynamic_shapes=(axes,))


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "lstm": lambda: nn.LSTM(4, 6),
    "gru": lambda: nn.GRU(4, 6),
    "two layers, both ways": lambda: nn.LSTM(4, 6, num_layers=2, bidirectional=True),
    "batch first": lambda: nn.GRU(4, 6, batch_first=True),
    "projected": lambda: nn.LSTM(4, 6, proj_size=2),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_captured_layer_answers_at_every_length(layer: str) -> None:
    network = Recurrent(LAYERS[layer]()).eval()
    with torch.no_grad(), recurrent_shapes():
        captured = capture(network).module()
    for time, batch in ((1, 1), (2, 7), (40, 2)):
        sequence = torch.randn(time, batch, 4)
        assert torch.equal(captured(sequence), network(sequence))


@pytest.mark.parametrize("layer", LAYERS)
def test_a_decomposed_graph_keeps_its_axes_free(layer: str) -> None:
    # What torch.onnx does after the capture; before torch 2.15 it no longer minds the time axis there.
    network = Recurrent(LAYERS[layer]()).eval()
    with torch.no_grad(), recurrent_shapes():
        program = capture(network).run_decompositions({})
    (shape,) = (node.meta["val"].shape for node in program.graph.nodes if node.name == "sequence")
    assert [isinstance(size, torch.SymInt) for size in shape] == [True, True, False]


@pytest.mark.parametrize("model", ["lstm", "char-rnn", "char-rnn-embedding", "name-classifier"])
def test_a_layer_that_was_unrolled_before_is_not_afterwards(model: str) -> None:
    torch.manual_seed(0)
    network = build(model).eval().requires_grad_(False)
    signature = Signature.from_data(CATALOG[model].signature)
    inputs = make_inputs(signature, dict.fromkeys(signature.dynamic_axes, 4))
    torch.export.export(network, inputs)  # torch now remembers that it unrolls these layers
    content = EXPORTERS["pt2"].convert(trace(network, signature), opset=None)
    program = torch.export.load(io.BytesIO(content))
    assert len(program.range_constraints) >= len(signature.dynamic_axes)
    inputs = make_inputs(signature, dict(zip(signature.dynamic_axes, (2, 9), strict=True)))
    assert torch.equal(program.module()(*inputs), network(*inputs))


def test_the_operators_are_afterwards_as_they_were() -> None:
    before = [dict(operator.py_kernels) for operator in OPERATORS]
    with pytest.raises(KeyError), recurrent_shapes():
        raise KeyError
    assert [dict(operator.py_kernels) for operator in OPERATORS] == before
    network = Recurrent(nn.GRU(4, 6)).eval()
    with torch.no_grad(), pytest.raises(torch._dynamo.exc.UserError):
        capture(network)  # of torch alone: it unrolls the layer again
