"""The start of an export: a checkpoint, a bare state dict with its model's name, or any network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ptx.export.catalog_manifest import catalog_manifest, published_manifest
from ptx.export.check.equivalence import EquivalenceCheck
from ptx.export.check.matrix import sample_sizes
from ptx.export.check.precision import PRECISIONS
from ptx.export.golden import check_manifest_size
from ptx.export.network_copy import copy_network
from ptx.export.tracing import Traced, trace
from ptx.infer.artifact import zip_archive
from ptx.infer.artifact.artifact import Artifact, read_artifact
from ptx.infer.artifact.files import write_atomic
from ptx.infer.artifact.golden import RawInput, to_raw_input
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.backends import Factory
from ptx.infer.backends.pytorch.device import mapping_load_errors
from ptx.infer.backends.pytorch.eager import build_network
from ptx.infer.checks import check_inputs, check_limits
from ptx.infer.errors import ArtifactError, InputError, UsageError
from ptx.infer.external.spec import ModelSpec
from ptx.infer.signature import Array, Signature
from ptx.models import checkpoint as checkpoints
from ptx.models import state_dict
from ptx.models.checkpoint import Checkpoint


@dataclass(frozen=True)
class TrainedModel:
    """A network with its trained weights, in eval mode, and its manifest.

    Attributes:
        manifest: The manifest, without verification record and golden samples.
        samples: Real inputs by name; empty if none are known.
        notes: How a bare state dict was read.
        examples: Real raw inputs: file contents, texts, rows.
        runtime: The runtime of its HTML page, `javascript` or `ort`; empty: chosen by the graph.
    """

    network: nn.Module
    manifest: Manifest
    samples: dict[str, Array]
    notes: tuple[str, ...] = ()
    examples: tuple[RawInput, ...] = ()
    runtime: str = ""

    @cached_property
    def traced(self) -> Traced:
        """The traced network with the limits of its axes; once for all formats.

        Raises:
            ArtifactError: as `ptx.export.tracing.trace` does.
        """
        # In eval mode without changing the mode of the caller's network.
        network = copy_network(self.network).eval().requires_grad_(False)
        return trace(network, self.manifest.signature)

    @property
    def limited_manifest(self) -> Manifest:
        """The manifest with the limits of the axes, as every file of the model has it."""
        return replace(self.manifest, signature=self.traced.signature)

    @cached_property
    def equivalence_check(self) -> EquivalenceCheck:
        """The check that every file of this model must pass; its reference runs once for all formats.

        Raises:
            ArtifactError: as `traced`.
            InputError: the samples are longer than the network takes.
        """
        signature = self.traced.signature
        if self.samples:
            check_limits(signature, sample_sizes(signature, self.samples))
        return EquivalenceCheck(self.network, signature, self.samples, self.traced.further_sizes)

    def save(self, path: Path) -> None:
        """Write a checkpoint: weights, manifest and samples.

        Raises:
            OutputError: it cannot be written.
        """
        samples = {name: torch.from_numpy(array) for name, array in self.samples.items()}
        weights = dict(self.network.state_dict())
        content = checkpoints.dumps(
            Checkpoint(weights, samples=samples, examples=list(self.examples))
        )
        write_atomic(path, zip_archive.embed_manifest(content, self.manifest.to_json()))


def describe(network: nn.Module, **spec: Any) -> TrainedModel:
    """Any network with its specification, ready for `export`.

    The network is copied to the CPU in eval mode; yours is not changed. Its forward method takes the
    signature's inputs in their order and returns its outputs, a tensor or a tuple of tensors.

    Args:
        spec: The keys of a model spec (`ptx.infer.external.spec`): name, task, preprocessing,
            labels. Required is `signature`, as {"inputs": …, "outputs": …} or a `Signature`. Optional
            are `samples`, real inputs by name for the check, which otherwise takes only random ones,
            and `examples`, raw inputs: file contents, texts, numbers.

    Raises:
        InputError: the specification is not valid.
        ArtifactError: the network does not compute what the signature says.
        UsageError: it is not a network, there is no signature, or its weights are complex or 8-bit.
    """
    if not isinstance(network, nn.Module):
        raise UsageError(f"the network is a {type(network).__name__}; expected a torch.nn.Module")
    signature, samples = spec.pop("signature", None), spec.pop("samples", None)
    examples = as_examples(spec.pop("examples", ()))
    if signature is None:
        raise UsageError('there is no signature; expected {"inputs": …, "outputs": …}')
    data = signature.to_data() if isinstance(signature, Signature) else dict(signature)
    model_spec = ModelSpec.from_data({**data, **spec})
    return replace(make_model(network, model_spec, samples=samples), examples=examples)


def as_examples(values: Sequence[Any]) -> tuple[RawInput, ...]:
    """Raw inputs as the manifest stores them; paths and open files are not accepted.

    Raises:
        InputError: one is neither the bytes of an image file, nor a text, nor numbers.
    """
    examples = []
    for index, value in enumerate(values):
        try:
            examples.append(to_raw_input(value))
        except ValueError as error:
            raise InputError(
                f"example {index} is a {type(value).__name__}; expected the bytes of an image file,"
                " a text, or finite numbers",
                code="E-TYPE",
            ) from error
    return tuple(examples)


def make_model(
    network: nn.Module,
    model_spec: ModelSpec,
    *,
    weights: Artifact | None = None,
    samples: Mapping[str, Array] | None = None,
) -> TrainedModel:
    """A network with a model spec that has inputs and outputs. `weights`: a state dict for it."""
    network = _unwrap(network)
    _check_exportable(network)
    copied = copy_network(network).cpu()
    notes: tuple[str, ...] = ()
    if weights is not None:
        with mapping_load_errors(weights):
            checkpoint = checkpoints.loads(weights.data)
            checkpoints.load_weights(copied, checkpoint.weights)
        notes = checkpoint.notes
    _check_weights(copied)
    signature = model_spec.signature()
    manifest = model_spec.manifest(signature, name=kebab(type(network).__name__))
    check_manifest_size(manifest)
    digest = "" if weights is None else weights.sha256
    found = check_inputs(signature, samples)[0] if samples else {}
    trained = TrainedModel(
        copied.eval().requires_grad_(False),
        replace(
            manifest,
            weights_sha256=checkpoints.weights_digest(copied.state_dict()),
            checkpoint_sha256=digest,
        ),
        found,
        notes,
    )
    EquivalenceCheck(copied, signature, found).check_signature()
    return trained


def _unwrap(network: nn.Module) -> nn.Module:
    """The network inside of DataParallel or torch.compile."""
    while isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
        network = network.module
    compiled = getattr(network, "_orig_mod", None)  # set by torch.compile
    return compiled if isinstance(compiled, nn.Module) else network


def _check_exportable(network: nn.Module) -> None:
    """Check that a network has weights to copy and Python code to convert.

    Raises:
        UsageError: TorchScript compiled it, PyTorch quantized it, or its weights have no values yet.
    """
    if isinstance(network, torch.jit.ScriptModule):
        raise UsageError(
            "the network is a ScriptModule, made by torch.jit: give the original network that was"
            " scripted or traced; its state_dict() has the same weights"
        )
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if nn.parameter.is_lazy(tensor):
            layer = type(network.get_submodule(name.rpartition(".")[0])).__name__
            raise UsageError(
                f"weight {name!r} of a {layer} has no size yet: run the network once on an input, as"
                " in training, and load its weights"
            )
        if tensor.is_meta:
            raise UsageError(
                f"weight {name!r} is on the device 'meta', where tensors have no content: load the"
                " weights, as with load_state_dict(…, assign=True)"
            )
    for name, value in network.state_dict().items():
        if not isinstance(value, torch.Tensor) or value.is_quantized:
            layer = name.partition("._packed_params")[0]
            layer = name.rpartition(".")[0] if layer == name else layer
            kind = type(network.get_submodule(layer))
            raise UsageError(
                f"the layer {layer!r} is a {kind.__module__}.{kind.__name__}, whose weights are not all"
                " tensors of numbers; if torch.ao.quantization made it, export the network as it was"
                " before and let ptx quantize it: --quantize-weights int8 or --compute int8"
            )


def _check_weights(network: nn.Module) -> None:
    for name, tensor in network.state_dict().items():
        kind = str(tensor.dtype).removeprefix("torch.")
        if kind not in PRECISIONS and (tensor.is_floating_point() or tensor.is_complex()):
            raise UsageError(
                f"weight {name!r} is {kind}; expected {', '.join(PRECISIONS)} or integers: convert it,"
                " complex numbers to their real and imaginary parts"
            )


def kebab(name: str) -> str:
    """The default name of a network: `ResNet` → `res-net`, `build_net` → `build-net`."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
    return parted.strip("_").replace("_", "-").lower() or "network"


def read_model(
    path: Path,
    *,
    model: str | None = None,
    samples: Mapping[str, Array] | None = None,
    network: Factory | None = None,
    overrides: ModelSpec | None = None,
) -> TrainedModel:
    """Read a ptx checkpoint, or a bare state dict of the catalog's network `model`.

    Args:
        samples: Real inputs, for a file that has none.
        network: Builds the network of a checkpoint whose model is not in the catalog.
        overrides: How the network of a bare state dict was trained. Assumptions for the rest are
            recorded in the manifest's `training["assumed"]`.

    Raises:
        ArtifactError: the file cannot be used, or its weights do not fit the network.
        InputError: the samples or `overrides` do not fit the model's signature.
        UsageError: a bare state dict without the model's name, an unknown name, or `overrides` with
            a ptx checkpoint.
    """
    artifact = read_artifact(path)
    if not artifact.is_checkpoint:
        raise ArtifactError(
            f"{artifact.name} is {artifact.format.noun}; expected a checkpoint to export",
            code="E-ARTIFACT-FORMAT",
        )
    if artifact.manifest is None:
        trained = _read_bare(artifact, model, overrides or ModelSpec())
    else:
        if overrides is not None:
            raise UsageError(
                f"{artifact.name} is a checkpoint of ptx, whose manifest has the preprocessing"
                " and labels of its training; only those of a bare state dict can be overridden"
            )
        trained = _read_checkpoint(artifact, model, network)
    found = trained.samples or samples
    if found:
        found, _ = check_inputs(trained.manifest.signature, found)
    return replace(trained, samples=dict(found or {}))


def _read_checkpoint(
    artifact: Artifact, model: str | None, network: Factory | None
) -> TrainedModel:
    """A ptx checkpoint; its manifest must belong to its weights."""
    manifest = artifact.require_manifest()
    if model is not None and manifest.model != model:
        raise UsageError(f"{artifact.name} is a checkpoint of {manifest.model}, not of {model}")
    with mapping_load_errors(artifact):
        checkpoint = checkpoints.loads(artifact.data)
        built = build_network(manifest, network)
        checkpoints.load_weights(built, checkpoint.weights)
        samples = {name: tensor.numpy() for name, tensor in checkpoint.samples.items()}
        examples = tuple(map(to_raw_input, checkpoint.examples))
    if checkpoints.weights_digest(built.state_dict()) != manifest.weights_sha256:
        raise ArtifactError(
            f"{artifact.name}: its weights do not match the sha256 in its manifest", code="E-HASH"
        )
    return TrainedModel(
        built.eval().requires_grad_(False),
        replace(manifest, checkpoint_sha256=artifact.sha256),
        samples,
        examples=examples,
    )


def _read_bare(artifact: Artifact, model: str | None, overrides: ModelSpec) -> TrainedModel:
    """A state dict with the catalog's manifest and the overrides."""
    if model is None:
        with mapping_load_errors(artifact):
            names = state_dict.find_models(checkpoints.loads(artifact.data).weights)
        fitting = (
            f"its weights fit {' and '.join(names)}" if names else "its weights fit none of them"
        )
        raise UsageError(
            f"{artifact.name} is a bare state dict: name the model of the catalog that it belongs to;"
            f" {fitting}"
        )
    manifest = catalog_manifest(model, overrides)
    with mapping_load_errors(artifact):
        checkpoint = checkpoints.loads(artifact.data)
        built = build_network(manifest, None)
        weights, renamed = state_dict.rename(built, checkpoint.weights)
        if renamed and hasattr(built, "PUBLISHED_CONFIG"):
            manifest = published_manifest(manifest, built)
            built = build_network(manifest, None)
        checkpoints.load_weights(built, weights)
    notes = checkpoint.notes
    if renamed:
        layers = {f"{_layer(theirs)} → {_layer(ours)}": None for ours, theirs in renamed.items()}
        notes += (f"layers are matched by their shapes: {', '.join(layers)}",)
    manifest = replace(
        manifest,
        weights_sha256=checkpoints.weights_digest(built.state_dict()),
        checkpoint_sha256=artifact.sha256,
    )
    return TrainedModel(built.eval().requires_grad_(False), manifest, {}, notes)


def _layer(weight: str) -> str:
    """`conv1` for `conv1.weight`; `weight` for a network of a single layer."""
    return weight.rpartition(".")[0] or weight
