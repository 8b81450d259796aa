"""`.pt2` archives of torch.export."""

from __future__ import annotations

import io
import logging
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
        module = program.module()
        if device.startswith("cuda"):
            flatten_weights(list(find_in_program(module)))
        return module


def _not_about_unused_symbols(record: logging.LogRecord) -> bool:
    """A logging filter: for each LSTM or GRU, torch warns about an unused symbolic size."""
    return "did not appear in the graph" not in record.getMessage()
