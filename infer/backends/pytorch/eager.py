"""PyTorch as it was trained: the checkpoint's weights in the catalog's network, or in a given one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.artifact.card import Card
from ptx.infer.backends import Factory, Options
from ptx.infer.backends.pytorch.device import (
    choose_device,
    import_torch,
    mapping_load_errors,
    mapping_run_errors,
    place_on,
    to_arrays,
    to_tensors,
)
from ptx.infer.backends.pytorch.layout import use_channels_last
from ptx.infer.errors import ArtifactError
from ptx.infer.signature import Array


def build_network(card: Card, factory: Factory | None) -> Any:
    """A fresh network for a card: what `factory` makes, else the catalog's.

    A card never names code to run: for a model that is not of the catalog (nor added to it by an
    installed package) the caller says what makes its network.

    Raises:
        ArtifactError: the model is not of the catalog, and no factory was given.
    """
    if factory is not None:
        return factory()
    from ptx.models import build, lookup

    if lookup(card.model) is None:
        raise ArtifactError(
            f"the catalog has no model {card.model!r}, and a checkpoint names no code to run: say what"
            " makes its network, --network my_module:build_net (library: network=build_net)",
            code="E-NETWORK",
        )
    return build(card.model, card.config)


@final
class EagerBackend:
    """Runs a checkpoint with eager PyTorch, in eval mode."""

    name = "eager"

    def __init__(self, artifact: Artifact, options: Options) -> None:
        import_torch()
        self._artifact, self._options = artifact, options
        card = artifact.require_card()
        self._signature = card.signature
        device = choose_device(options)
        with mapping_load_errors(artifact):
            from ptx.models.checkpoint import load_weights, loads

            checkpoint = loads(artifact.data)
            network = build_network(card, options.network)
            load_weights(network, checkpoint.weights)
            self._network: Any = network.eval().requires_grad_(False).to(device)
        use_channels_last(self._network, self._signature, device)
        self.device = place_on(self._network, device)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        with mapping_run_errors(self._artifact, self._options, self.device):
            tensors = to_tensors(self._signature, inputs, self.device)
            return to_arrays(self._signature, self._network(*tensors))

    def close(self) -> None:
        self._network = None
