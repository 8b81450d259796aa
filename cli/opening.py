"""The MODEL argument as a predictor, or as one for each backend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ptx import infer
from ptx.cli.terminal import print_note
from ptx.cli.workspace import Workspace
from ptx.infer.errors import ArtifactError, BackendError, PtxError, UsageError

if TYPE_CHECKING:
    from ptx import report
    from ptx.infer.described.description import Description


@dataclass(frozen=True)
class ResolvedModel:
    """The file that a MODEL argument means, read; nothing of it is opened yet."""

    artifact: infer.Artifact
    card: infer.Card
    backend: str  # as it was asked for
    others: tuple[Path, ...] = ()  # what `auto` tries where nothing here runs the first
    description: Description | None = None  # of a file without a card


def resolve_model(
    space: Workspace, model: str, backend: str = "auto", *, describe: Path | None = None
) -> ResolvedModel:
    """The file for a MODEL argument, by what the backend reads, with its card."""
    if describe is not None:
        from ptx.cli.model_spec import read_describe
        from ptx.infer.described.described_artifact import describe_artifact

        description = read_describe(describe)
        artifact = infer.read_artifact(space.find(model))
        card = describe_artifact(artifact, description).card
        return ResolvedModel(artifact, card, backend, description=description)
    if backend != "auto":
        artifact = infer.read_artifact(space.find(model, file_kind_of(backend)))
        return ResolvedModel(artifact, artifact.require_card(), backend)
    first, *others = list(space.files(model).values()) or [space.find(model)]
    artifact = infer.read_artifact(first)
    return ResolvedModel(artifact, artifact.require_card(), backend, tuple(others))


def open_model(
    found: ResolvedModel, options: infer.Options, *, allow_nonfinite: bool = False
) -> infer.Predictor:
    """The predictor; says on stderr what `auto` took."""
    if found.backend != "auto" or found.description is not None:
        fitting = _heeding_threads(options, found.artifact)
        predictor = infer.open_predictor(
            found.artifact,
            backend=found.backend,
            options=fitting,
            description=found.description,
            allow_nonfinite=allow_nonfinite,
        )
        _say_skipped(predictor)
        return predictor
    last = found.others[-1] if found.others else found.artifact.path
    for artifact in _candidates(found):
        try:
            fitting = _heeding_threads(options, artifact)
            predictor = infer.open_predictor(
                artifact, backend="auto", options=fitting, allow_nonfinite=allow_nonfinite
            )
        except BackendError:
            if artifact.path == last:
                raise
            continue
        _say_skipped(predictor)
        print_note(
            f"backend {predictor.backend.name} on {predictor.backend.device}, from {artifact.path}"
        )
        return predictor
    raise AssertionError("there is at least one file")


def _say_skipped(predictor: infer.Predictor) -> None:
    """Why `auto` did not take a backend that it prefers."""
    for name, reason in predictor.skipped.items():
        say_left_out(name, reason)


def _candidates(found: ResolvedModel) -> Iterator[infer.Artifact]:
    yield found.artifact
    yield from map(infer.read_artifact, found.others)


def open_backends(
    space: Workspace, model: str, weights: str, options: infer.Options, *, backends: str = "all"
) -> list[infer.Predictor]:
    """A predictor for each of the backends; of `all` those that are available.

    Args:
        weights: The sha256 that each file must have.
        options: Its device is for the torch backends.
    """
    opened, left_out = sort_backends(space, model, weights, options, backends=backends)
    for name, reason in left_out:
        say_left_out(name, reason)
    return opened


def say_left_out(name: str, reason: str) -> None:
    """A backend that is not available, if `auto` or `all` were asked for."""
    print_note(f"{name} is left out: {reason}")


def sort_backends(
    space: Workspace, model: str, weights: str, options: infer.Options, *, backends: str = "all"
) -> tuple[list[infer.Predictor], list[tuple[str, str]]]:
    """The same, and why the others are not available; an extra file is not missed."""
    opened: list[infer.Predictor] = []
    left_out: list[tuple[str, str]] = []
    names = backend_names(backends)
    for name in names:
        fitting = fitting_options(name, options, named=backends != "all")
        try:
            path = space.find(model, file_kind_of(name))
            artifact = infer.read_artifact(path)
            predictor = infer.open_predictor(artifact, backend=name, options=fitting)
        except (BackendError, ArtifactError, UsageError) as error:
            reason = _absence(error)
            if reason is None or backends != "all" or (not opened and name == names[-1]):
                raise
            if error.code != "E-NO-ARTIFACT" or not _is_extra(name):
                left_out.append((name, reason))
            continue
        if predictor.card.compute:
            raise ArtifactError(
                f"{path} computes in {predictor.card.compute}, by accuracy, and is not compared with"
                f" float64: `ptx verify {path}` holds it; export the plain file again",
                code="E-INT8",
            )
        if predictor.card.weights_sha256 != weights:
            raise ArtifactError(
                f"{path} was exported from other weights than the checkpoint's: export it again",
                code="E-STALE",
            )
        opened.append(predictor)
    return opened, left_out


@contextmanager
def closing_all(predictors: Iterable[infer.Predictor]) -> Iterator[None]:
    """Close them at the end of the block, whatever ends it."""
    with ExitStack() as stack:
        for predictor in predictors:
            stack.enter_context(predictor)
        yield


def find_targets(
    space: Workspace, model: str, backends: str, options: infer.Options, *, trust: bool
) -> Iterator[report.Target]:
    """What each backend is measured with; of `all` those whose file is there."""
    from ptx import report
    from ptx.infer.artifact.artifact import require_trust

    found = False
    for name in backend_names(backends):
        kind = file_kind_of(name)
        try:
            path = space.find(model, kind)
        except ArtifactError as error:
            if backends != "all" or error.code != "E-NO-ARTIFACT":
                raise
            continue
        artifact = infer.read_artifact(path)
        if artifact.kind != kind and backends == "all":
            continue
        require_trust(artifact, space.trust(trust))
        found = True
        fitting = fitting_options(name, options, named=backends != "all")
        yield report.Target(name, path, artifact.kind, artifact.sha256, fitting)
    if not found:
        space.find(model)  # says which commands make a file


def backend_names(backends: str) -> list[str]:
    """The names that an option --backends stands for, which need not exist."""
    return list(infer.BACKENDS) if backends == "all" else [n.strip() for n in backends.split(",")]


def fitting_options(backend: str, options: infer.Options, *, named: bool) -> infer.Options:
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


def _heeding_threads(options: infer.Options, artifact: infer.Artifact) -> infer.Options:
    """The options, without threads where no backend of such a file heeds them."""
    entries = infer.BACKENDS.values()
    heeded = any(one.reads == artifact.kind and "threads" in one.heeds for one in entries)
    return options if heeded else replace(options, threads=None)


def file_kind_of(backend: str) -> str | None:
    """The kind of file that a backend reads; None for auto."""
    from ptx.infer.backends import find_backend

    return None if backend == "auto" else find_backend(backend).reads


def _is_extra(name: str) -> bool:
    """Whether a backend's file is made where somebody names its format, and is not missed else."""
    from ptx.export import FORMATS

    exported = FORMATS.get(file_kind_of(name) or "")
    return exported is not None and exported.by_name


def _absence(error: PtxError) -> str | None:
    """Why a backend cannot be tried here; None where the error is of another kind."""
    if isinstance(error, BackendError):
        return error.reason
    if isinstance(error, UsageError):  # it does not heed what was asked of all
        return str(error)
    return str(error) if error.code == "E-NO-ARTIFACT" else None
