"""The workspace: where checkpoints and artifacts stand, and what a MODEL argument means."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ptx.infer.errors import ArtifactError, UsageError, nearest, quoted
from ptx.infer.files import make_folder, write_atomic
from ptx.infer.trust import PROGRAMS, Trust
from ptx.models.catalog import CATALOG

CHECKPOINT = "checkpoint.pt"
EXPORTED = "exported"  # folder of the ledger: a file for each program, named by its sha256
# kind of file → suffix, in the order in which `auto` prefers them
SUFFIXES = {"onnx": ".onnx", "torchscript": ".torchscript", "pt2": ".pt2"}


@dataclass(frozen=True)
class Workspace:
    """`root/convnet/` holds `checkpoint.pt`, `convnet.onnx` and so on."""

    root: Path

    def folder(self, model: str) -> Path:
        """Where a model's files stand."""
        return self.root / model

    def checkpoint(self, model: str) -> Path:
        """A model's checkpoint, which need not be there yet."""
        return self.folder(model) / CHECKPOINT

    def artifact(self, model: str, kind: str) -> Path:
        """A model's file of that kind, which need not be there yet."""
        if kind == "checkpoint":
            return self.checkpoint(model)
        return self.folder(model) / f"{model}{SUFFIXES[kind]}"

    def files(self, model: str) -> dict[str, Path]:
        """The files of a model that are there, by kind; the preferred one first."""
        paths = {kind: self.artifact(model, kind) for kind in (*SUFFIXES, "checkpoint")}
        # pathlib raises on a name that is too long.
        return {kind: path for kind, path in paths.items() if os.path.isfile(path)}  # noqa: PTH113

    def find(self, model: str, kind: str | None = None) -> Path:
        """The file that a MODEL argument means: a path, or a catalog name's file in the workspace.

        `kind`: what the backend reads; None takes what there is.

        Raises:
            UsageError: neither a path nor a model of the catalog.
            ArtifactError: the model has no such file yet; says which two commands make one.
        """
        if model not in CATALOG:
            return _path(model)
        files = self.files(model)
        if kind is None and files:
            return next(iter(files.values()))
        if kind in files:
            return files[kind]
        from ptx.cli.terminal import workspace_given

        given = workspace_given()
        what = "artifact" if kind is None else f"{kind} file" if kind != "checkpoint" else kind
        make = f"`ptx train {model}{given}`"
        if kind != "checkpoint":
            make += f" and then `ptx export {model} --format {kind or 'onnx'}{given}`"
        raise ArtifactError(
            f"there is no {what} of {model} in {quoted(self.folder(model))}: make one with {make}",
            code="E-NO-ARTIFACT",
        )

    def note_export(self, path: Path, kind: str, sha256: str) -> None:
        """Remember a program that was exported here, so that it is run without --trust.

        Raises:
            OutputError: it cannot be written into the workspace.
        """
        if kind not in PROGRAMS:
            return
        ledger = self.root / EXPORTED
        make_folder(ledger)
        write_atomic(ledger / sha256, f"{path}\n".encode("utf-8", "surrogateescape"))

    def trust(self, everything: bool) -> Trust:
        """What may be run: everything with --trust, else the programs that were exported here."""
        if everything:
            return True
        ledger = self.root / EXPORTED
        try:
            return frozenset(os.listdir(ledger))  # noqa: PTH208 - the names alone
        except OSError:
            return frozenset()


def require_model(name: str) -> str:
    """A name of the catalog; UsageError names the nearest where it is none."""
    if name not in CATALOG:
        raise UsageError(f"there is no model {quoted(name)}; {nearest(name, CATALOG)}")
    return name


def _path(argument: str) -> Path:
    path = Path(argument)
    if not os.path.lexists(path) and os.sep not in argument and not path.suffix:
        raise UsageError(
            f"there is no model {quoted(argument)}; {nearest(argument, CATALOG)}; or a path"
        )
    return path
