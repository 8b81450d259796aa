"""The line that says how far a verb is."""

from __future__ import annotations

import io

import pytest

from ptx.cli.progress import ProgressLine, line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_line_has_share_rate_and_time_left() -> None:
    text = line("comparing", "rows", 900, 2000, 2.0)
    assert text == "comparing:  45 % of 2,000 rows, 450 rows/s, 0:02 left"
    assert line("proving", "runs", 3, 6, 6.0).endswith("0.5 runs/s, 0:06 left")
    assert line("proving", "runs", 1, 3601, 3.0).endswith("3:00:00 left")


def test_what_was_done_before_the_clock_started_makes_no_rate() -> None:
    assert line("proving", "runs", 34, 51, 0.0, begun=34) == "proving:  66 % of 51 runs"
    assert line("proving", "runs", 36, 51, 1.0, begun=34).endswith("2.0 runs/s, 0:08 left")


def test_without_a_total_the_line_has_what_is_done() -> None:
    assert line("predicting", "inputs", 1200, None, 2.0) == "predicting: 1,200 inputs, 600 inputs/s"


@pytest.mark.parametrize("seconds", [0.5, 3.0])
def test_the_line_is_drawn_and_wiped_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr("sys.stderr", stream)
        with ProgressLine("comparing", "rows", lambda: 10) as progress:
            clock[0] += seconds
            progress.advance(5)
        text = stream.getvalue()
        if seconds < 1 or not stream.isatty():
            assert text == ""
        else:
            assert "comparing:  50 % of 10 rows" in text
            assert text.endswith("\r\x1b[K")


def test_the_clock_of_runs_starts_with_the_first_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    with ProgressLine("proving", "runs") as progress:
        progress.say("converting")
        assert stream.getvalue() == "\r\x1b[Kconverting"
        clock[0] += 60
        progress.reach(1, 51)
        assert stream.getvalue().endswith("proving:   1 % of 51 runs")
        clock[0] += 2
        progress.reach(21, 51)
        assert stream.getvalue().endswith("41 % of 51 runs, 10 runs/s, 0:03 left")


def test_what_is_said_goes_to_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with ProgressLine("proving", "runs") as progress:
        progress.say("converting")
    assert stream.getvalue() == ""


def test_the_line_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("COLUMNS", "30")
    with ProgressLine("t" * 100, "rows") as progress:
        clock[0] += 2
        progress.reach(3, 9)
        assert stream.getvalue() == f"\r\x1b[K{'t' * 29}"
