"""Put the weights of a recurrent layer into one block of memory, as cuDNN needs them.

`nn.LSTM`, `nn.GRU` and `nn.RNN` do it themselves. In a loaded file each weight has separate memory, so
that cuDNN copies them into one block in each run, and PyTorch warns about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

_MODES = {"rnn_relu": 0, "rnn_tanh": 1, "lstm": 2, "gru": 3}  # cudnnRNNMode_t
_GATES = {"lstm": 4, "gru": 3}  # 1 for the others


@dataclass(frozen=True)
class Recurrent:
    """One recurrent operator of a graph: `aten::lstm`, `gru`, `rnn_relu` or `rnn_tanh`."""

    kind: str  # a key of _MODES
    weights: list[Any]  # for each layer and direction: input, hidden, biases, projection
    biases: bool
    layers: int
    bidirectional: bool

    def flatten(self) -> None:
        """Move the weights into one block; each becomes a view of it."""
        import torch  # installed, because the weights are tensors

        input_weight, hidden_weight = self.weights[:2]
        hidden = input_weight.shape[0] // _GATES.get(self.kind, 1)
        projection = hidden_weight.shape[1] if hidden_weight.shape[1] != hidden else 0
        with torch.no_grad():
            torch._cudnn_rnn_flatten_weight(
                self.weights,
                2 + 2 * self.biases + bool(projection),
                input_weight.shape[1],
                _MODES[self.kind],
                hidden,
                projection,
                self.layers,
                False,
                self.bidirectional,
            )


def flatten_weights(operators: list[Recurrent]) -> None:
    """Flatten the weights of each operator that cuDNN supports; shared weights only once."""
    import torch

    cudnn: Any = torch.backends.cudnn
    done = set[int]()
    for operator in operators:
        pointers = {weight.data_ptr() for weight in operator.weights}
        uniform = len({(weight.dtype, weight.device) for weight in operator.weights}) == 1
        if (
            uniform
            and len(pointers) == len(operator.weights)
            and not pointers & done
            and cudnn.is_acceptable(operator.weights[0])
        ):
            operator.flatten()
            done |= {weight.data_ptr() for weight in operator.weights}


def find_in_script(module: Any) -> Iterator[Recurrent]:
    """The recurrent operators of a TorchScript module, whose weights are its parameters."""
    graph = module.inlined_graph
    for kind in _MODES:
        for node in graph.findAllNodes(f"aten::{kind}", recurse=True):
            inputs = list(node.inputs())
            packed = "batch_sizes" in node.schema()  # an argument before the states
            values = [value.toIValue() for value in inputs[3 + packed :]]
            elements = _list_elements(inputs[2 + packed])
            weights = [_find_attribute(module, value) for value in elements]
            yield from _recurrent(kind, weights, values)


def find_in_program(module: Any) -> Iterator[Recurrent]:
    """The recurrent operators of a module that torch.export captured."""
    for node in module.graph.nodes:
        kind, _, overload = str(node.target).removeprefix("aten.").partition(".")
        if node.op == "call_function" and kind in _MODES:
            packed = overload == "data"
            weights = [
                attrgetter(weight.target)(module) if weight.op == "get_attr" else None
                for weight in node.args[2 + packed]
            ]
            yield from _recurrent(kind, weights, list(node.args[3 + packed :]))


def _recurrent(kind: str, weights: list[Any], values: list[Any]) -> Iterator[Recurrent]:
    """The operator, if all its weights are attributes of the module.

    `values`: the arguments after the weights.
    """
    biases, layers, _dropout, _train, bidirectional, *_ = values
    if weights and all(weight is not None for weight in weights):
        yield Recurrent(kind, weights, biases, layers, bidirectional)


def _list_elements(value: Any) -> list[Any]:
    node = value.node()
    return list(node.inputs()) if node.kind() == "prim::ListConstruct" else []


def _find_attribute(module: Any, value: Any) -> Any:
    """The attribute that a value of the graph is, `self.rnn.weight_ih_l0`; None if it is computed."""
    node = value.node()
    if node.kind() == "prim::Param":
        return module if value.type().kind() == "ClassType" else None
    if node.kind() != "prim::GetAttr":
        return None
    owner = _find_attribute(module, next(node.inputs()))
    return None if owner is None else getattr(owner, node.s("name"))
