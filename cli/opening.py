"""The MODEL argument as a predictor, or as one for each backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ptx.cli.workspace import Workspace
    from ptx.infer import Card, Predictor
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
        options = replace(options, threads=before(adopt(artifact, description).card))
        return open_predictor(artifact, backend=backend, options=options, description=description)
    if backend == "auto":
        paths = list(space.files(model).values()) or [space.find(model)]
        return _open_first(paths, options, before)
    artifact = read_artifact(space.find(model, backend_kind(backend)))
    options = replace(options, threads=before(artifact.require_card()))
    return open_predictor(artifact, backend=backend, options=options)


def open_backends(
    space: Workspace, model: str, weights: str, options: Options, *, backends: str = "all"
) -> tuple[list[Predictor], list[tuple[str, str]]]:
    """A predictor for each of the backends; of `all` those that are available, and why others are not.

    `weights`: the sha256 that each file must have. `options.device` is for the torch backends.
    """
    from ptx.infer.artifact.artifact import read_artifact
    from ptx.infer.backends import find_backend
    from ptx.infer.errors import ArtifactError, BackendError
    from ptx.infer.loading import open_predictor

    opened: list[Predictor] = []
    left_out: list[tuple[str, str]] = []
    for name in backend_names(backends):
        fitting = replace(options, device=device_of(name, options.device))
        try:
            path = space.find(model, find_backend(name).reads)
            predictor = open_predictor(read_artifact(path), backend=name, options=fitting)
        except (BackendError, ArtifactError) as error:
            reason = _absence(error)
            if reason is None or backends != "all":
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


def device_of(backend: str, device: str) -> str:
    """The device asked for, of a torch backend; those of ONNX Runtime have theirs in their names."""
    return "auto" if backend.startswith("ort-") else device


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

    for index, path in enumerate(paths):
        artifact = read_artifact(path)
        if index == 0:
            options = replace(options, threads=before(artifact.require_card()))
        try:
            predictor = open_predictor(artifact, backend="auto", options=options)
        except BackendError:
            if index == len(paths) - 1:
                raise
            continue
        note(f"backend {predictor.backend.name} on {predictor.backend.device}, from {path}")
        return predictor
    raise AssertionError("there is at least one path")


def _absence(error: PtxError) -> str | None:
    """Why a backend cannot be tried here; None where the error is of another kind."""
    from ptx.infer.errors import BackendError

    if isinstance(error, BackendError):
        return error.reason
    return str(error) if error.code == "E-NO-ARTIFACT" else None
