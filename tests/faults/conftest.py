"""The good models that faults are injected into, each made once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ptx.export import TrainedModel, describe, export, read_model
from ptx.export.formats import EXPORTERS
from ptx.infer import read_artifact
from ptx.infer.artifact.formats import FORMATS

from .data import pictures
from .fault import Good
from .injections import replace_converter
from .networks import COLOURS, SIGNATURE, Ward

EPOCHS = {"diabetes": 5}  # trained, for what is recorded of the training; the others need none

_PHOTO = {
    "kind": "rgb-image",
    "size": [9, 9],
    "resize": 10,
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.3, 0.25],
}


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of Ward."""
    return pictures(tmp_path_factory.mktemp("colours") / "data")


@pytest.fixture(scope="session")
def good(
    checkpoint: Callable[[str], Path],
    colours: Path,
    tmp_path_factory: pytest.TempPathFactory,
    ptx: Callable[..., Any],
) -> Callable[[str, str], Good]:
    """`good(model, format)`: proved, with its checkpoint; of each model one reference for all."""

    @cache
    def trained(model: str) -> tuple[TrainedModel, Path]:
        root = tmp_path_factory.mktemp(f"good-{model}")
        if model == "ward":
            described = ward(colours)
            described.save(root / "checkpoint.pt")
            return described, root / "checkpoint.pt"
        path = checkpoint(model) if model not in EPOCHS else root / model / "checkpoint.pt"
        if model in EPOCHS:
            done = ptx("train", model, "--epochs", EPOCHS[model], "--workspace", root)
            assert done.code == 0, done.err
        return read_model(path), path

    @cache
    def make(model: str, format_name: str) -> Good:
        source, saved = trained(model)
        path = tmp_path_factory.mktemp("good") / f"{model}{FORMATS[format_name].suffix}"
        with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
            warnings.simplefilter("ignore")  # of the exporters, about themselves
            content = EXPORTERS[format_name].convert(source.traced, opset=None)
            replace_converter(patch, format_name, content)
            export(source, format_name, path)
        manifest = read_artifact(path).require_manifest()
        return Good(model, format_name, source, saved, content, path, manifest)

    return make


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ptx compare ward --network injected_ward:Ward`"""
    import sys
    from types import ModuleType

    module = ModuleType("injected_ward")
    module.Ward = Ward  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "injected_ward", module)


def ward(colours: Path) -> TrainedModel:
    """Ward with what is said of it, and samples of its data."""
    about: dict[str, Any] = {
        "signature": SIGNATURE,
        "preprocessing": _PHOTO,
        "labels": COLOURS,
        "task": "classification",
        "name": "ward",
        "examples": [next(path.iterdir()).read_bytes() for path in colours.iterdir()],
    }
    described = describe(Ward(), **about)
    from ptx.infer.preprocessing import open_preprocessing

    preprocessing = open_preprocessing(
        described.manifest.preprocessing, described.manifest.signature
    )
    read = [preprocessing.transform(path) for path in sorted(colours.glob("*/[0-4].png"))]
    return replace(described, samples=preprocessing.collate(read))
