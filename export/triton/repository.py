"""Writes the repository: a folder for the graph, and one for predictions from raw inputs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from ptx.export.triton.config import (
    KINDS,
    LABELS,
    has_labels,
    model_config,
    predict_config,
    to_text,
)
from ptx.infer import Artifact, Manifest
from ptx.infer.artifact.files import NAME, make_folder, remove_stale_temp_files, write_atomic
from ptx.infer.backends.ort.cpu import SMALL_MODEL
from ptx.infer.errors import ArtifactError, OutputError, UsageError, did_you_mean, quote
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.raw_input import raw_input_name
from ptx.infer.tasks import find_task

DEVICES = tuple(KINDS)
_PREDICT = "_predict"  # after the model's name

Content = Mapping[str, bytes]  # the files of a folder by their path in it


def write_repository(artifact: Artifact, folder: str | Path, *, device: str = "cpu") -> list[Path]:
    """Write a model into a repository, which may contain other models.

    `NAME` is the graph for Triton's ONNX Runtime backend. `NAME_predict` takes image files, texts or
    rows as `Predictor.predict` does, and calls NAME. A model without raw inputs, or whose outputs are
    not decoded, has only NAME. Each folder is written atomically.

    Args:
        artifact: An ONNX file with a ptx manifest.
        folder: The repository; created if it does not exist.
        device: What runs the graph, `cpu` or `cuda`.

    Returns:
        The folders that were written.

    Raises:
        ArtifactError: it is another kind of file, has no manifest or has changed, or cannot be served.
        OutputError: the model exists already, or it cannot be written.
    """
    if device not in DEVICES:
        raise UsageError(f"there is no device {quote(device)}; {did_you_mean(device, DEVICES)}")
    manifest = _require_onnx(artifact)
    preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
    small = len(artifact.data) <= SMALL_MODEL
    graph = to_text(model_config(manifest, preprocessing, device, small=small))
    contents: dict[str, Content] = {
        manifest.model: {
            "config.pbtxt": graph.encode(),
            "1/model.onnx": artifact.data,
            **({LABELS: _lines(manifest.labels)} if has_labels(manifest) else {}),
        }
    }
    raw_input = raw_input_name(manifest, preprocessing)
    if raw_input and not find_task(manifest.task).is_array:
        contents[manifest.model + _PREDICT] = _predict_model(manifest, raw_input)
    root = Path(folder)
    for name in contents:
        if os.path.lexists(root / name):
            raise OutputError(
                f"{quote(root / name)} exists already: remove it, or give another folder",
                code="E-OUT-EXISTS",
            )
    make_folder(root)
    staging = _staging(root)
    return [_put(root / name, staging, content) for name, content in contents.items()]


def _require_onnx(artifact: Artifact) -> Manifest:
    manifest = artifact.require_manifest()
    if artifact.kind != "onnx":
        raise ArtifactError(
            f"{artifact.name} is {artifact.format.noun}; Triton's ONNX Runtime takes an ONNX file:"
            f" `ptx export {manifest.model} --format onnx`",
            code="E-TRITON",
        )
    if NAME.fullmatch(manifest.model) is None:
        raise ArtifactError(
            f"{artifact.name}: {quote(manifest.model)}, the name of its model, cannot name a folder",
            code="E-TRITON",
        )
    return manifest


def _predict_model(manifest: Manifest, raw_input: str) -> Content:
    name = manifest.model + _PREDICT
    return {
        "config.pbtxt": to_text(predict_config(manifest, raw_input, name)).encode(),
        "1/model.py": files("ptx.export.triton").joinpath("model.py").read_bytes(),
        "1/manifest.json": manifest.to_json().encode(),
        "1/ptx.zip": _zip_infer(),
    }


def _zip_infer() -> bytes:
    """`ptx.infer` as a zip archive that Python can import from; the same bytes each time."""
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        archive.writestr(ZipInfo("ptx/"), b"")  # a namespace package
        for path, source in sorted(_sources(files("ptx.infer"), "ptx/infer")):
            archive.writestr(ZipInfo(path), source, ZIP_DEFLATED)
    return buffer.getvalue()


def _sources(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _sources(entry, f"{path}/{entry.name}")
        elif entry.name.endswith((".py", ".pyi")):
            yield f"{path}/{entry.name}", entry.read_bytes()


def _lines(labels: tuple[str, ...]) -> bytes:
    return "".join(f"{label}\n" for label in labels).encode()


def _put(target: Path, staging: Path, content: Content) -> Path:
    """Write a folder under a temporary name, and rename it."""
    temporary = staging / f".{target.name}.{os.getpid()}-{os.urandom(4).hex()}.ptx-tmp"
    try:
        for path, data in content.items():
            make_folder((temporary / path).parent)
            write_atomic(temporary / path, data)
        try:
            temporary.rename(target)
        except OSError as error:
            raise OutputError(f"{quote(target)} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _staging(root: Path) -> Path:
    """Where folders are written before they are renamed: next to the repository if possible.

    In the repository, Triton takes any folder for a model, and cannot start if a killed export left one.
    """
    parent = root.resolve().parent
    same = parent.stat().st_dev == root.stat().st_dev
    staging = parent if same and os.access(parent, os.W_OK) else root
    remove_stale_temp_files(staging)
    return staging
