"""How large a folder, a file and a function may grow before it is divided."""

from __future__ import annotations

import ast
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER, FILE, BODY = 15, 300, 40  # files; lines; lines without the docstring
VERB = 65  # lines of a file that parses, calls and prints
DATA = {"models/catalog.py"}  # tables, of any length
PRODUCT = ("cli", "export", "infer", "models", "report", "scale", "scripts", "serve", "trainers")


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [Path(line) for line in done.stdout.splitlines() if (ROOT / line).exists()]


def product() -> Iterator[Path]:
    for path in tracked():
        if path.suffix == ".py" and path.parts[0] in PRODUCT and str(path) not in DATA:
            yield path


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first, *rest = function.body
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        if not rest:
            return 0
        first = rest[0]
    return (function.body[-1].end_lineno or 0) - first.lineno + 1


def test_a_folder_holds_few_files() -> None:
    count = Counter(path.parent for path in tracked() if path.parts[0] != "docs")
    assert {str(folder): n for folder, n in count.items() if n > FOLDER} == {}


def test_a_file_is_read_in_one_sitting() -> None:
    lengths = {str(path): (ROOT / path).read_text().count("\n") for path in product()}
    assert {path: n for path, n in lengths.items() if n > FILE} == {}


def test_a_verb_is_a_page() -> None:
    verbs = (ROOT / "cli" / "verbs").glob("*.py")
    lengths = {path.name: path.read_text().count("\n") for path in verbs}
    assert len(lengths) > 10
    assert {name: n for name, n in lengths.items() if n > VERB} == {}


def test_a_function_is_seen_at_once() -> None:
    found = {
        f"{path}: {node.name}": body_lines(node)
        for path in product()
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert len(found) > 1000
    assert {name: n for name, n in found.items() if n > BODY} == {}
