"""A TorchScript file's convolutions read the precision when they run; none is written into it.

No CUDA device is needed: the tests are on the graphs.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ptx.export import tracing
from ptx.export.formats import EXPORTERS
from ptx.infer import Options, Signature, parse_artifact
from ptx.infer.backends.pytorch.script import TorchScriptBackend

SIGNATURE = Signature.from_data(
    {
        "inputs": {"x": ["float32", ["batch", 2, 9, 9]]},
        "outputs": {"y": ["float32", ["batch", 2, 9, 9]]},
    }
)


@pytest.fixture(autouse=True)
def deprecated() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is
        yield


class Convolutions(nn.Module):
    """Plain, transposed, twice used, padded by name, in submodules and in a traced function."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv2d(2, 3, 3, groups=1), nn.ReLU())
        self.back = nn.ConvTranspose2d(3, 2, 3)
        self.again = nn.Conv2d(2, 2, 3, padding=1, bias=False)
        self.padded = nn.Conv2d(2, 2, 3, padding="same")
        self.weight = nn.Parameter(torch.randn(2, 2, 1, 1))
        examples = torch.randn(2, 2, 9, 9), self.weight.detach()
        self.traced: Callable[..., Tensor] = torch.jit.trace(nn.functional.conv2d, examples)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor) -> Tensor:
        x = self.back(self.first(x))
        return self.traced(self.padded(self.again(self.again(x))), self.weight)


def convert(network: nn.Module) -> bytes:
    return EXPORTERS["torchscript"].convert(tracing.trace(network, SIGNATURE), opset=None)


def trace(network: nn.Module) -> bytes:
    """As every file was written before, and as other programs write theirs."""
    example = torch.randn(5, 2, 9, 9)
    traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
    content: bytes = traced.save_to_buffer()
    return content


def load(data: bytes) -> Any:
    return torch.jit.load(io.BytesIO(data))  # type: ignore[no-untyped-call]


def count_fixed(graph: Any) -> int:
    return len(graph.findAllNodes("aten::_convolution", recurse=True))


def count_fixed_as_run(module: Any) -> int:
    with torch.inference_mode():
        for _ in range(3):  # the executor settles on its graph
            module(torch.zeros(3, 2, 9, 9))
    return str(torch._C._last_executed_optimized_graph()).count("aten::_convolution(")


@pytest.fixture
def network() -> nn.Module:
    return Convolutions().eval()


def test_tracing_alone_fixes_the_precision(network: nn.Module) -> None:
    module = load(trace(network))
    assert count_fixed(module.inlined_graph) == 5
    assert count_fixed_as_run(module) == 5


def test_an_exported_file_fixes_none_and_answers_the_same(network: nn.Module) -> None:
    module = load(convert(network))
    assert count_fixed(module.inlined_graph) == 0
    for part in module.modules():
        assert count_fixed(part.graph) == 0
    assert count_fixed_as_run(module) == 0
    x = torch.randn(4, 2, 9, 9)
    with torch.inference_mode():
        assert torch.equal(module(x), network(x))


def test_it_is_still_so_when_it_is_saved_again(network: nn.Module) -> None:
    module = load(load(convert(network)).save_to_buffer())
    assert count_fixed(module.inlined_graph) == 0


def test_a_file_that_fixes_it_is_corrected_where_it_is_opened_and_that_is_said(
    network: nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    module = opened(trace(network), "meta", Options(precision="tf32"))
    assert count_fixed(module.inlined_graph) == 0
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "old.torchscript" in record.getMessage()
    assert "in tf32: export it again" in record.getMessage()


def test_nothing_is_said_of_a_file_of_today_nor_on_the_cpu(
    network: nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    opened(convert(network), "meta", Options())
    opened(trace(network), "cpu", Options())
    assert not [record for record in caplog.records if record.name.startswith("ptx")]


def opened(data: bytes, device: str, options: Options) -> Any:
    """The module as the backend loads it; "meta" stands for a device that is no CPU."""
    artifact = parse_artifact(data, path=Path("old.torchscript"))
    return TorchScriptBackend.__new__(TorchScriptBackend)._load(artifact, options, device)
