"""The graphs of a TorchScript module: what tracing has written into them that belongs to the run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_ARGUMENTS = (
    "%input, %weight, %bias, %stride, %padding, %dilation, %transposed, %output_padding, %groups"
)
_FLAGS = "%benchmark, %deterministic, %cudnn, %tf32"
_TRACED = f"""
graph({_ARGUMENTS}, {_FLAGS}):
  %output = aten::_convolution({_ARGUMENTS}, {_FLAGS})
  return (%output)"""
_AT_RUN_TIME = f"""
graph({_ARGUMENTS}, {_FLAGS}):
  %output = aten::convolution({_ARGUMENTS})
  return (%output)"""


def free_convolutions(module: Any) -> bool:
    """Let a traced module's convolutions read the switches of cuDNN when they run; True if one did not.

    `torch.jit.trace` writes the switches of its own process into each convolution, `allow_tf32` among
    them, which is on by default: on CUDA such a module computes in TF32 whatever was asked for
    (https://github.com/pytorch/pytorch/issues/18776). To be called before anything else reads the
    module's graphs: PyTorch keeps what it has made of them.
    """
    import torch  # which is there: the module is its own

    rewrite = torch._C._jit_pass_custom_pattern_based_rewrite_graph
    graphs = list(_graphs(module))
    found = False
    for graph in graphs:
        found |= any(graph.findAllNodes("aten::_convolution", recurse=True))
        rewrite(_TRACED, _AT_RUN_TIME, graph)
    for graph in graphs:
        if graph.findAllNodes("prim::CallFunction", recurse=True):  # may be traced too
            torch._C._jit_pass_inline(graph)
            found |= any(graph.findAllNodes("aten::_convolution", recurse=True))
            rewrite(_TRACED, _AT_RUN_TIME, graph)
    return found


def _graphs(module: Any) -> Iterator[Any]:
    for part in module.modules():
        for name in part._c._method_names():
            yield part._c._get_method(name).graph
