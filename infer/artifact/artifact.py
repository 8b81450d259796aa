"""A model file: read once, identified by its content, checked before anything runs it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path

from ptx.infer.artifact import onnx_bytes
from ptx.infer.artifact.external_data import read_external_data
from ptx.infer.artifact.files import read_bytes
from ptx.infer.artifact.formats import (
    CHECKPOINT,
    FORMATS,
    PACKAGE_FORMATS,
    Content,
    FileFormat,
    find_format,
)
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.errors import ArtifactError, BackendError, quote

# Allow every file to run code, or only the files with these sha256 digests.
Trust = bool | Collection[str]
SIZE_LIMIT = 2 * 2**30  # bytes; the limit of one protobuf message, and so of one ONNX file

_LOOKS_LIKE = {
    b"PK": "a zip archive",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip archive",
    b"\x80\x02": "a bare pickle or a legacy checkpoint",
    b"\x93NUMPY": "a NumPy array",
    b"\x7fELF": "a program",
}


@dataclass(frozen=True)
class Artifact:
    """A model file in memory: `.onnx`, `.torchscript`, `.pt2`, `.html` or a checkpoint.

    Attributes:
        kind: A key of `ptx.infer.artifact.formats.FORMATS`, or the name of a package's format.
        manifest: None if ptx did not write the file.
        digest_ok: Whether the content digest matches.
        external: Whether the manifest was created for a file without one: there is no digest to check.
        external_data: The content of the files next to an ONNX file that its weights are in, by name.
    """

    path: Path
    kind: str
    data: bytes
    manifest: Manifest | None
    digest_ok: bool
    external: bool = False
    external_data: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def format(self) -> FileFormat:
        """The properties of this file format."""
        return find_format(self.kind)

    @property
    def is_checkpoint(self) -> bool:
        """Whether it is a checkpoint of a training, not an exported file."""
        return self.kind == CHECKPOINT

    @cached_property
    def name(self) -> str:
        """The path in quotes, for messages."""
        return quote(self.path)

    @cached_property
    def sha256(self) -> str:
        """The sha256 of the entire file, and of the files that its weights are in."""
        digest = hashlib.sha256(self.data)
        for name, content in sorted(self.external_data.items()):
            digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
        return digest.hexdigest()

    def require_manifest(self) -> Manifest:
        """The manifest of an unmodified file.

        Raises:
            ArtifactError: there is no manifest, or the content has changed since it was written.
        """
        if self.manifest is None:
            hint = (
                ", or --spec FILE (library: spec=…); `ptx run` takes arrays without"
                if self.format.accepts_spec
                else ""
            )
            raise ArtifactError(
                f"{self.name} is {self.format.noun} without a ptx manifest; expected one that"
                f" `ptx export` or `ptx train` wrote{hint}",
                code="E-MANIFEST-MISSING",
            )
        if not self.digest_ok and not self.external:
            raise ArtifactError(
                f"{self.name} has changed since it was written: its content does not match its"
                " content digest; export or download it again",
                code="E-HASH",
            )
        return self.manifest


def read_artifact(path: str | Path) -> Artifact:
    """Read a model file, identify its format and parse its manifest; no code in it is run.

    Raises:
        ArtifactError: it cannot be read, is damaged, or is not a model file.
    """
    data = read_bytes(path, limit=SIZE_LIMIT, error=ArtifactError)
    artifact = parse_artifact(data, path=Path(path))
    if artifact.manifest is not None or not artifact.format.accepts_spec:
        return artifact  # ptx writes one file
    header = onnx_bytes.read_header(data, name=artifact.name)
    external_data = read_external_data(data, header, artifact.path)
    return replace(artifact, external_data=external_data)


def parse_artifact(data: bytes, *, path: Path) -> Artifact:
    """The artifact in `data`; `path` is used only in messages."""
    name = quote(path)
    kind, content = _read(data, name)
    manifest = (
        None if content.manifest is None else _manifest(content.manifest, name, content.digest_ok)
    )
    return Artifact(path, kind, data, manifest, content.digest_ok)


def _read(data: bytes, name: str) -> tuple[str, Content]:
    """The format of a file, and its content."""
    for container in dict.fromkeys(form.container for form in FORMATS.values()):
        content: Content | None = import_module(container).read_content(data, name=name)
        if content is None:
            continue
        for kind, form in FORMATS.items():
            if form.container == container and holds_members(content.members, form.members):
                return kind, content
    return _read_package_format(data, name)


def _read_package_format(data: bytes, name: str) -> tuple[str, Content]:
    """As `_read`, with the formats of installed packages."""
    forms, skipped = PACKAGE_FORMATS.usable(), PACKAGE_FORMATS.broken()
    for kind, form in forms.items():
        try:
            with PACKAGE_FORMATS.mapping_errors(kind):
                content: Content | None = import_module(form.container).read_content(
                    data, name=name
                )
        except BackendError as error:
            skipped[kind] = error.reason
            continue
        if content is not None and holds_members(content.members, form.members):
            return kind, content
    *nouns, last = (form.noun for form in (*FORMATS.values(), *forms.values()))
    reasons = (f"; the format {kind!r} is skipped: {skipped[kind]}" for kind in skipped)
    raise ArtifactError(
        f"{name} {_looks_like(data)}; expected {', '.join(nouns)} or {last}{''.join(reasons)}",
        code="E-ARTIFACT-FORMAT",
    )


def holds_members(names: Collection[str], members: Collection[str]) -> bool:
    """Whether an archive with these names contains the members of a format: see `FileFormat`."""
    return all(
        member in names or (member.endswith("/") and any(name.startswith(member) for name in names))
        for member in members
    )


def _manifest(text: bytes, name: str, digest_ok: bool) -> Manifest:
    try:
        return Manifest.from_json(text, name=name)
    except ArtifactError as error:
        if digest_ok:
            raise
        raise ArtifactError(
            f"{name} has changed since it was written: neither its content digest nor its"
            " manifest is valid",
            code="E-HASH",
        ) from error


def _looks_like(data: bytes) -> str:
    if not data:
        return "is empty"
    for magic, what in _LOOKS_LIKE.items():
        if data.startswith(magic):
            return f"is {what}"
    head = data[:512]
    printable = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
    return "is text" if printable == len(head) else "has an unknown format"


def require_trust(artifact: Artifact, trust: Trust) -> None:
    """Check that the file contains no code, or that `trust` allows its code to run.

    A TorchScript archive can write files while it is loaded, before any input, and has no safe mode;
    a `.pt2` file is loaded by the same machinery. The content digest does not establish trust, because
    anybody can compute one.

    Raises:
        ArtifactError: E-TRUST: the file contains code and is not trusted.
    """
    if not artifact.format.is_program or trust is True:
        return
    if not trust or artifact.sha256 not in trust:
        raise ArtifactError(
            f"{artifact.name} is {artifact.format.noun}, which can run arbitrary code, and was"
            " not exported here: pass --trust (library: trust=True) only if you know who created"
            " it, or use an ONNX file, which contains no code",
            code="E-TRUST",
        )
