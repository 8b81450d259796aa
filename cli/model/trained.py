"""The MODEL argument of `ptx export` as a network with its card."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ptx import export, infer
from ptx.cli.model.network import open_factory
from ptx.cli.model.workspace import Workspace
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.errors import UsageError


def read_trained(
    space: Workspace, model: str, checkpoint: Path | None, stated: export.Statement | None
) -> tuple[export.TrainedModel, Path | None]:
    """The network of a checkpoint; and its path where MODEL is one, since the files stand beside it."""
    path = checkpoint or space.find(model, CHECKPOINT)
    named = space.is_name(model)
    trained = export.read_model(path, model=model if named else None, stated=stated)
    return trained, None if named else path


def make_own(
    space: Workspace,
    reference: str,
    checkpoint: Path | None,
    describe: Path | None,
    formats: Sequence[str],
) -> export.TrainedModel:
    """The network that module:function makes, with the weights of the checkpoint where one is given."""
    from ptx.cli.statement import read_describe
    from ptx.export.formats import check_size
    from ptx.export.trained_model import kebab, make_model

    if describe is None:
        raise UsageError(f"{reference} needs --describe FILE with its inputs, outputs and the rest")
    description = read_describe(describe)
    if description.name is None:
        description = replace(description, name=kebab(re.split("[:.]", reference)[-1]))
    space.require_free(str(description.name))
    weights = None if checkpoint is None else infer.read_artifact(checkpoint)
    if weights is not None and not weights.is_checkpoint:
        raise UsageError(
            f"--checkpoint {weights.name} is {weights.format.noun}; expected a state dict"
        )
    network = open_factory(reference)()
    for name in formats:
        check_size(network, name)
    return make_model(network, description, weights=weights)
