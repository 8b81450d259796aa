"""ONNX files of other tools on the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ptx import export, infer, report
from ptx.cli.model_spec import read_spec_file
from ptx.cli.terminal import ProgressBar, print_summary
from ptx.cli.workspace import Workspace
from ptx.infer.artifact.files import make_folder
from ptx.infer.artifact.formats import CHECKPOINT, FORMATS
from ptx.infer.backends import find_backend
from ptx.infer.errors import UsageError, pluralise

if TYPE_CHECKING:
    from ptx.infer.backends import Factory


def adopt_file(space: Workspace, path: Path, spec_file: Path | None, output: Path | None) -> None:
    """Write the artifact of an ONNX file; print the error of ONNX Runtime against the reference."""
    artifact = infer.read_artifact(path)
    model_spec = export.ModelSpec() if spec_file is None else read_spec_file(spec_file)
    words = re.findall(r"[A-Za-z0-9._]+", path.stem)  # a name in the workspace has no spaces
    name = model_spec.name or "-".join(words).lstrip("._")[:64] or "model"
    space.require_free(name)
    model_spec = replace(model_spec, name=name)
    target = output or space.artifact(name, "onnx")
    if output is None:
        make_folder(target.parent)
    with ProgressBar("verifying onnx", "runs") as progress:
        done = export.adopt(artifact, target, model_spec, progress=progress.reach)
    print_summary(
        f"{done.path}: {report.file_size(done.size)}, agrees with {done.reference} in"
        f" {pluralise(done.cases, 'case')}: largest error {done.error:.1e}, allowed"
        f" {done.tolerance:.1e}",
        f"ptx compare {done.path if output else name}",
    )


def read_trained(
    space: Workspace, model: str, factory: Factory | None = None, spec_file: Path | None = None
) -> tuple[export.TrainedModel, report.FindArtifact]:
    """The network of MODEL, and a function that finds its exported file of a format.

    The network comes from a checkpoint, or from an ONNX file if there is no checkpoint.

    Raises:
        UsageError: --spec for a model that has a manifest.
    """
    if factory is not None or not _is_only_onnx(space, model):
        if spec_file is not None:
            raise UsageError("--spec can describe only an ONNX file without a manifest: omit it")
        trained = export.read_model(space.find_checkpoint(model), network=factory)
        return trained, partial(space.read, model)
    artifact = space.read(model, "onnx")
    model_spec = None if spec_file is None else read_spec_file(spec_file)
    external = export.read_external(artifact, model_spec)
    if artifact.manifest is None:
        artifact = external.to_artifact(artifact.path)
    return external, partial(_only_onnx, artifact)


def _is_only_onnx(space: Workspace, model: str) -> bool:
    """Whether MODEL is an ONNX file, or the name of a model that has one and no checkpoint."""
    if space.is_name(model):
        files = space.files(model)
        return "onnx" in files and CHECKPOINT not in files
    return space.find(model).suffix == FORMATS["onnx"].suffix


def _only_onnx(artifact: infer.Artifact, kind: str) -> infer.Artifact:
    """`artifact`, if it has the format `kind`.

    Raises:
        ArtifactError: E-NO-ARTIFACT: it has another format.
    """
    if kind != artifact.kind:
        raise infer.ArtifactError(
            f"the model has no {kind} file, only {artifact.name}", code="E-NO-ARTIFACT"
        )
    return artifact


def relevant_skips(skipped: Mapping[str, str], trained: export.TrainedModel) -> dict[str, str]:
    """Why backends are skipped; for a model that is an ONNX file, only those that read ONNX."""
    only_onnx = isinstance(trained, export.ExternalOnnx)
    return {
        name: reason
        for name, reason in skipped.items()
        if not only_onnx or find_backend(name).artifact_format == "onnx"
    }
