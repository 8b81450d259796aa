"""Progress bars, which are drawn only on a terminal."""

from __future__ import annotations

import io

import pytest

from ptx.cli import terminal as progress
from ptx.cli.terminal import ProgressBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A stderr that is a terminal of 80 columns, on which a bar appears at once."""
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(progress, "DELAY", 0)
    monkeypatch.setattr(progress, "INTERVAL", 0)
    monkeypatch.setenv("COLUMNS", "80")
    return stream


def test_the_bar_shows_percentage_rate_and_remaining_time_and_is_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = open_terminal(monkeypatch)
    with ProgressBar("comparing", "rows", 2000) as bar:
        bar.advance(900)
        drawn = terminal.getvalue().split("\r")[-1]
        assert drawn.startswith("comparing:  45%|")
        assert "rows/s, " in drawn
        assert drawn.endswith(" left")
        assert len(drawn) < 80
    assert terminal.getvalue().split("\r")[-2].strip() == ""


def test_a_total_is_counted_only_when_the_bar_appears(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = open_terminal(monkeypatch)
    with ProgressBar("predicting", "inputs", lambda: 10) as bar:
        bar.advance(5)
        assert terminal.getvalue().split("\r")[-1].startswith("predicting:  50%|")
    with ProgressBar("predicting", "inputs", lambda: None) as bar:
        bar.advance(1200)
        assert "predicting: 1,200" in terminal.getvalue().split("\r")[-1]


def test_text_before_the_first_unit_does_not_change_the_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = open_terminal(monkeypatch)
    with ProgressBar("proving", "runs") as bar:
        bar.show("converting convnet to onnx")
        assert "converting convnet to onnx" in terminal.getvalue()
        bar.reach(34, 51)
        bar.reach(36, 51)
        assert terminal.getvalue().split("\r")[-1].startswith("proving:  71%|")


def test_a_pipe_gets_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with ProgressBar("proving", "runs") as bar:
        bar.show("converting")
        bar.reach(1, 3)
    assert stream.getvalue() == ""


def test_short_work_draws_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    monkeypatch.setattr(progress, "DELAY", 60)
    with ProgressBar("comparing", "rows", 10) as bar:
        bar.advance(5)
    assert terminal.getvalue().strip() == ""
