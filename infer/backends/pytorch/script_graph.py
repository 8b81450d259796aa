"""Rewrite the convolutions of a traced TorchScript module, in which tracing has fixed TF32."""

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


def unfreeze_convolutions(module: Any) -> bool:
    """Let the convolutions of a traced module use the current flags of cuDNN when they run.

    `torch.jit.trace` stores the flags of its process in each convolution, including `allow_tf32`, which
    is on by default: on CUDA such a module computes in TF32 in any case
    (https://github.com/pytorch/pytorch/issues/18776). Call this before anything else reads the module's
    graphs, because PyTorch caches optimised versions of them.

    Returns:
        Whether any convolution had stored flags.
    """
    import torch  # installed, because the module was loaded

    rewrite = torch._C._jit_pass_custom_pattern_based_rewrite_graph
    graphs = list(_graphs(module))
    has_flags = False
    for graph in graphs:
        has_flags |= any(graph.findAllNodes("aten::_convolution", recurse=True))
        rewrite(_TRACED, _AT_RUN_TIME, graph)
    for graph in graphs:
        if graph.findAllNodes("prim::CallFunction", recurse=True):  # may be traced too
            torch._C._jit_pass_inline(graph)
            has_flags |= any(graph.findAllNodes("aten::_convolution", recurse=True))
            rewrite(_TRACED, _AT_RUN_TIME, graph)
    return has_flags


def _graphs(module: Any) -> Iterator[Any]:
    for part in module.modules():
        for name in part._c._method_names():
            yield part._c._get_method(name).graph
