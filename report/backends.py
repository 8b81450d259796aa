"""The backends of one model, opened for a comparison or listed for a benchmark."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ptx.export import EXPORTERS
from ptx.infer import (
    Artifact,
    ArtifactError,
    BackendError,
    Options,
    Predictor,
    PtxError,
    UsageError,
    open_predictor,
    read_artifact,
)
from ptx.infer.artifact.artifact import Trust, require_trust
from ptx.infer.artifact.formats import FORMATS
from ptx.infer.backends import find_backend, known_backends
from ptx.report.benchmarking import Target

FindArtifact = Callable[[str], Artifact]
"""The model's file of a format; ArtifactError E-NO-ARTIFACT if there is none."""

FindFile = Callable[[str | None], Path]
"""Its path; None means any format."""


def open_backends(
    find_artifact: FindArtifact,
    weights_sha256: str,
    options: Options,
    *,
    names: Sequence[str] | None = None,
) -> tuple[list[Predictor], dict[str, str]]:
    """A predictor for each backend, and the reason why each other backend is skipped.

    Args:
        find_artifact: The model's file that a backend reads.
        weights_sha256: The weights that each file must have.
        options: Each backend gets those that it supports.
        names: The backends, none of which is skipped. None means all that are available here.

    Raises:
        BackendError: a named backend is not available here, or none is.
        ArtifactError: a file is missing, was exported from other weights (E-STALE), or computes in int8.
        UsageError: a named backend does not support an option.
    """
    opened: list[Predictor] = []
    skipped: dict[str, str] = {}
    candidates = list(known_backends()) if names is None else names
    for name in candidates:
        supported = supported_options(name, options, named=names is not None)
        try:
            artifact = find_artifact(find_backend(name).artifact_format)
            predictor = open_predictor(artifact, backend=name, options=supported)
        except (BackendError, ArtifactError, UsageError) as error:
            reason = _why_unavailable(error)
            last = not opened and name == candidates[-1]
            if reason is None or names is not None or last:
                raise
            if error.code != "E-NO-ARTIFACT" or not _is_explicit_only(name):
                skipped[name] = reason
            continue
        if predictor.manifest.compute:
            raise ArtifactError(
                f"{artifact.path} computes in {predictor.manifest.compute} and was accepted by its"
                f" accuracy, so it is not compared with float64: run `ptx verify {artifact.path}`, or"
                " export the plain file"
                " again",
                code="E-INT8",
            )
        if predictor.manifest.weights_sha256 != weights_sha256:
            raise ArtifactError(
                f"{artifact.path} was not exported from the weights of the checkpoint: export it again",
                code="E-STALE",
            )
        opened.append(predictor)
    return opened, skipped


def find_targets(
    find_file: FindFile, options: Options, *, names: Sequence[str] | None = None, trust: Trust
) -> Iterator[Target]:
    """A target for each backend; without `names`, for the backends whose file exists.

    Raises:
        ArtifactError: the file of a named backend is missing, no file exists, or a file is not trusted.
    """
    any_target = False
    for name in known_backends() if names is None else names:
        file_format = find_backend(name).artifact_format
        try:
            path = find_file(file_format)
        except ArtifactError as error:
            if names is not None or error.code != "E-NO-ARTIFACT":
                raise
            continue
        artifact = read_artifact(path)
        if artifact.kind != file_format and names is None:
            continue
        require_trust(artifact, trust)
        any_target = True
        supported = supported_options(name, options, named=names is not None)
        yield Target(name, path, artifact.kind, artifact.sha256, supported)
    if not any_target:
        find_file(None)  # raises an error that says which commands write a file


def supported_options(backend: str, options: Options, *, named: bool) -> Options:
    """The options that one of several backends supports.

    The device is for backends that run on several, the network for those that need one. If a backend
    does not support threads, opening it fails if it was `named`; otherwise the threads are dropped.
    """
    entry = find_backend(backend)
    return replace(
        options,
        device=options.device if len(entry.devices) > 1 else "auto",
        network=options.network if "network" in entry.supported_options else None,
        threads=options.threads if named or "threads" in entry.supported_options else None,
    )


def _is_explicit_only(name: str) -> bool:
    """Whether a backend's file is exported only on request, so that its absence is not worth a note."""
    file_format = find_backend(name).artifact_format
    if file_format not in FORMATS:
        return True
    return file_format in EXPORTERS and EXPORTERS[file_format].explicit_only


def _why_unavailable(error: PtxError) -> str | None:
    """Why a backend cannot be opened here; None if the error is about something else."""
    if isinstance(error, BackendError):
        return error.reason
    if isinstance(error, UsageError) or error.code == "E-NO-ARTIFACT":
        return str(error)
    return None
