"""Every figure of the documentation is that of a run whose command, data and seed are kept."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ptx.models import CATALOG
from ptx.trainers import default_recipe, find_recipe, open_dataset, train

ROOT = Path(__file__).parents[2]
RESULTS = json.loads((ROOT / "docs" / "reference" / "results.json").read_text())
RUNS = RESULTS["runs"]
FENCED = re.compile(r"```.*?```", re.DOTALL)


@pytest.fixture(scope="module")
def script() -> Iterator[Callable[[str], ModuleType]]:
    """A program of the folder `scripts`, as a module."""
    sys.path.insert(0, str(ROOT / "scripts" / "catalog"))
    yield import_module
    sys.path.remove(str(ROOT / "scripts" / "catalog"))


def test_the_page_and_the_catalog_are_what_the_results_give(
    script: Callable[[str], ModuleType],
) -> None:
    page = script("models_page")
    told = "\nrun: python scripts/catalog/models_page.py"
    assert page.PAGE.read_text() == page.page(RESULTS), told
    assert page.BENCHMARK_RESULTS.read_text() == page.results_module(RESULTS), told


def documents() -> Iterator[tuple[str, str]]:
    """The prose of the pages; fenced blocks show the output of their own commands."""
    for path in (ROOT / "README.md", ROOT / "README.zh.md"):
        yield path.name, FENCED.sub("", path.read_text())
    yield "models.md", (ROOT / "docs" / "reference" / "models.md").read_text()
    for path in sorted((ROOT / "docs" / "tutorial").glob("*.md")):
        yield path.name, FENCED.sub("", path.read_text())
    for name, entry in CATALOG.items():
        yield name, f"{entry.summary} {entry.notes} {entry.results}"


def figures(text: str) -> list[str]:
    """The numbers before a percent sign, and the spreads behind them."""
    spreads = re.findall(r"% \((\d+\.\d+) to (\d+\.\d+),", text)
    return re.findall(r"(\d+(?:\.\d+)?) ?%", text) + [figure for pair in spreads for figure in pair]


@pytest.mark.parametrize(("name", "text"), list(documents()))
def test_every_accuracy_is_that_of_a_run(name: str, text: str) -> None:
    accuracies = [100 * run["accuracy"] for run in RUNS if run["accuracy"] is not None]
    folds = [100 * run["accuracy"] for run in RUNS if "-fold-" in run["data"]["name"]]
    accuracies.append(sum(folds) / len(folds))
    for figure in figures(text):
        digits = len(figure.partition(".")[2])
        assert figure in {f"{value:.{digits}f}" for value in accuracies}, f"{figure} % in {name}"


def test_a_run_says_where_it_comes_from() -> None:
    for run in RUNS:
        assert run["command"].startswith(("ptx train ", "./scripts/train_all "))
        assert run["model"] in run["command"]
        assert f" {run['seed']}" in run["command"]
        assert re.fullmatch("[0-9a-f]{64}", run["data"]["sha256"])
        assert {"ptx", "torch", "python"} <= run["versions"].keys()
        assert run["machine"]
        assert run["date"].startswith("20")


def test_a_run_was_trained_with_the_recipe_that_the_catalog_has_now() -> None:
    for run in RUNS:
        recipe = find_recipe(run["model"], run["recipe"], **run["options"])
        assert run["values"] == recipe.to_data(), f"train it anew: {run['command']}"


def test_the_clothes_are_no_digits() -> None:
    data = {
        run["data"]["name"]: run["data"]["sha256"]
        for run in RUNS
        if run["model"] == "neural-network"
    }
    assert {"fashion-mnist", "mnist"} <= data.keys()
    assert data["fashion-mnist"] != data["mnist"]
    assert CATALOG["neural-network"].data == "fashion-mnist"
    first, *others = CATALOG["neural-network"].results.split("; ")
    assert " on " not in first
    assert any(other.endswith(" on mnist") for other in others)


def test_a_command_names_the_recipe_and_the_options_of_its_run() -> None:
    for run in RUNS:
        words = run["command"].split()
        assert ("--recipe" in words) == (run["recipe"] != "default" and words[0] == "ptx")
        for option, value in run["options"].items():
            place = words.index(f"--{option.replace('_', '-')}")
            assert float(words[place + 1]) == value


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with one trained line."""
    data = open_dataset("line", default="line", cache=tmp_path)
    recipe = default_recipe("linear-regression", epochs=3, lr=0.02)
    folder = tmp_path / "runs" / "linear-regression"
    train("linear-regression", data, recipe, folder=folder, seed=7, device="cpu")
    return tmp_path / "runs"


def collected(script: Callable[[str], ModuleType], workspace: Path) -> list[dict[str, Any]]:
    path = workspace / "results.json"
    runs: list[dict[str, Any]] = script("results").collect([workspace], path)["runs"]
    assert json.loads(path.read_text())["runs"] == runs
    return runs


def test_a_run_is_read_from_its_own_checkpoint(
    script: Callable[[str], ModuleType], workspace: Path, tmp_path: Path
) -> None:
    (run,) = collected(script, workspace)
    assert run["command"] == "ptx train linear-regression --epochs 3 --lr 0.02 --seed 7"
    assert (run["recipe"], run["epochs"], run["seed"]) == ("default", 3, 7)
    line = open_dataset("line", default="line", cache=tmp_path)
    assert (run["data"]["name"], run["data"]["sha256"]) == ("line", line.sha256)
    last = (workspace / "linear-regression" / "metrics.csv").read_text().splitlines()[-1]
    assert f"{run['loss']:.8g}" == last.split(",")[3]
    assert collected(script, workspace) == [run]  # the same run is not there twice


def test_a_run_on_other_rows_is_left_out(
    script: Callable[[str], ModuleType],
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("ptx.trainers.data.bundled.LINE_SEED", 43)
    assert collected(script, workspace) == []
    assert "is left out: line has other rows now" in capsys.readouterr().err
