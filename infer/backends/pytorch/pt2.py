"""`.pt2` archives of torch.export."""

from __future__ import annotations

import io
import logging
import operator
import warnings
from typing import Any, final

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.backends import Options
from ptx.infer.backends.pytorch.device import TorchBackend, import_torch
from ptx.infer.backends.pytorch.recurrent_weights import find_in_program, flatten_weights


@final
class Pt2Backend(TorchBackend):
    """Runs a `.pt2` archive: the graph that torch.export captured, through eager kernels."""

    name = "pt2"
    channels_last = False  # the graph was captured in its layout

    def _load(self, artifact: Artifact, options: Options, device: str) -> Any:
        torch = import_torch()
        from torch.export.passes import move_to_device_pass

        logger = logging.getLogger("torch._export.serde.serialize")
        logger.addFilter(_not_about_unused_symbols)
        try:
            with warnings.catch_warnings():
                # torch 2.11 warns that the archive's bytes, which it copies, are read-only.
                warnings.filterwarnings("ignore", message="The given buffer is not writable")
                program = torch.export.load(io.BytesIO(artifact.data))
        finally:
            logger.removeFilter(_not_about_unused_symbols)
        if device != "cpu":
            program = move_to_device_pass(program, device)
            keep_lengths_on_cpu(program, device)
        module = program.module()
        if device.startswith("cuda"):
            flatten_weights(list(find_in_program(module)))
        return module


def keep_lengths_on_cpu(program: Any, device: str) -> None:
    """Change a program that was moved to a device so that it packs sequences there.

    PyTorch takes the lengths of packed sequences from the CPU and returns them there, while the rest of
    the moved program has all tensors on the device.
    """
    import torch  # installed, because the program was loaded

    aten, graph = torch.ops.aten, program.graph_module.graph

    def copy(value: Any, to: str) -> Any:
        copied = graph.call_function(aten._to_copy.default, (value,), {"device": torch.device(to)})
        copied.meta = dict(value.meta)
        return copied

    for node in list(graph.nodes):
        if node.target is aten._pack_padded_sequence.default:
            with graph.inserting_before(node):
                node.update_arg(1, copy(node.args[1], "cpu"))
        elif (
            node.target is operator.getitem
            and node.args[1] == 1
            and node.args[0].target is aten._pad_packed_sequence.default
        ):
            with graph.inserting_after(node):
                moved = copy(node, device)
            node.replace_all_uses_with(
                moved, delete_user_cb=lambda user, own=moved: user is not own
            )
    program.graph_module.recompile()


def _not_about_unused_symbols(record: logging.LogRecord) -> bool:
    """A logging filter: for each LSTM or GRU, torch warns about an unused symbolic size."""
    return "did not appear in the graph" not in record.getMessage()
