"""The workspace: where checkpoints and artifacts stand, and what a MODEL argument means."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ptx import models
from ptx.cli.terminal import workspace_option
from ptx.infer.artifact.files import NAME, make_folder, write_atomic
from ptx.infer.artifact.formats import CHECKPOINT, FORMATS, by_preference
from ptx.infer.errors import ArtifactError, UsageError, nearest, quote

if TYPE_CHECKING:
    from ptx.infer.artifact.artifact import Trust

DATA = "data"  # folder of what was downloaded
EXPORTED = "exported"  # folder of the ledger: a file for each program, named by its sha256

RESERVED = (DATA, EXPORTED)


@dataclass(frozen=True)
class Workspace:
    """`root/convnet/` holds `checkpoint.pt`, `convnet.onnx` and so on."""

    root: Path

    def folder(self, model: str) -> Path:
        """Where a model's files stand."""
        return self.root / model

    def checkpoint(self, model: str) -> Path:
        """A model's checkpoint, which need not be there yet."""
        return self.artifact(model, CHECKPOINT)

    def artifact(self, model: str, kind: str, form: str = "") -> Path:
        """A model's file of that kind and form (`.int8`), which need not be there yet."""
        stem = CHECKPOINT if kind == CHECKPOINT else model + form
        return self.folder(model) / f"{stem}{FORMATS[kind].suffix}"

    def files(self, model: str) -> dict[str, Path]:
        """The files of a model that are there, by kind; the preferred one first."""
        paths = {kind: self.artifact(model, kind) for kind in by_preference()}
        # pathlib raises on a name that is too long.
        return {kind: path for kind, path in paths.items() if os.path.isfile(path)}  # noqa: PTH113

    def find(self, model: str, kind: str | None = None) -> Path:
        """The file that a MODEL argument means: a path, or a name's file in the workspace.

        Args:
            kind: What the backend reads; None takes what there is.

        Raises:
            UsageError: neither a path nor the name of a model.
            ArtifactError: the model has no such file yet; says which two commands make one.
        """
        if not self.is_name(model):
            return _path(model)
        files = self.files(model)
        if kind is None and files:
            return next(iter(files.values()))
        if kind in files:
            return files[kind]
        given = workspace_option()
        what = "artifact" if kind is None else f"{kind} file" if kind != CHECKPOINT else kind
        export = f"`ptx export {model} --format {kind or next(iter(FORMATS))}{given}`"
        make = [f"`ptx train {model}{given}`", export]
        if models.lookup(model) is None:
            make = [export.replace(model, "my_module:build_net --describe FILE", 1)]
        elif kind == CHECKPOINT:
            make = make[:1]
        elif CHECKPOINT in files:
            make = make[1:]
        raise ArtifactError(
            f"there is no {what} of {model} in {quote(self.folder(model))}: make one with"
            f" {' and then '.join(make)}",
            code="E-NO-ARTIFACT",
        )

    def find_checkpoint(self, model: str) -> Path:
        """The checkpoint of a model of the catalog, of a package, or of one's own with files here."""
        own = self.is_name(model) and models.lookup(model) is None
        return self.find(model if own else require_model(model), CHECKPOINT)

    def is_name(self, model: str) -> bool:
        """Whether it names a model: of the catalog, of one's own with files here, of a package."""
        if NAME.fullmatch(model) is None or model in RESERVED:
            return False
        if model in models.CATALOG:
            return True
        # What is in the workspace, and what is a path, is known without a look at the packages.
        if self.files(model):
            return True
        return not os.path.lexists(model) and models.lookup(model) is not None

    def own_models(self) -> list[str]:
        """The models with files here that neither the catalog nor a package has."""
        known = models.known_models()
        try:
            names = sorted(os.listdir(self.root))  # noqa: PTH208 - the names alone
        except OSError:
            return []
        return [name for name in names if name not in known and self.is_name(name)]

    def require_free(self, name: str) -> None:
        """Refuse a name for a model of one's own that means something else already.

        Raises:
            UsageError: it is a model of the catalog or of a package, or a folder of the workspace.
        """
        if name in RESERVED or models.lookup(name) is not None:
            whose = "a folder of the workspace" if name in RESERVED else "a model of the catalog"
            raise UsageError(f"the name {name!r} is that of {whose}; give the model another name")

    def note_export(self, path: Path, kind: str, sha256: str) -> None:
        """Remember a program that was exported here, so that it is run without --trust.

        Raises:
            OutputError: it cannot be written into the workspace.
        """
        if not FORMATS[kind].is_program:
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
    """A name of the catalog or of a package; UsageError names the nearest where it is none."""
    if models.lookup(name) is None:
        raise UsageError(f"there is no model {quote(name)}; {nearest(name, models.known_models())}")
    return name


def _path(argument: str) -> Path:
    path = Path(argument)
    if not os.path.lexists(path) and os.sep not in argument and not path.suffix:
        raise UsageError(
            f"there is no model {quote(argument)};"
            f" {nearest(argument, models.known_models())}; or a path"
        )
    return path
