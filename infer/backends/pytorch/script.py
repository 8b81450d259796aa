"""TorchScript through `torch.jit`."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import Any, final

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.backends import Options
from ptx.infer.backends.pytorch.device import (
    find_device,
    import_torch,
    loading,
    placed_on,
    running,
    to_arrays,
    to_tensors,
)
from ptx.infer.backends.pytorch.layout import use_channels_last
from ptx.infer.signature import Array


@final
class TorchScriptBackend:
    """Runs a TorchScript archive.

    Such an archive is a program, and loading it can already run code: `open_backend` lets through only
    what is trusted.
    """

    name = "torchscript"

    def __init__(self, artifact: Artifact, options: Options) -> None:
        torch = import_torch()
        self._artifact, self._options = artifact, options
        self._signature = artifact.require_card().signature
        device = find_device(options.device)
        with loading(artifact), warnings.catch_warnings():
            # TorchScript is deprecated upstream; ptx says so at export, once.
            warnings.simplefilter("ignore")
            self._module: Any = torch.jit.load(io.BytesIO(artifact.data), map_location=device)
        self._module.eval()
        use_channels_last(self._module, self._signature, device)
        self.device = placed_on(self._module, device)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        with running(self._artifact, self._options, self.device):
            tensors = to_tensors(self._signature, inputs, self.device)
            return to_arrays(self._signature, self._module(*tensors))

    def close(self) -> None:
        self._module = None
