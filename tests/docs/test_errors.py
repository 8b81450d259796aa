"""docs/reference/errors.md: the codes that the code raises, all of them and no others."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptx.infer import errors
from ptx.infer.error_codes import ERROR_CODES

ROOT = Path(__file__).parents[2]
PACKAGES = ("infer", "models", "trainers", "export", "report", "scale", "serve", "cli")
TABLE = ROOT / "infer" / "error_codes.py"


def written_codes() -> Iterator[tuple[str, Path]]:
    """Every literal that is a code, or begins a message with one, and where it stands."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if path == TABLE:
                continue
            tree = ast.parse(path.read_text())
            docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
            for node in ast.walk(tree):
                if not isinstance(node, ast.Constant) or id(node) in docs:
                    continue
                text = node.value if isinstance(node.value, str) else ""
                word = text.removeprefix("[").partition("]")[0].strip()
                if word.startswith("E-") and word.isupper() and " " not in word and word[-1] != "-":
                    yield word, path


def test_every_code_that_is_raised_is_in_the_table_and_no_other() -> None:
    found = dict(written_codes())
    assert {code: path for code, path in found.items() if code not in ERROR_CODES} == {}
    assert [code for code in ERROR_CODES if code not in found] == []


CLASSES = [name for name in dir(errors) if name.endswith("Error")]


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_has_the_exit_code_of_its_code(name: str) -> None:
    error: type[errors.PtxError] = getattr(errors, name)
    assert ERROR_CODES[error.code].exit_codes[0] == error.exit_code


def test_a_code_has_the_exit_codes_of_the_classes_that_are_raised_with_it() -> None:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                given = {word.arg: word.value for word in node.keywords}.get("code")
                error = getattr(errors, ast.unparse(node.func).rpartition(".")[2], None)
                if not (isinstance(given, ast.Constant) and given.value):
                    continue
                if isinstance(error, type) and issubclass(error, errors.PtxError):
                    assert error.exit_code in ERROR_CODES[str(given.value)].exit_codes, (
                        path,
                        given.value,
                    )


def test_the_page_is_the_table() -> None:
    path = ROOT / "scripts" / "pages" / "errors_page.py"
    spec = importlib.util.spec_from_file_location("errors_page", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "reference" / "errors.md").read_text() == module.page()
