"""What an export starts from: a checkpoint, or a bare state dict and the model's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from ptx.infer.artifact import KINDS, read_artifact
from ptx.infer.backends.torch_device import loading
from ptx.infer.card import Card
from ptx.infer.errors import ArtifactError, UsageError, nearest, quoted
from ptx.infer.guard import check_inputs
from ptx.infer.signature import Array, Signature
from ptx.models import CATALOG, build
from ptx.models import checkpoint as checkpoints


@dataclass(frozen=True)
class Source:
    """A network with its trained weights, in eval mode, and what is known about it."""

    network: nn.Module
    card: Card  # without agreement and golden samples
    samples: dict[str, Array]  # real inputs by name; empty where none are known


def read_source(
    path: Path, *, model: str | None = None, samples: Mapping[str, Array] | None = None
) -> Source:
    """Read a checkpoint of ptx, or a bare state dict of the catalog's network `model`.

    `samples`: real inputs, for a file that carries none.

    Raises:
        ArtifactError: the file cannot be used, or its weights do not fit the network.
        InputError: the samples do not fit the model's signature.
        UsageError: a bare state dict without the model's name, or an unknown name.
    """
    artifact = read_artifact(path)
    if artifact.kind != "checkpoint":
        raise ArtifactError(
            f"{artifact.name} is {KINDS[artifact.kind]}; expected a checkpoint to export",
            code="E-ARTIFACT-FORMAT",
        )
    card = _catalog_card(artifact.name, model) if artifact.card is None else artifact.require_card()
    if model is not None and card.model != model:
        raise UsageError(f"{artifact.name} is a checkpoint of {card.model}, not of {model}")
    with loading(artifact):
        checkpoint = checkpoints.loads(artifact.data)
        network = build(card.model, card.config)
        checkpoints.load_weights(network, checkpoint.weights)
        own_samples = {name: tensor.numpy() for name, tensor in checkpoint.samples.items()}
    digest = checkpoints.weights_digest(network.state_dict())
    if artifact.card is not None and digest != card.weights_sha256:
        raise ArtifactError(
            f"{artifact.name}: its weights do not match the sha256 in its card", code="E-HASH"
        )
    found = own_samples or samples
    if found:
        found, _ = check_inputs(card.signature, found)
    return Source(
        network.eval().requires_grad_(False),
        replace(card, weights_sha256=digest, checkpoint_sha256=artifact.sha256),
        dict(found or {}),
    )


def _catalog_card(name: str, model: str | None) -> Card:
    if model is None:
        raise UsageError(
            f"{name} is a bare state dict: say which model of the catalog it belongs to"
        )
    if model not in CATALOG:
        raise UsageError(f"there is no model {quoted(model)}; {nearest(model, CATALOG)}")
    entry = CATALOG[model]
    return Card(
        model=model,
        task=entry.task,
        signature=Signature.from_data(entry.signature),
        preprocessing=dict(entry.preprocessing),
        labels=entry.labels,
        config=dict(entry.config),
    )
