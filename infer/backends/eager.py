"""PyTorch as it was trained: the checkpoint's weights in the catalog's network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from ptx.infer.artifact import Artifact
from ptx.infer.backends import Options
from ptx.infer.backends.torch_device import (
    find_device,
    import_torch,
    loading,
    running,
    to_arrays,
    to_tensors,
)
from ptx.infer.backends.torch_layout import use_channels_last
from ptx.infer.signature import Array


@final
class EagerBackend:
    """Runs a checkpoint with eager PyTorch, in eval mode."""

    name = "eager"

    def __init__(self, artifact: Artifact, options: Options) -> None:
        import_torch()
        self._artifact, self._options = artifact, options
        card = artifact.require_card()
        self._signature = card.signature
        device = find_device(options.device)
        with loading(artifact):
            from ptx.models import build
            from ptx.models.checkpoint import load_weights, loads

            checkpoint = loads(artifact.data)
            network = build(card.model, card.config)
            load_weights(network, checkpoint.weights)
            self._network: Any = network.eval().requires_grad_(False).to(device)
        use_channels_last(self._network, self._signature, device)
        self.device = str(next(self._network.parameters()).device)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        with running(self._artifact, self._options, self.device):
            tensors = to_tensors(self._signature, inputs, self.device)
            return to_arrays(self._signature, self._network(*tensors))

    def close(self) -> None:
        self._network = None
