"""The weights of recurrent layers as one block of memory, as cuDNN computes with them.

`nn.LSTM` and its kin keep them so; out of a file each weight has memory of its own. cuDNN then copies
them together at each run, and PyTorch warns of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

_MODES = {"rnn_relu": 0, "rnn_tanh": 1, "lstm": 2, "gru": 3}  # cudnnRNNMode_t
_GATES = {"lstm": 4, "gru": 3}  # blocks of rows in a weight; else 1


@dataclass(frozen=True)
class Recurrent:
    """One recurrent operator of a graph: `aten::lstm`, `gru`, `rnn_relu` or `rnn_tanh`."""

    kind: str  # a key of _MODES
    weights: list[Any]  # of each layer and direction: input, hidden, the biases, the projection
    biases: bool
    layers: int
    bidirectional: bool

    def flatten(self) -> None:
        """Move the weights into one block, each as a view of it."""
        import torch  # which is there: the weights are its own

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
                self.bidirectional,  # whether the batch comes first is nothing to the weights
            )


def flatten_weights(operators: list[Recurrent]) -> None:
    """Flatten the weights of each operator, where cuDNN takes them; shared weights once."""
    import torch

    cudnn: Any = torch.backends.cudnn
    done = set[int]()
    for operator in operators:
        memory = {weight.data_ptr() for weight in operator.weights}
        alike = len({(weight.dtype, weight.device) for weight in operator.weights}) == 1
        if (
            alike
            and len(memory) == len(operator.weights)
            and not memory & done
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
            packed = "batch_sizes" in node.schema()  # comes before the states
            values = [value.toIValue() for value in inputs[3 + packed :]]
            weights = [_find_attribute(module, value) for value in _listed(inputs[2 + packed])]
            yield from _recurrent(kind, weights, values)


def find_in_program(module: Any) -> Iterator[Recurrent]:
    """The recurrent operators of a module that torch.export has captured."""
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
    """The operator, where all its weights are the module's; `values`: the arguments behind them."""
    biases, layers, _dropout, _train, bidirectional, *_ = values
    if weights and all(weight is not None for weight in weights):
        yield Recurrent(kind, weights, biases, layers, bidirectional)


def _listed(value: Any) -> list[Any]:
    node = value.node()
    return list(node.inputs()) if node.kind() == "prim::ListConstruct" else []


def _find_attribute(module: Any, value: Any) -> Any:
    """What a value of the graph is in the module, `self.rnn.weight_ih_l0`; None where it is computed."""
    node = value.node()
    if node.kind() == "prim::Param":
        return module if value.type().kind() == "ClassType" else None
    if node.kind() != "prim::GetAttr":
        return None
    owner = _find_attribute(module, next(node.inputs()))
    return None if owner is None else getattr(owner, node.s("name"))
