"""docs/explanation/architecture.md: the picture, the walks and the words are those of the code."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
STOP = re.compile(r"^\d+\. `([\w/.]+)`, `(\w+)`: ", re.MULTILINE)


def test_the_picture_is_what_the_script_draws() -> None:
    path = ROOT / "scripts" / "pages" / "house_map.py"
    spec = importlib.util.spec_from_file_location("house_map", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "images" / "architecture.svg").read_text() == module.picture()


@pytest.mark.parametrize(
    "walk", ["an image is predicted", "a network is exported", "a model is trained"]
)
def test_every_function_of_a_walk_is_there(walk: str) -> None:
    part = TEXT[TEXT.index(f"## How {walk}") :].split("\n## ")[0]
    stops = STOP.findall(part)
    assert stops
    for name, function in stops:
        nodes = ast.walk(ast.parse((ROOT / name).read_text()))
        defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        assert function in defined, f"{name} has no {function}"


def test_every_file_that_is_named_is_there() -> None:
    named = re.findall(r"`([a-z_]+/[\w/]+\.py)`", TEXT)
    assert len(named) > 50
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_every_place_to_add_something_is_there() -> None:
    part = TEXT[TEXT.index("## Where to add") :].split("\n## ")[0]
    for folder in re.findall(r"file in `([\w/]+/)`", part):
        assert (ROOT / folder).is_dir(), folder
    named = re.findall(r"`(\w+)`\s(?:of|in)\s`([\w/]+\.py)`", part)
    assert len(named) > 10
    for name, path in named:
        tree = ast.parse((ROOT / path).read_text())
        defined = {getattr(node, "name", None) for node in tree.body}
        assigned = (ast.unparse(node) for node in tree.body if not hasattr(node, "name"))
        defined |= {re.split(r"\W", text)[0] for text in assigned}
        assert name in defined, f"{path} has no {name}"
