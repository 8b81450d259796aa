"""From a checkpoint to an artifact: convert, prove, seal, write."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ptx.export.comparison import same_labels
from ptx.export.formats import (
    Attach,
    check_size,
    choose_runtime,
    find_attach,
    find_convert,
    find_format,
    find_store,
    mapping_export_errors,
)
from ptx.export.golden import check_room, hold_answers, with_golden
from ptx.export.grid import grid_lengths
from ptx.export.page.choice import Choice
from ptx.export.proof import Proof
from ptx.export.tolerance import FACTOR
from ptx.export.trained_model import TrainedModel, describe
from ptx.infer.artifact.artifact import Artifact, parse_artifact
from ptx.infer.artifact.card import Card
from ptx.infer.artifact.files import check_writable, write_atomic
from ptx.infer.artifact.onnx_bytes import read_header
from ptx.infer.backends import Options, open_backend
from ptx.infer.errors import AgreementError, ArtifactError, UsageError
from ptx.infer.predictor import Predictor
from ptx.infer.ranges import OPSETS


@dataclass(frozen=True)
class Exported:
    """An artifact that was written, and what its proof found.

    Attributes:
        size: Bytes.
        sha256: Of the file.
        cases: Of the grid.
        rows: Real samples whose labels are the same.
        error: The absolute difference from the reference that is nearest to what is allowed.
        tolerance: What is allowed there.
        reference: "eager float64", or what stands in for it.
        saved: Bytes that rounded weights take less.
        choice: Of a page's runtime, where nobody named one.
    """

    path: Path
    format: str
    size: int
    sha256: str
    cases: int
    rows: int
    error: float
    tolerance: float
    reference: str
    saved: int = 0
    choice: Choice | None = None


def export(
    trained: TrainedModel | nn.Module,
    format_name: str,
    path: str | Path,
    *,
    opset: int | None = None,
    announce: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    **said: Any,
) -> Exported:
    """Export to `format_name` ("onnx", "torchscript", "pt2") and prove it before it is written.

    `announce` is given the file's sha256 just before it is written, so that there is no moment at which
    the file stands there and nobody knows of it. `progress` is told how many runs of the proof are done,
    and of how many.

    Args:
        trained: What `read_model` or `describe` gives, or any network with what `describe` takes.
        opset: Heeded by ONNX alone.
        said: About a network, as `describe` takes it.

    Raises:
        UsageError: no such format or opset.
        InputError: what is said about the network is not as it must be.
        ArtifactError: the network cannot be converted; or no file could agree with it, since its answers
            are not finite, differ from run to run, or depend on what else is in the batch.
        AgreementError: the file would not compute what the network computes; nothing is written.
        OutputError: the file cannot be written; what was there before is untouched.
        BackendError: what proves the file is not installed.
    """
    path = Path(path)
    find_format(format_name)
    if opset is not None:
        OPSETS.check("opset", opset)
    check_writable(path)
    _check_fit(trained, format_name)
    if not isinstance(trained, TrainedModel):
        trained = describe(trained, **said)
    elif said:
        raise UsageError(f"{', '.join(said)} cannot be said of a trained model, which has a card")
    proved = prove(trained, format_name, path, opset=opset, progress=progress)
    sealed = write(proved.content, proved.card, proved.attach, path, announce)
    worst = proved.outcome.worst
    return Exported(
        path,
        format_name,
        size=len(sealed.data),
        sha256=sealed.sha256,
        cases=proved.outcome.cases,
        rows=proved.outcome.rows,
        error=worst["error"],
        tolerance=worst["tolerance"],
        reference=trained.proof.name,
        saved=proved.saved,
        choice=proved.choice,
    )


@dataclass(frozen=True)
class Proved:
    """The content of a file that computes what its network computes, and the card that says so.

    Attributes:
        content: Without card and seal.
        saved: Bytes that rounded weights take less.
        attach: What makes the file of them.
        choice: Of the runtime, where nobody named one.
    """

    content: bytes
    card: Card
    outcome: Outcome
    saved: int
    attach: Attach
    choice: Choice | None


def prove(
    trained: TrainedModel,
    format_name: str,
    path: Path,
    *,
    opset: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Proved:
    """Convert to `format_name` and prove it, with nothing written; `path`: its name, for messages.

    Raises:
        ArtifactError, AgreementError, BackendError: as `export` does.
    """
    proof = trained.proof
    check_room(trained.card)
    proof.tell(progress)
    proof.check_network()
    whole = _convert(trained, format_name, opset)
    content = _store(whole, trained, format_name)
    plain = _draft(trained, format_name, content)
    draft = with_golden(plain, proof, trained.examples, len(content))
    choice = None if trained.runtime else choose_runtime(format_name, content, draft.signature)
    attach = find_attach(format_name, choice.runtime if choice else trained.runtime)
    candidate = attach(content, draft.to_json())
    outcome = _prove(candidate, path, find_format(format_name).backend, proof)
    carried = {value for sample in draft.raw for value in sample.values}
    left_out = sum(value not in carried for value in trained.examples)
    card = _with_agreement(draft, outcome, proof, left_out)
    return Proved(content, card, outcome, len(whole) - len(content), attach, choice)


def write(
    content: bytes,
    card: Card,
    attach: Attach,
    path: Path,
    announce: Callable[[str], None] | None = None,
) -> Artifact:
    """Write a file of `content` with its card and seal, whole or not at all; `announce`: as `export`.

    Raises:
        OutputError: the file cannot be written; what was there before is untouched.
    """
    sealed = parse_artifact(attach(content, card.to_json()), path=path)
    sealed.require_card()
    if announce is not None:
        announce(sealed.sha256)
    write_atomic(path, sealed.data)
    return sealed


def _check_fit(trained: TrainedModel | nn.Module, format_name: str) -> None:
    """Refuse what a file of the format cannot hold, before it is proved for minutes."""
    network = trained.network if isinstance(trained, TrainedModel) else trained
    if isinstance(network, nn.Module):
        check_size(network, format_name)
    if isinstance(trained, TrainedModel) and trained.card.weights:
        find_store(format_name)
    if isinstance(trained, TrainedModel):
        find_attach(format_name, trained.runtime)


def _store(content: bytes, trained: TrainedModel, format_name: str) -> bytes:
    """The file's content with rounded weights in their form."""
    if not trained.card.weights:
        return content
    weights = {
        name: weight.numpy(force=True) for name, weight in trained.network.named_parameters()
    }
    return find_store(format_name)(content, trained.card.weights, weights)


def _draft(trained: TrainedModel, format_name: str, content: bytes) -> Card:
    """The card of the file, still without golden samples and agreement."""
    return replace(trained.limited_card, versions=_versions(format_name, content))


def _convert(trained: TrainedModel, format_name: str, opset: int | None) -> bytes:
    """The network in the format, without a card."""
    with mapping_export_errors(trained.card.model, format_name):
        return find_convert(format_name)(trained.traced, opset=opset)


@dataclass(frozen=True)
class Outcome:
    """What a backend did on the grid and on the real samples."""

    backend: str
    errors: dict[str, dict[str, float]]  # by output: the error nearest to what is allowed, and that
    cases: int  # of the grid
    rows: int  # real samples with equal labels

    @property
    def worst(self) -> dict[str, float]:
        """Where the error is nearest to its tolerance."""
        return max(
            self.errors.values(), key=lambda item: item["error"] / (item["tolerance"] or 1.0)
        )


def _prove(candidate: bytes, path: Path, backend: str, proof: Proof) -> Outcome:
    """Run the file over the grid, the real samples and the golden ones, raw inputs among them.

    Raises:
        AgreementError: it would not compute what the network computes.
    """
    artifact = parse_artifact(candidate, path=path)
    options = Options(device="cpu", trust=True)  # it was made in this process
    card = artifact.require_card()
    try:
        opened = Predictor(card, lambda: open_backend(backend, artifact, options))
    except ArtifactError as error:
        raise AgreementError(f"{backend} does not take the exported file: {error}") from error
    with opened as predictor:
        errors = proof.check(predictor.backend.run, backend)
        rows = same_labels(predictor, proof) if proof.samples else 0
        hold_answers(predictor, card)
    return Outcome(backend, errors, len(proof.cases), rows)


def _with_agreement(draft: Card, outcome: Outcome, proof: Proof, left_out: int) -> Card:
    """The card with what was proved, and of which statement; `left_out`: examples that are too large."""
    return replace(
        draft,
        agreement={
            "reference": proof.name,
            "factor": FACTOR,
            "batches": list(proof.batches),
            "lengths": sorted(
                {
                    length
                    for axis in draft.signature.dynamic_axes[1:]
                    for length in grid_lengths(draft.signature, axis)
                }
            ),
            "cases": outcome.cases,
            "labels": outcome.rows,
            "statement": draft.statement_sha256,
            "samples": draft.samples_sha256,
            "backends": {outcome.backend: outcome.errors},
            **({"ill_conditioned": dict(proof.ill_conditioned)} if proof.ill_conditioned else {}),
            **({"examples_left_out": left_out} if left_out else {}),
        },
    )


def _versions(format_name: str, content: bytes) -> dict[str, str]:
    versions = {"ptx": importlib.metadata.version("ptx-toolkit"), "torch": torch.__version__}
    if find_format(format_name).takes_opset:
        header = read_header(content, name="the exported file")
        versions["opset"] = str(header.opsets[""])
        for package in ("onnx", "onnxscript"):
            versions[package] = importlib.metadata.version(package)
    return versions
