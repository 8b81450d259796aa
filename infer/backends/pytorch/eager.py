"""Eager PyTorch: the checkpoint's weights in the network of the catalog, or of a function."""

from __future__ import annotations

from typing import Any, final

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.backends import Factory, Options
from ptx.infer.backends.pytorch.device import TorchBackend
from ptx.infer.errors import ArtifactError


def build_network(manifest: Manifest, factory: Factory | None) -> Any:
    """A new network for a manifest: the result of `factory` if given, else the catalog's.

    A manifest never names code to run: for a model that is not in the catalog (and not added to it by an
    installed package) the caller passes the factory.

    Raises:
        ArtifactError: the model is not in the catalog, and there is no factory.
    """
    if factory is not None:
        return factory()
    from ptx.models import build, lookup

    if lookup(manifest.model) is None:
        raise ArtifactError(
            f"the catalog has no model {manifest.model!r}, and a checkpoint contains no code: pass the"
            " function that creates its network, --network my_module:build_net (library:"
            " network=build_net)",
            code="E-NETWORK",
        )
    return build(manifest.model, manifest.config)


@final
class EagerBackend(TorchBackend):
    """Runs a checkpoint with eager PyTorch, in eval mode."""

    name = "eager"

    def _load(self, artifact: Artifact, options: Options, device: str) -> Any:
        from ptx.models.checkpoint import load_weights, loads

        checkpoint = loads(artifact.data)
        network = build_network(artifact.require_manifest(), options.network)
        load_weights(network, checkpoint.weights)
        return network.eval().requires_grad_(False).to(device)
