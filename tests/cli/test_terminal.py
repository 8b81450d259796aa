"""Tables, facts and colours."""

from __future__ import annotations

import io
from typing import Any

import click
import pytest

from ptx.cli.terminal import facts, style, style_result, table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A stdout that is a terminal of 40 columns and shows colours."""
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    return stream


LONG = "a word and a word and a word and a word and a word"


def test_long_cells_are_wrapped_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_terminal(monkeypatch)
    assert table(("name", ""), [("x", LONG)]).splitlines() == [
        "name",
        "x     a word and a word and a word and a",
        "      word and a word",
    ]
    assert facts([("key", LONG), ("longer", 1)]).splitlines() == [
        "key:    a word and a word and a word and",
        "        a word and a word",
        "longer: 1",
    ]


def test_a_pipe_gets_each_row_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert table(("name", ""), [("x", LONG)]).splitlines()[1] == f"x     {LONG}"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colour_is_used_only_on_a_terminal_that_supports_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    terminal = open_terminal(monkeypatch)
    assert style("no", "red", terminal) == "\x1b[31mno\x1b[0m"
    assert style("no", "red", io.StringIO()) == "no"
    monkeypatch.setenv(name, value)
    assert style("no", "red", terminal) == "no"


def test_colour_does_not_change_the_alignment(monkeypatch: pytest.MonkeyPatch) -> None:
    open_terminal(monkeypatch)
    rows = [
        ("a", style_result("agrees", True), "1"),
        ("b", style_result("DIFFERS", False), "2"),
    ]
    coloured = table(("", "verdict", "n"), rows)
    assert "\x1b[" in coloured
    plain = [(first, click.unstyle(word), last) for first, word, last in rows]
    assert click.unstyle(coloured) == table(("", "verdict", "n"), plain)


def test_no_command_colours_a_pipe(ptx: Any) -> None:
    done = ptx("predikt")
    assert done.err.startswith("ptx: error ")
