"""The MODEL argument as a predictor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ptx import infer
from ptx.cli.terminal import print_note
from ptx.cli.workspace import Workspace
from ptx.infer.backends import find_backend, supports
from ptx.infer.errors import BackendError

if TYPE_CHECKING:
    from ptx.infer.external.spec import ModelSpec


@dataclass(frozen=True)
class ResolvedModel:
    """The file of a MODEL argument, read but not yet opened by a backend."""

    artifact: infer.Artifact
    manifest: infer.Manifest
    backend: str  # as requested: `auto` or a name
    others: tuple[Path, ...] = ()  # files that `auto` tries if no backend here runs `artifact`
    model_spec: ModelSpec | None = None  # if the file has no manifest


def resolve_model(
    space: Workspace,
    model: str,
    backend: str = "auto",
    *,
    spec_file: Path | None = None,
    raw: bool = False,
) -> ResolvedModel:
    """Find the file of a MODEL argument that the backend reads, with its manifest.

    Args:
        raw: Whether the command takes arrays, so that an ONNX file that ptx did not export needs no
            spec.
    """
    if spec_file is not None:
        from ptx.cli.model_spec import read_spec_file

        artifact = infer.read_artifact(space.find(model))
        return _adapted(artifact, read_spec_file(spec_file), backend)
    if backend != "auto":
        first, others = space.find(model, format_of(backend)), list[Path]()
    else:
        first, *others = list(space.files(model).values()) or [space.find(model)]
    artifact = infer.read_artifact(first)
    if raw:
        from ptx.infer.loading import default_spec

        if (model_spec := default_spec(artifact)) is not None:
            return _adapted(artifact, model_spec, backend)
    return ResolvedModel(artifact, artifact.require_manifest(), backend, tuple(others))


def _adapted(artifact: infer.Artifact, model_spec: ModelSpec, backend: str) -> ResolvedModel:
    """An external file, with the manifest that its spec gives."""
    from ptx.infer.external.adapter import adapt_artifact

    manifest = adapt_artifact(artifact, model_spec).manifest
    return ResolvedModel(artifact, manifest, backend, model_spec=model_spec)


def open_model(
    model: ResolvedModel,
    options: infer.Options,
    *,
    allow_nonfinite: bool = False,
    threshold: float | None = None,
) -> infer.Predictor:
    """Open the predictor; print which backend `auto` chose, and why it skipped others."""
    if model.backend != "auto" or model.model_spec is not None:
        predictor = infer.open_predictor(
            model.artifact,
            backend=model.backend,
            options=_supported_options(options, model.artifact, model.backend),
            model_spec=model.model_spec,
            allow_nonfinite=allow_nonfinite,
            threshold=threshold,
        )
        _note_skipped(predictor)
        return predictor
    last = model.others[-1] if model.others else model.artifact.path
    for artifact in _candidates(model):
        try:
            predictor = infer.open_predictor(
                artifact,
                backend="auto",
                options=_supported_options(options, artifact, "auto"),
                allow_nonfinite=allow_nonfinite,
                threshold=threshold,
            )
        except BackendError:
            if artifact.path == last:
                raise
            continue
        _note_skipped(predictor)
        print_note(
            f"backend {predictor.backend.name} on {predictor.backend.device}, from {artifact.path}"
        )
        return predictor
    raise AssertionError("there is at least one file")


def _candidates(model: ResolvedModel) -> Iterator[infer.Artifact]:
    yield model.artifact
    yield from map(infer.read_artifact, model.others)


def _note_skipped(predictor: infer.Predictor) -> None:
    for name, reason in predictor.skipped.items():
        note_skipped(name, reason)


def note_skipped(name: str, reason: str) -> None:
    """Print why `auto` or `all` does not use a backend."""
    print_note(f"{name} is skipped: {reason}")


@contextmanager
def closing_all(predictors: Iterable[infer.Predictor]) -> Iterator[None]:
    """Close the predictors at the end of the block, also after an exception."""
    with ExitStack() as stack:
        for predictor in predictors:
            stack.enter_context(predictor)
        yield


def format_of(backend: str) -> str | None:
    """The format that a backend reads; None for `auto`."""
    return None if backend == "auto" else find_backend(backend).artifact_format


def _supported_options(
    options: infer.Options, artifact: infer.Artifact, backend: str
) -> infer.Options:
    """The options, without threads if the backend does not support them."""
    if supports("threads", backend, artifact.kind):
        return options
    return replace(options, threads=None)
