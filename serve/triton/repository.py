"""Writes the repository: a folder for the graph, and one for the answers in front of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from ptx.infer import Artifact, Card
from ptx.infer.artifact.files import NAME, make_folder, sweep, write_atomic
from ptx.infer.backends.ort.cpu import SMALL_MODEL
from ptx.infer.errors import ArtifactError, OutputError, UsageError, nearest, quote
from ptx.infer.preprocessing import open_preprocessing
from ptx.serve.own_input import own_input
from ptx.serve.triton.config import (
    KINDS,
    LABELS,
    has_labels,
    model_config,
    predict_config,
    to_text,
)

DEVICES = tuple(KINDS)
_PREDICT = "_predict"  # behind the model's name

Content = Mapping[str, bytes]  # of a folder: by the path in it


def write_repository(artifact: Artifact, folder: str | Path, *, device: str = "cpu") -> list[Path]:
    """Write a model into a repository, which other models may share.

    `NAME` is the graph for Triton's ONNX Runtime backend, `NAME_predict` reads picture files, texts or
    rows as `Predictor.predict` does, and asks NAME. A model without such inputs, or whose outputs
    nothing reads, has NAME alone. Each folder is put in place whole.

    Args:
        artifact: An ONNX file with a card of ptx.
        folder: The repository; made where it is not there.
        device: What runs the graph, `cpu` or `cuda`.

    Returns:
        The folders that were written.

    Raises:
        ArtifactError: it is another kind of file, has no card or has changed, or cannot be served.
        OutputError: there is such a model already, or it cannot be written.
    """
    if device not in DEVICES:
        raise UsageError(f"there is no device {quote(device)}; {nearest(device, DEVICES)}")
    card = _require_onnx(artifact)
    preprocessing = open_preprocessing(card.preprocessing, card.signature)
    small = len(artifact.data) <= SMALL_MODEL
    graph = to_text(model_config(card, preprocessing, device, small=small))
    contents: dict[str, Content] = {
        card.model: {
            "config.pbtxt": graph.encode(),
            "1/model.onnx": artifact.data,
            **({LABELS: _lines(card.labels)} if has_labels(card) else {}),
        }
    }
    if given := own_input(card, preprocessing):
        contents[card.model + _PREDICT] = _predicting(card, given)
    root = Path(folder)
    for name in contents:
        if os.path.lexists(root / name):
            raise OutputError(
                f"{quote(root / name)} is there already: remove it, or give another folder",
                code="E-OUT-EXISTS",
            )
    make_folder(root)
    staging = _staging(root)
    return [_put(root / name, staging, content) for name, content in contents.items()]


def _require_onnx(artifact: Artifact) -> Card:
    card = artifact.require_card()
    if artifact.kind != "onnx":
        raise ArtifactError(
            f"{artifact.name} is {artifact.format.noun}; Triton's ONNX Runtime takes an ONNX file:"
            f" `ptx export {card.model} --format onnx`",
            code="E-TRITON",
        )
    if NAME.fullmatch(card.model) is None:
        raise ArtifactError(
            f"{artifact.name}: its model is called {quote(card.model)}, and no folder can be",
            code="E-TRITON",
        )
    return card


def _predicting(card: Card, given: str) -> Content:
    name = card.model + _PREDICT
    return {
        "config.pbtxt": to_text(predict_config(card, given, name)).encode(),
        "1/model.py": files("ptx.serve.triton").joinpath("model.py").read_bytes(),
        "1/card.json": card.to_json().encode(),
        "1/ptx.zip": _reading_code(),
    }


def _reading_code() -> bytes:
    """`ptx.infer` as a zip archive that Python imports from; the same bytes each time."""
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        archive.writestr(ZipInfo("ptx/"), b"")  # a package without a file of its own
        for path, source in sorted(_sources(files("ptx.infer"), "ptx/infer")):
            archive.writestr(ZipInfo(path), source, ZIP_DEFLATED)
    return buffer.getvalue()


def _sources(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _sources(entry, f"{path}/{entry.name}")
        elif entry.name.endswith(".py"):
            yield f"{path}/{entry.name}", entry.read_bytes()


def _lines(labels: tuple[str, ...]) -> bytes:
    return "".join(f"{label}\n" for label in labels).encode()


def _put(target: Path, staging: Path, content: Content) -> Path:
    """Write a folder under a temporary name, then rename it."""
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
    """Where a folder is written before it is renamed: beside the repository, where that can be.

    In it Triton takes any folder for a model, and does not start with one that a killed export has left.
    """
    beside = root.resolve().parent
    same = beside.stat().st_dev == root.stat().st_dev
    staging = beside if same and os.access(beside, os.W_OK) else root
    sweep(staging)
    return staging
