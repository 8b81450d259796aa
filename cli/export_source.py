"""The network that `ptx export` exports, and the notes that it prints about it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import ptx.export as exporting
from ptx import infer, report
from ptx.cli.model_spec import read_overrides, read_spec_file, used_options
from ptx.cli.network import find_factory, is_reference
from ptx.cli.terminal import print_note, quiet_exporters
from ptx.cli.workspace import Workspace
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.errors import UsageError, escape_controls

ASSUMED = "assumed"  # key of a manifest's `training`, as in ptx.export.catalog_manifest
HINTS = {  # how to override an assumption
    "preprocessing": "; if that is wrong, give --mean and --std, --max-pixel 255, or --spec",
    "labels": "; if that is wrong, give --labels",
}


def read_trained(
    space: Workspace,
    model: str,
    checkpoint: Path | None,
    spec_file: Path | None,
    names: list[str],
    overrides: dict[str, Any],
) -> tuple[exporting.TrainedModel, Path | None]:
    """The network of MODEL, and its path if MODEL is one: the exported files go next to it."""
    if exporting.is_library_model(model):
        if spec_file is not None:
            raise UsageError(f"--spec cannot describe {model}, since its library does: omit it")
        return _load_library_model(space, model, checkpoint, overrides), None
    if is_reference(model):
        if flags := used_options(overrides):
            raise UsageError(
                f"{', '.join(flags)} cannot be used with a network of your own: put labels and"
                " preprocessing into the --spec file"
            )
        return _make_custom(space, model, checkpoint, spec_file, names), None
    spec = read_overrides(spec_file, **overrides)
    path = checkpoint or space.find(model, CHECKPOINT)
    is_name = space.is_name(model)
    trained = exporting.read_model(path, model=model if is_name else None, overrides=spec)
    return trained, None if is_name else path


def _load_library_model(
    space: Workspace, reference: str, weights: Path | None, overrides: dict[str, Any]
) -> exporting.TrainedModel:
    """The network LIBRARY:NAME, with the labels and the preprocessing of its library."""
    if flags := [name for name in used_options(overrides) if name != "--labels"]:
        raise UsageError(
            f"{', '.join(flags)} cannot be used with {reference}, which has the preprocessing of its"
            " library: omit them"
        )
    with quiet_exporters():
        loaded = exporting.load_library_model(reference, weights)
    spec = dict(loaded.spec)
    explicit = read_overrides(None, **overrides)
    if explicit is not None:
        spec["labels"] = explicit.labels
    if "labels" not in spec:
        (output,) = spec["signature"]["outputs"].values()
        classes = output[1][1]
        raise UsageError(
            f"{reference} has {classes} classes with these weights: give their names with --labels"
        )
    space.require_free(spec["name"])
    for note in loaded.notes:
        print_note(note)
    if weights is None and not reference.startswith("hf:"):
        print_note("the weights are random: use --checkpoint FILE for trained weights")
    return exporting.describe(loaded.network, **spec)


def _make_custom(
    space: Workspace,
    reference: str,
    checkpoint: Path | None,
    spec_file: Path | None,
    names: list[str],
) -> exporting.TrainedModel:
    """The network that module:function makes, with the weights of --checkpoint if it is given."""
    from ptx.export.formats import check_format
    from ptx.export.source import kebab, make_model

    if spec_file is None:
        raise UsageError(
            f"{reference} needs --spec FILE, which describes its inputs, outputs and task"
        )
    model_spec = read_spec_file(spec_file)
    if model_spec.name is None:
        model_spec = replace(model_spec, name=kebab(re.split("[:.]", reference)[-1]))
    space.require_free(str(model_spec.name))
    weights = None if checkpoint is None else infer.read_artifact(checkpoint)
    if weights is not None and not weights.is_checkpoint:
        raise UsageError(
            f"--checkpoint {weights.name} is {weights.format.noun}; expected a state dict"
        )
    network = find_factory(reference)()
    for name in names:
        check_format(name, network=network)
    return make_model(network, model_spec, weights=weights)


def print_assumptions(trained: exporting.TrainedModel, names: list[str]) -> None:
    """Print how a bare state dict was read, what is assumed about it, and warnings about formats."""
    from ptx.export.formats import find_exporter

    for text in trained.notes:
        print_note(escape_controls(text))
    for topic, text in trained.manifest.training.get(ASSUMED, {}).items():
        print_note(f"assumed {topic}: {escape_controls(text)}{HINTS.get(topic, '')}")
    for name in names:
        if warning := find_exporter(name).warning:
            print_note(warning)


def print_limits(trained: exporting.TrainedModel) -> None:
    """Print the axis sizes that the file will accept, unless the user has specified them."""
    if not trained.manifest.signature.limits:
        with quiet_exporters():
            limited = trained.limited_manifest.signature
        for title, text in report.signature_facts(limited):
            if title == "axis":
                print_note(f"limits of {text}; other sizes are refused")
