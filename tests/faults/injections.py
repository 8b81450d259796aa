"""The ways to inject a fault: in the network, its conversion, the manifest, the files, the data."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from ptx.export import export, pipeline
from ptx.export.formats import EXPORTERS
from ptx.export.golden import with_golden
from ptx.export.tracing import trace
from ptx.infer.artifact.manifest import Manifest

from .fault import Good

Change = Callable[[nn.Module], nn.Module]


def replace_converter(patch: pytest.MonkeyPatch, format_name: str, content: bytes) -> None:
    """Have the exporter of that format convert every network to `content`."""
    exporter = replace(EXPORTERS[format_name], convert=lambda *_, **__: content)
    patch.setitem(EXPORTERS, format_name, exporter)


def lay_out(good: Good, folder: Path, artifact: bytes) -> list[str]:
    """The good checkpoint and this file."""
    folder.mkdir()
    shutil.copy(good.checkpoint, folder / "checkpoint.pt")
    (folder / f"{good.model}.{good.format}").write_bytes(artifact)
    return []


@dataclass(frozen=True)
class Converted:
    """A wrong exporter: what it converts to is something else, under the manifest of the good file."""

    place = "conversion"
    convert: Callable[[Good], bytes]

    def export(self, good: Good, path: Path, patch: pytest.MonkeyPatch) -> None:
        content = self.convert(good)
        replace_converter(patch, good.format, content)
        export(good.trained, good.format, path)

    def workspace(self, good: Good, folder: Path) -> list[str]:
        content = self.convert(good)
        return lay_out(
            good, folder, EXPORTERS[good.format].embed_manifest(content, good.manifest.to_json())
        )


def graph(edit: Callable[[Any], None]) -> Converted:
    """The ONNX graph is another one."""

    def convert(good: Good) -> bytes:
        import onnx

        model = onnx.ModelProto.FromString(good.content)
        edit(model)
        del model.graph.value_info[:]
        content: bytes = model.SerializeToString()
        return content

    return Converted(convert)


def converted(change: Change) -> Converted:
    """The exporter converts another network than the one it is given."""
    return Converted(lambda good: _content(good, change))


def _content(good: Good, change: Change) -> bytes:
    network = change(good.trained.network).eval()
    traced = trace(network, good.trained.manifest.signature)
    return EXPORTERS[good.format].convert(traced, opset=None)


@dataclass(frozen=True)
class Network:
    """The network itself is one that no file, or not every file, can agree with."""

    place = "network"
    change: Change

    def export(self, good: Good, path: Path, patch: pytest.MonkeyPatch) -> None:
        export(replace(good.trained, network=self.change(good.trained.network)), good.format, path)

    def workspace(self, good: Good, folder: Path) -> list[str]:
        return converted(self.change).workspace(good, folder)


@dataclass(frozen=True)
class Stated:
    """A manifest that says something else, with the digest of its statement written anew."""

    place = "manifest"
    change: Callable[[Manifest], dict[str, Any]]

    def export(self, good: Good, path: Path, patch: pytest.MonkeyPatch) -> None:
        def injected(*arguments: Any) -> Manifest:
            manifest = with_golden(*arguments)
            return replace(manifest, **self.change(manifest))

        replace_converter(patch, good.format, good.content)
        patch.setattr(pipeline, "with_golden", injected)
        export(good.trained, good.format, path)

    def workspace(self, good: Good, folder: Path) -> list[str]:
        manifest = replace(good.manifest, **self.change(good.manifest))
        agreement = {**manifest.verification, "fingerprint": manifest.fingerprint}
        text = replace(manifest, verification=agreement).to_json()
        return lay_out(good, folder, EXPORTERS[good.format].embed_manifest(good.content, text))


def preprocessed(**settings: Any) -> Stated:
    """The preprocessing has other settings."""
    return Stated(lambda manifest: {"preprocessing": {**manifest.preprocessing, **settings}})


@dataclass(frozen=True)
class Both:
    """A wrong exporter and a manifest that hides it."""

    place = "both"
    converted: Converted
    stated: Stated

    def export(self, good: Good, path: Path, patch: pytest.MonkeyPatch) -> None:
        self.stated.export(replace(good, content=self.converted.convert(good)), path, patch)

    def workspace(self, good: Good, folder: Path) -> list[str]:
        content = self.converted.convert(good)
        return self.stated.workspace(replace(good, content=content), folder)


@dataclass(frozen=True)
class Damaged:
    """A byte of a file is another one, and nothing is written with its digest anew."""

    place = "file"
    name: str  # "checkpoint.pt", or "" for the exported file

    def export(self, good: Good, path: Path, patch: pytest.MonkeyPatch) -> None:
        from ptx.export import read_model

        folder = path.parent / "damaged"
        self.workspace(good, folder)
        export(replace(good.trained, **vars(read_model(folder / "checkpoint.pt"))), "onnx", path)

    def workspace(self, good: Good, folder: Path) -> list[str]:
        lay_out(good, folder, good.path.read_bytes())
        path = folder / (self.name or good.path.name)
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 1
        path.write_bytes(data)
        return []


@dataclass(frozen=True)
class Beside:
    """The checkpoint beside the file is one of other weights."""

    place = "file"
    change: Change

    def export(self, good: Good, path: Path, patch: pytest.MonkeyPatch) -> None:
        export(self._other(good), good.format, path)

    def workspace(self, good: Good, folder: Path) -> list[str]:
        lay_out(good, folder, good.path.read_bytes())
        self._other(good).save(folder / "checkpoint.pt")
        return []

    def _other(self, good: Good) -> Any:
        from ptx.models.checkpoint import weights_digest

        network = self.change(good.trained.network)
        manifest = replace(
            good.trained.manifest, weights_sha256=weights_digest(network.state_dict())
        )
        return replace(good.trained, network=network, manifest=manifest)


@dataclass(frozen=True)
class Data:
    """The data that a file is tried on is not for it."""

    place = "data"
    write: Callable[[Path], Path]

    def export(self, good: Good, path: Path, patch: pytest.MonkeyPatch) -> None:
        replace_converter(patch, good.format, good.content)
        export(good.trained, good.format, path)

    def workspace(self, good: Good, folder: Path) -> list[str]:
        lay_out(good, folder, good.path.read_bytes())
        return ["--data", str(self.write(folder.parent))]
