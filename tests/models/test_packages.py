"""A package adds models to the catalog through entry points."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ptx.infer import UsageError, read_artifact
from ptx.models import CATALOG, build, known_models, lookup, packages

CATALOG_OF_THE_PACKAGE = """
from ptx.models import CATALOG, ModelEntry

_LINE = CATALOG["linear-model"]
STEEP_LINE = ModelEntry(
    summary="a straight line",
    source="the garden package",
    network="garden.lines:SteepLine",
    config={"slope": 3.0},
    signature=_LINE.signature,
    preprocessing=_LINE.preprocessing,
    parameters=1,
    task="regression",
    data="three-points",
    recipe={**_LINE.recipe, "epochs": 2},
)
RED_OR_BLUE = ModelEntry(
    summary="red or blue",
    source="the garden package",
    network="garden.lines:RedOrBlue",
    config={"classes": 2},
    signature={
        "inputs": {"image": ["float32", ["batch", 3, 8, 8]]},
        "outputs": {"logits": ["float32", ["batch", 2]]},
    },
    preprocessing={"kind": "rgb-image", "resize": 10, "size": [8, 8], "mean": [0.5, 0.4, 0.3]},
    parameters=8,
    task="classification",
    data="mnist",
    labels=("a", "b"),
    recipe={"loss": "cross-entropy", "optimizer": "adam", "lr": 0.1, "batch_size": 8, "epochs": 10},
)
NUMBER = 7
"""
LINES = """
import torch
from torch import Tensor, nn


class SteepLine(nn.Module):
    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor([slope]))

    def forward(self, x: Tensor) -> Tensor:
        return self.slope * x


class RedOrBlue(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(3, classes)

    def forward(self, image: Tensor) -> Tensor:
        return self.classifier(image.mean(dim=(2, 3)))
"""
ENTRY_POINTS = """
[ptx.models]
steep-line = garden.catalog:STEEP_LINE
red-or-blue = garden.catalog:RED_OR_BLUE
convnet = garden.catalog:STEEP_LINE
number = garden.catalog:NUMBER
gone = garden.catalog:GONE
broken = garden.broken:ENTRY
a/b = garden.catalog:STEEP_LINE
"""


@pytest.fixture
def garden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A real installed package: its folder on sys.path with its dist-info."""
    site = tmp_path / "site"
    for name, content in {
        "garden/__init__.py": "",
        "garden/catalog.py": CATALOG_OF_THE_PACKAGE,
        "garden/lines.py": LINES,
        "garden/broken.py": "raise RuntimeError('no such garden')",
        "garden-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: garden\nVersion: 1.0\n",
        "garden-1.0.dist-info/entry_points.txt": ENTRY_POINTS,
    }.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(content)
    monkeypatch.syspath_prepend(site)
    packages._package_entries.cache_clear()
    yield tmp_path
    packages._package_entries.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "garden"]:
        del sys.modules[name]


def test_an_entry_of_a_package_is_a_model(garden: Path) -> None:
    assert "steep-line" not in CATALOG
    assert list(known_models()) == [*CATALOG, "steep-line", "red-or-blue"]
    assert build("steep-line").state_dict()["slope"] == 3.0
    assert lookup("no-such-model") is None


def test_the_catalog_s_own_names_stay_the_catalog_s(garden: Path) -> None:
    assert lookup("convnet") is CATALOG["convnet"]


def test_an_entry_that_cannot_be_used_is_told_and_stops_nothing(garden: Path, ptx: Any) -> None:
    found = packages.broken_entries()
    assert {name: found[name] for name in ("convnet", "number", "broken")} == {
        "convnet": "garden: the catalog has a model of this name",
        "number": "garden: garden.catalog:NUMBER is a int; expected a ptx.models.ModelEntry",
        "broken": "garden: garden.broken:ENTRY cannot be loaded: RuntimeError: no such garden",
    }
    assert "has no attribute 'GONE'" in found["gone"]
    assert "its name must consist of" in found["a/b"]
    assert len(found) == 5
    listed = ptx("models", "--workspace", garden / "runs")
    assert listed.code == 0
    assert "steep-line" in listed.out
    assert "the model 'broken' of a package is skipped: garden: garden.broken:ENTRY" in listed.err
    assert len(listed.err.splitlines()) == 5


def test_the_doctor_tells_of_a_broken_entry(garden: Path, ptx: Any) -> None:
    told = ptx("doctor")
    assert told.code == 0
    assert "the model 'broken' of a package is skipped: garden" in told.out


def test_a_model_of_a_package_is_trained_exported_and_compared_like_our_own(
    garden: Path, ptx: Any
) -> None:
    runs = garden / "runs"
    for verb in (
        ("models", "steep-line"),
        ("train", "steep-line"),
        ("export", "steep-line", "--format", "torchscript"),
        ("compare", "steep-line", "--backends", "eager,torchscript"),
        ("predict", "2.0", "--model", "steep-line"),
    ):
        done = ptx(*verb, "--workspace", runs)
        assert done.code == 0, done.err
    manifest = read_artifact(runs / "steep-line" / "steep-line.torchscript").require_manifest()
    assert (manifest.model, manifest.config) == ("steep-line", {"slope": 3.0})


def test_a_model_for_photographs_is_trained_on_a_folder(garden: Path, ptx: Any) -> None:
    runs, photos = garden / "runs", garden / "photos"
    for label, colour in (("red", (200, 9, 9)), ("blue", (9, 9, 200))):
        (photos / label).mkdir(parents=True)
        for index in range(5):
            Image.new("RGB", (20 + index, 30), colour).save(photos / label / f"{index}.png")
    refused = ptx("train", "red-or-blue", "--workspace", runs)
    assert (refused.code, "give --data, a folder of class folders" in refused.err) == (2, True)
    done = ptx("train", "red-or-blue", "--data", photos, "--workspace", runs)
    assert done.code == 0, done.err
    assert "test accuracy 100.00 %" in done.out
    for verb in (
        ("export", "red-or-blue", "--format", "torchscript"),
        ("evaluate", "red-or-blue", "--data", photos),
    ):
        done = ptx(*verb, "--workspace", runs)
        assert done.code == 0, done.err
    named = ("predict", photos / "red" / "0.png", "--model", "red-or-blue", "--workspace", runs)
    assert "0.png: red" in ptx(*named).out


def test_without_the_package_its_checkpoint_says_what_is_missing(
    garden: Path, ptx: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = garden / "runs"
    assert ptx("train", "steep-line", "--workspace", runs).code == 0
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(garden / "site")])
    packages._package_entries.cache_clear()
    done = ptx("predict", "2.0", "--model", "steep-line", "--workspace", runs)
    assert done.code == 4
    assert "the catalog has no model 'steep-line'" in done.err


def test_a_name_of_the_catalog_costs_no_look_at_the_packages(
    monkeypatch: pytest.MonkeyPatch, ptx: Any, tmp_path: Path
) -> None:
    def looked() -> Any:
        raise AssertionError("the packages were looked at")

    monkeypatch.setattr(packages, "_package_entries", looked)
    assert lookup("convnet") is CATALOG["convnet"]
    for arguments in (("--help",), ("predict", "--help"), ("inspect", tmp_path / "a.onnx")):
        assert "looked at" not in ptx(*arguments).err
    with pytest.raises(AssertionError):
        lookup("convnett")


def test_an_unknown_name_is_told_with_the_packages_models(garden: Path) -> None:
    from ptx.trainers import default_recipe

    with pytest.raises(UsageError, match="did you mean 'steep-line'"):
        default_recipe("steep-lime")
