"""Every command and every option that a message, a docstring or a page names is one that there is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from ptx.cli.main import COMMANDS, Commands

ROOT = Path(__file__).parents[2]
PACKAGES = ["cli", "export", "infer", "models", "package", "report", "scale", "serve", "trainers"]
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md"))]
# `ptx export convnet --format onnx`, up to what ends a command in a sentence.
CALL = re.compile(r"(?<![\w./=-])ptx ([a-z]+)((?: [^`\n;|#→()]*)?)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
# Words that follow the name of the project in a sentence.
PROSE_END = re.compile(r"[.,:] |, |'$")


@cache
def options(command: str) -> frozenset[str]:
    """The options of a command."""
    found = Commands().get_command(click.Context(Commands()), command)
    assert found is not None
    names = [name for one in found.params for name in (*one.opts, *one.secondary_opts)]
    return frozenset({*names, "--help"})


# Of tritonserver, torchrun and curl.
FOREIGN = {"--model-repository", "--nproc-per-node", "--http2"}
EVERY = frozenset().union(*map(options, COMMANDS)) | {"--version"}


def texts(path: Path) -> Iterator[str]:
    """The string literals of a module; {} for what is put into one."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def calls(text: str) -> Iterator[tuple[str, list[str]]]:
    """The commands that a text names in code, with their options."""
    for match in CALL.finditer(text):
        arguments = PROSE_END.split(match[2])[0]
        before = text[: match.start()]
        is_code = before.endswith(("`", "$ ", "    ", "next: "))
        if is_code or (match[1] in COMMANDS and OPTION.search(arguments)):
            yield match[1], OPTION.findall(arguments)


def test_the_search_finds_commands_and_options() -> None:
    text = "create it with `ptx train convnet --epochs 3` and then `ptx export {} --format onnx{}`"
    assert list(calls(text)) == [("train", ["--epochs"]), ("export", ["--format"])]
    found = [call for path in SOURCES for text in texts(path) for call in calls(text)]
    assert {"train", "export", "predict", "verify", "benchmark"} <= {
        command for command, _ in found
    }
    assert sum(bool(given) for _, given in found) > 20


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_module_names_is_there(path: Path) -> None:
    for text in texts(path):
        for command, given in calls(text):
            assert command in COMMANDS, text
            assert set(given) <= options(command), text


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_names_is_there(path: Path) -> None:
    for command, given in calls(path.read_text("utf-8")):
        assert command in COMMANDS, command
        assert set(given) <= options(command), (command, given)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_option_that_a_module_names_is_one_of_some_command(path: Path) -> None:
    for text in texts(path):
        assert set(OPTION.findall(text)) <= EVERY | FOREIGN, text
