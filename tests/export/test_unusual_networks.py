"""Networks that Python's copy refuses, and those that have nothing to export."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ptx.export import describe, export
from ptx.export.network_copy import copy_network
from ptx.infer.errors import UsageError

SIGNATURE = {
    "inputs": {"x": ["float32", ["batch", 8]]},
    "outputs": {"y": ["float32", ["batch", 4]]},
}


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.fc(x)
        return answer


class Locked(Layer):
    """Holds a lock and a generator, and takes the lock."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = {"lock": threading.Lock(), "generator": iter([1]), "numbers": [1]}

    def forward(self, x: Tensor) -> Tensor:
        with self.kept["lock"]:  # type: ignore[attr-defined]
            return super().forward(x)


class Lazy(Layer):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.LazyLinear(4)


class Broken(Layer):
    def __deepcopy__(self, memo: Any) -> Broken:
        raise RuntimeError("no copies")


def former_weight_norm() -> nn.Module:
    network = Layer()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated
        nn.utils.weight_norm(network.fc)
    network(torch.ones(1, 8))
    return network


def quantized() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated
        made: nn.Module = torch.ao.quantization.quantize_dynamic(Layer(), {nn.Linear})  # type: ignore[no-untyped-call]
    return made


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated
        made: nn.Module = torch.jit.script(Layer())
    return made


@pytest.mark.parametrize("format_name", ["onnx", "torchscript"])
@pytest.mark.parametrize(
    "make",
    [Locked, former_weight_norm, lambda: nn.DataParallel(Layer()), lambda: torch.compile(Layer())],
    ids=["lock", "weight-norm", "parallel", "compiled"],
)
def test_what_python_does_not_copy_is_exported(
    make: Callable[[], nn.Module], format_name: str, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.export trips over warnings of its own parts
        done = export(make(), format_name, tmp_path / "net", signature=SIGNATURE)
    assert done.error <= done.tolerance


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (quantized, "torch.ao.nn.quantized.dynamic"),
        (scripted, "ScriptModule"),
        (Lazy, "LazyLinear"),
        (lambda: Layer().to("meta"), "meta"),
        (Broken, "no copies"),
    ],
)
def test_what_cannot_be_exported_is_named(
    make: Callable[[], nn.Module], named: str, tmp_path: Path
) -> None:
    network = make()
    with pytest.raises(UsageError, match=named):
        describe(network, signature=SIGNATURE)
    with pytest.raises(UsageError, match=named):
        export(network, "onnx", tmp_path / "net", signature=SIGNATURE)


def test_a_copy_shares_no_weight_and_what_cannot_be_copied() -> None:
    network: Any = Locked()
    copied: Any = copy_network(network)
    with torch.no_grad():
        copied.fc.weight.zero_()
    assert network.fc.weight.any()
    assert copied.kept is not network.kept
    assert copied.kept["numbers"] is not network.kept["numbers"]
    assert copied.kept["lock"] is network.kept["lock"]
