"""`.pt2` archives of torch.export."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Mapping
from typing import Any, final

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.backends import Options
from ptx.infer.backends.pytorch.device import (
    choose_device,
    import_torch,
    mapping_load_errors,
    mapping_run_errors,
    place_on,
    to_arrays,
    to_tensors,
)
from ptx.infer.signature import Array


@final
class Pt2Backend:
    """Runs a `.pt2` archive: the graph that torch.export captured, through eager kernels."""

    name = "pt2"

    def __init__(self, artifact: Artifact, options: Options) -> None:
        torch = import_torch()
        self._artifact, self._options = artifact, options
        self._signature = artifact.require_card().signature
        device = choose_device(options)
        with mapping_load_errors(artifact):
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
            self._module: Any = program.module()
        self.device = place_on(self._module, device)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        with mapping_run_errors(self._artifact, self._options, self.device):
            tensors = to_tensors(self._signature, inputs, self.device)
            return to_arrays(self._signature, self._module(*tensors))

    def close(self) -> None:
        self._module = None


def _not_about_unused_symbols(record: logging.LogRecord) -> bool:
    """An LSTM or GRU leaves a size symbol without a use; torch warns of it at each load."""
    return "did not appear in the graph" not in record.getMessage()
