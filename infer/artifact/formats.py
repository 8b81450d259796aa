"""The kinds of files that hold a model: name, how it is recognised, whether it is a program.

A kind's key is also that of its exporter in `ptx.export.formats`, and what a backend `reads`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple


class Content(NamedTuple):
    """What the container of a file holds, as its module reads it."""

    manifest: bytes | None  # the manifest's JSON; None without one
    digest_ok: bool  # whether the file is, byte for byte, what was written
    members: Collection[str] = ()  # the names in an archive


@dataclass(frozen=True)
class FileFormat:
    """One line of FORMATS."""

    noun: str  # for messages
    suffix: str
    container: str  # module with `read_content(data, name=…)`: a Content, None of what is none
    members: tuple[str, ...] = ()  # what tells it from others in such a container; `code/` a folder
    is_program: bool = False  # it can run code as soon as it is loaded
    accepts_spec: bool = False  # one without a manifest says enough to be run with a model spec


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
"""The kinds of files by name, the one that `auto` prefers first; of two that a file fits, the first."""

CHECKPOINT = "checkpoint"  # what training writes; all others are exported


def by_preference() -> list[str]:
    """The kinds of files in the order in which `auto` takes them: a checkpoint last."""
    return sorted(FORMATS, key=CHECKPOINT.__eq__)
