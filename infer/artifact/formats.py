"""The file formats of models: how each is recognised, and whether it contains code.

The keys of FORMATS are also the keys of the exporters, and `BackendEntry.artifact_format`. Installed
packages add formats through the entry points of group `ptx.formats`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from ptx.infer.errors import UsageError, did_you_mean, quote
from ptx.infer.plugins import PluginGroup


class Content(NamedTuple):
    """The content of a file, as the module of its container reads it."""

    manifest: bytes | None  # the manifest's JSON, if any
    digest_ok: bool  # whether the content digest matches
    members: Collection[str] = ()  # the names in an archive


@dataclass(frozen=True)
class FileFormat:
    """One entry of FORMATS, or a format of a package."""

    noun: str  # for messages
    suffix: str
    container: str  # module with `read_content(data, name=…)`: a Content, or None for other files
    members: tuple[str, ...] = ()  # the members of the archive that identify it; `code/`: a folder
    is_program: bool = False  # whether it can run code as soon as it is loaded
    accepts_spec: bool = False  # whether a file without a manifest can be run with a model spec
    # Of a package's format: "module:attribute" of its `ptx.export.formats.Exporter`; empty: read only
    exporter: str = ""


FORMATS = {
    "onnx": FileFormat("an ONNX file", ".onnx", "ptx.infer.artifact.onnx_bytes", accepts_spec=True),
    "torchscript": FileFormat(
        "a TorchScript archive",
        ".torchscript",
        "ptx.infer.artifact.zip_archive",
        ("constants.pkl", "code/"),
        is_program=True,
    ),
    "pt2": FileFormat(
        "a torch.export archive (.pt2)",
        ".pt2",
        "ptx.infer.artifact.zip_archive",
        ("archive_format", "archive_version"),
        is_program=True,
    ),
    "html": FileFormat(
        "a model as one page", ".html", "ptx.infer.artifact.html_page", is_program=True
    ),
    "checkpoint": FileFormat(
        "a checkpoint", ".pt", "ptx.infer.artifact.zip_archive", ("data.pkl",)
    ),
}
"""The file formats in the order of `auto`; a file that matches two of them has the first."""

CHECKPOINT = "checkpoint"  # written by training; all other formats are exported


PACKAGE_FORMATS = PluginGroup("ptx.formats", "format", FORMATS, FileFormat)


def find_format(name: str) -> FileFormat:
    """The format of that name, of ptx or of a package.

    Raises:
        UsageError: there is no such format.
        BackendError: E-PLUGIN: its package cannot be used.
    """
    found = FORMATS.get(name) or PACKAGE_FORMATS.find(name)
    if found is None:
        known = (*FORMATS, *PACKAGE_FORMATS.names())
        raise UsageError(f"there is no format {quote(name)}; {did_you_mean(name, known)}")
    return found


def by_preference() -> list[str]:
    """The formats of ptx in the order in which `auto` prefers them: a checkpoint last."""
    return sorted(FORMATS, key=CHECKPOINT.__eq__)
