"""The workspace: the folders of checkpoints and artifacts, and what a MODEL argument means."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ptx import infer, models
from ptx.cli.inputs import silence_decoders
from ptx.cli.terminal import print_note, workspace_option
from ptx.infer.artifact.files import NAME, make_folder, write_atomic
from ptx.infer.artifact.formats import (
    CHECKPOINT,
    FORMATS,
    PACKAGE_FORMATS,
    find_format,
)
from ptx.infer.errors import ArtifactError, UsageError, did_you_mean, quote

if TYPE_CHECKING:
    from ptx import trainers
    from ptx.infer.artifact.artifact import Trust

DATA = "data"  # folder of downloaded data
EXPORTED = "exported"  # folder of the allow-list: a file for each program, named by its sha256

RESERVED = (DATA, EXPORTED)


@dataclass(frozen=True)
class Workspace:
    """`root/convnet/` holds `checkpoint.pt`, `convnet.onnx` and so on."""

    root: Path

    @property
    def data(self) -> Path:
        """The folder of downloaded data."""
        return self.root / DATA

    def open_data(
        self, model: str, source: str | None, manifest: infer.Manifest | None = None
    ) -> trainers.Dataset:
        """Open the data set of --data, or the model's own, with a note on stderr about the choice."""
        from ptx import trainers

        silence_decoders()
        return trainers.open_model_data(
            model, source, cache=self.data, manifest=manifest, notify=print_note
        )

    def folder(self, model: str) -> Path:
        """The folder of a model's files."""
        return self.root / model

    def checkpoint(self, model: str) -> Path:
        """The path of a model's checkpoint, which need not exist."""
        return self.artifact(model, CHECKPOINT)

    def artifact(self, model: str, kind: str, variant: str = "") -> Path:
        """The path of a model's file of that format and variant (`.int8`), which need not exist."""
        stem = CHECKPOINT if kind == CHECKPOINT else model + variant
        return self.folder(model) / f"{stem}{find_format(kind).suffix}"

    def files(self, model: str) -> dict[str, Path]:
        """The existing files of a model by format, the preferred one first and a checkpoint last."""
        paths = {kind: self.artifact(model, kind) for kind in FORMATS}
        # pathlib raises on a name that is too long.
        files = {kind: path for kind, path in paths.items() if os.path.isfile(path)}  # noqa: PTH113
        files |= self._package_files(model)
        return {kind: files[kind] for kind in sorted(files, key=CHECKPOINT.__eq__)}

    def _package_files(self, model: str) -> dict[str, Path]:
        """The files in formats of packages, which are looked up only if such a file may exist."""
        known = tuple(form.suffix for form in FORMATS.values())
        try:
            names = os.listdir(self.folder(model))  # noqa: PTH208 - the names alone
        except OSError:
            return {}
        others = {
            name for name in names if name.startswith(f"{model}.") and not name.endswith(known)
        }
        if not others:
            return {}
        return {
            kind: self.folder(model) / f"{model}{form.suffix}"
            for kind, form in PACKAGE_FORMATS.usable().items()
            if f"{model}{form.suffix}" in others
        }

    def find(self, model: str, kind: str | None = None) -> Path:
        """The file that a MODEL argument means: a path, or a name's file in the workspace.

        Args:
            kind: The format; None takes the preferred one of those that exist.

        Raises:
            UsageError: MODEL is neither a path nor the name of a model.
            ArtifactError: the model has no such file yet; the message has the commands to create it.
        """
        if not self.is_name(model):
            return _path(model)
        files = self.files(model)
        if kind is None and files:
            return next(iter(files.values()))
        if kind in files:
            return files[kind]
        option = workspace_option()
        what = "artifact" if kind is None else f"{kind} file" if kind != CHECKPOINT else kind
        export = f"`ptx export {model} --format {kind or next(iter(FORMATS))}{option}`"
        commands = [f"`ptx train {model}{option}`", export]
        if models.lookup(model) is None:
            commands = [export.replace(model, "my_module:build_net --spec FILE", 1)]
        elif kind == CHECKPOINT:
            commands = commands[:1]
        elif CHECKPOINT in files:
            commands = commands[1:]
        raise ArtifactError(
            f"there is no {what} of {model} in {quote(self.folder(model))}: create it with"
            f" {' and then '.join(commands)}",
            code="E-NO-ARTIFACT",
        )

    def read(self, model: str, kind: str | None = None) -> infer.Artifact:
        """The artifact that a MODEL argument means; see `find`."""
        return infer.read_artifact(self.find(model, kind))

    def find_checkpoint(self, model: str) -> Path:
        """The checkpoint of a model of the catalog, of a package, or of a custom one with files here."""
        custom = self.is_name(model) and models.lookup(model) is None
        return self.find(model if custom else require_model(model), CHECKPOINT)

    def is_name(self, model: str) -> bool:
        """Whether it names a model: of the catalog, of a package, or a custom one with files here."""
        if NAME.fullmatch(model) is None or model in RESERVED:
            return False
        if model in models.CATALOG:
            return True
        # Looking up the models of installed packages is slow, so files and paths are checked first.
        if self.files(model):
            return True
        return not os.path.lexists(model) and models.lookup(model) is not None

    def custom_models(self) -> list[str]:
        """The models with files here that are neither in the catalog nor of a package."""
        known = models.known_models()
        try:
            names = sorted(os.listdir(self.root))  # noqa: PTH208 - only names are needed
        except OSError:
            return []
        return [name for name in names if name not in known and self.is_name(name)]

    def require_free(self, name: str) -> None:
        """Check that a name for a custom model is not taken.

        Raises:
            UsageError: it is a model of the catalog or of a package, or a folder of the workspace.
        """
        if name in RESERVED or models.lookup(name) is not None:
            taken = "a folder of the workspace" if name in RESERVED else "a model of the catalog"
            raise UsageError(f"{name!r} is the name of {taken}: give the model another name")

    def note_export(self, path: Path, kind: str, sha256: str) -> None:
        """Put a program that was exported here on the allow-list, so that it runs without --trust.

        Raises:
            OutputError: it cannot be written into the workspace.
        """
        if not find_format(kind).is_program:
            return
        allow_list = self.root / EXPORTED
        make_folder(allow_list)
        write_atomic(allow_list / sha256, f"{path}\n".encode("utf-8", "surrogateescape"))

    def trust(self, trust_all: bool) -> Trust:
        """The programs that may run code: all with --trust, else those that were exported here."""
        if trust_all:
            return True
        allow_list = self.root / EXPORTED
        try:
            return frozenset(os.listdir(allow_list))  # noqa: PTH208 - only names are needed
        except OSError:
            return frozenset()


def require_model(name: str) -> str:
    """The name of a model of the catalog or of a package; UsageError suggests the nearest."""
    if models.lookup(name) is None:
        raise UsageError(
            f"there is no model {quote(name)}; {did_you_mean(name, models.known_models())}"
        )
    return name


def _path(argument: str) -> Path:
    path = Path(argument)
    if not os.path.lexists(path) and os.sep not in argument and not path.suffix:
        raise UsageError(
            f"there is no model {quote(argument)};"
            f" {did_you_mean(argument, models.known_models())}; or use a path"
        )
    return path
