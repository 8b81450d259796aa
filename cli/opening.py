"""The MODEL argument as a predictor, or as one for each backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ptx.cli.workspace import Workspace
    from ptx.infer import Card, Predictor
    from ptx.infer.artifact.artifact import Artifact
    from ptx.infer.backends import Options
    from ptx.infer.errors import PtxError


def open_model(
    model: str,
    backend: str,
    device: str,
    workspace: Path,
    *,
    trust: bool,
    precision: str = "float32",
    describe: Path | None = None,
    before: Callable[[Card], int | None] = lambda card: None,
) -> Predictor:
    """The predictor for a MODEL argument; says on stderr what `auto` took.

    `before`: called with the card once it is known, before any library is loaded that starts threads;
    it gives the number of threads that the backend is to take, or None.
    """
    from ptx.cli.workspace import Workspace
    from ptx.infer.artifact.artifact import read_artifact
    from ptx.infer.backends import Options
    from ptx.infer.loading import open_predictor

    space = Workspace(workspace)
    options = Options(device=device, trust=space.trust(trust), precision=precision)
    if describe is not None:
        from ptx.infer.described.adoption import adopt
        from ptx.infer.described.description import read_description

        description = read_description(describe)
        artifact = read_artifact(space.find(model))
        options = _with_threads(options, artifact, before(adopt(artifact, description).card))
        return open_predictor(artifact, backend=backend, options=options, description=description)
    if backend == "auto":
        paths = list(space.files(model).values()) or [space.find(model)]
        return _open_first(paths, options, before)
    artifact = read_artifact(space.find(model, backend_kind(backend)))
    options = _with_threads(options, artifact, before(artifact.require_card()))
    return open_predictor(artifact, backend=backend, options=options)


def open_backends(
    space: Workspace, model: str, weights: str, options: Options, *, backends: str = "all"
) -> tuple[list[Predictor], list[tuple[str, str]]]:
    """A predictor for each of the backends; of `all` those that are available, and why others are not.

    `weights`: the sha256 that each file must have. `options.device` is for the torch backends.
    """
    from ptx.infer.artifact.artifact import read_artifact
    from ptx.infer.backends import find_backend
    from ptx.infer.errors import ArtifactError, BackendError, UsageError
    from ptx.infer.loading import open_predictor

    names = backend_names(backends)
    opened: list[Predictor] = []
    left_out: list[tuple[str, str]] = []
    for name in names:
        fitting = fitting_options(name, options, named=backends != "all")
        try:
            path = space.find(model, find_backend(name).reads)
            predictor = open_predictor(read_artifact(path), backend=name, options=fitting)
        except (BackendError, ArtifactError, UsageError) as error:
            reason = _absence(error)
            if reason is None or backends != "all" or (not opened and name == names[-1]):
                raise
            left_out.append((name, reason))
            continue
        if predictor.card.weights_sha256 != weights:
            raise ArtifactError(
                f"{path} was exported from other weights than the checkpoint's: export it again",
                code="E-STALE",
            )
        opened.append(predictor)
    return opened, left_out


def backend_names(backends: str) -> list[str]:
    """The names that an option --backends stands for, which need not exist."""
    from ptx.infer.backends import BACKENDS

    return list(BACKENDS) if backends == "all" else [name.strip() for name in backends.split(",")]


def fitting_options(backend: str, options: Options, *, named: bool) -> Options:
    """What one of several backends is opened with.

    The device is for those that run on more than one, the network for those that need it; the threads
    too where `all` were asked for, and the backend was not `named`.
    """
    from ptx.infer.backends import find_backend

    entry = find_backend(backend)
    heeds_threads = named or "threads" in entry.heeds
    return replace(
        options,
        device=options.device if len(entry.devices) > 1 else "auto",
        network=options.network if "network" in entry.heeds else None,
        threads=options.threads if heeds_threads else None,
    )


def backend_kind(backend: str) -> str | None:
    """The kind of file that a backend reads; None for auto."""
    from ptx.infer.backends import find_backend

    return None if backend == "auto" else find_backend(backend).reads


def _open_first(
    paths: list[Path], options: Options, before: Callable[[Card], int | None]
) -> Predictor:
    """The first of a model's files that a backend here runs."""
    from ptx.cli.terminal import note
    from ptx.infer.artifact.artifact import read_artifact
    from ptx.infer.errors import BackendError
    from ptx.infer.loading import open_predictor

    threads: int | None = None
    for index, path in enumerate(paths):
        artifact = read_artifact(path)
        if index == 0:
            threads = before(artifact.require_card())
        try:
            fitting = _with_threads(options, artifact, threads)
            predictor = open_predictor(artifact, backend="auto", options=fitting)
        except BackendError:
            if index == len(paths) - 1:
                raise
            continue
        note(f"backend {predictor.backend.name} on {predictor.backend.device}, from {path}")
        return predictor
    raise AssertionError("there is at least one path")


def _with_threads(options: Options, artifact: Artifact, threads: int | None) -> Options:
    """The options with this number of threads, where a backend of such a file heeds one."""
    from ptx.infer.backends import BACKENDS

    heeded = any(
        entry.reads == artifact.kind and "threads" in entry.heeds for entry in BACKENDS.values()
    )
    return replace(options, threads=threads if heeded else None)


def _absence(error: PtxError) -> str | None:
    """Why a backend cannot be tried here; None where the error is of another kind."""
    from ptx.infer.errors import BackendError, UsageError

    if isinstance(error, BackendError):
        return error.reason
    if isinstance(error, UsageError):  # it does not heed what was asked of all
        return str(error)
    return str(error) if error.code == "E-NO-ARTIFACT" else None
