"""What `--data` takes, and the errors for what it does not."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

import ptx.trainers.data
from ptx.infer.errors import InputError, UsageError
from ptx.trainers.data import DATASETS, open_dataset


def test_public_names() -> None:
    assert ptx.trainers.data.__all__ == [
        "DATASETS",
        "Dataset",
        "DatasetEntry",
        "Split",
        "open_dataset",
    ]


@pytest.mark.parametrize("name", DATASETS)
def test_each_source_can_be_imported_and_has_a_bundled_form(name: str) -> None:
    module, _, function = DATASETS[name].loader.partition(":")
    assert callable(getattr(importlib.import_module(module), function))
    bundled = DATASETS[DATASETS[name].bundled]
    assert bundled.row_type == DATASETS[name].row_type
    assert not bundled.download


@pytest.mark.parametrize("name", [name for name in DATASETS if not DATASETS[name].download])
def test_each_source_without_a_download_opens_as_its_kind(name: str, tmp_path: Path) -> None:
    data = open_dataset(name, default=name, cache=tmp_path / "none")
    assert (data.name, data.row_type) == (name, DATASETS[name].row_type)
    assert len(data.train)
    assert len(data.test)
    assert "\n" not in data.source
    assert not (tmp_path / "none").exists()


def test_bundled_means_the_models_own_data(tmp_path: Path) -> None:
    for default in DATASETS:
        data = open_dataset("bundled", default=default, cache=tmp_path)
        assert data.name == DATASETS[default].bundled


@pytest.mark.parametrize(
    ("source", "default", "message"),
    [
        ("mnst", "mnist", "--data 'mnst' is unknown: did you mean 'mnist'"),
        ("mnst", "mnist", "Known: bundled, bundled-mnist, fashion-mnist, mnist, mnist-validation"),
        ("names", "mnist", "'names' has texts; the model takes images: use bundled, mnist,"),
        ("mnist", "names", "'mnist' has images; the model takes texts"),
        ("hours", "diabetes", "hours has 1 column and classes as targets; the model takes 8 col"),
        ("hours", "line", "the model takes 1 column and numbers as targets: use --data line"),
    ],
)
def test_a_source_that_does_not_fit_is_wrong_usage(
    source: str, default: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        open_dataset(source, default=default, cache=tmp_path)


@pytest.mark.parametrize("default", ["names", "diabetes", "hello"])
def test_a_folder_is_for_pictures(default: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has files"):
        open_dataset(str(tmp_path), default=default, cache=tmp_path)


def test_a_path_that_is_not_there_or_of_no_use_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder or file"):
        open_dataset(str(tmp_path / "none"), default="mnist", cache=tmp_path)
    with pytest.raises(InputError, match="no such folder or file"):
        open_dataset("digits.csv", default="mnist", cache=tmp_path)
    (tmp_path / "x.txt").write_text("1")
    with pytest.raises(InputError, match=r"is neither a folder nor a .csv file; expected a folder"):
        open_dataset(str(tmp_path / "x.txt"), default="mnist", cache=tmp_path)


def test_a_name_wins_over_a_folder_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundled-mnist").mkdir()
    assert len(open_dataset("bundled-mnist", default="mnist", cache=tmp_path).train) == 10_000
    with pytest.raises(InputError, match="there is no class"):
        open_dataset("./bundled-mnist", default="mnist", cache=tmp_path)


def test_torch_is_imported_where_it_is_needed_alone() -> None:
    folder = Path(ptx.trainers.data.__file__).parent
    heavy = {}
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if {name.partition(".")[0] for name in names} & {"torch", "torchvision"}:
                assert isinstance(node, ast.Import | ast.ImportFrom)
                heavy[path.name, node.col_offset > 0] = names
    assert heavy == {("mnist.py", True): ["torchvision"], ("bundled.py", True): ["torch"]}


@pytest.mark.parametrize(
    ("name", "resize_mode"), [("mnist", "mnist"), ("names", None), ("hours", None)]
)
def test_the_data_says_how_other_pictures_come_to_its_form(
    name: str, resize_mode: str | None, tmp_path: Path
) -> None:
    assert open_dataset("bundled", default=name, cache=tmp_path).resize_mode == resize_mode
