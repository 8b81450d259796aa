"""The page that is written while the check runs: a cut run still tells what it had found."""

from __future__ import annotations

import json
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Cells = Sequence[object]
GRACE = 30.0  # seconds by which the last row of a part may exceed its time


class SkippedError(Exception):
    """Why a row cannot be measured here."""


@dataclass
class Section:
    title: str
    columns: tuple[str, ...]
    rows: list[list[str]] = field(default_factory=list)


class Page:
    """`gpu.md`, `gpu.json` and `gpu.log` of a folder, written anew after each row."""

    def __init__(self, folder: Path, head: str, deadline: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._head, self._deadline = folder, head, deadline
        self._until = deadline  # of the part at hand
        self._started = time.monotonic()
        self.sections: list[Section] = []
        self.failures = 0
        (folder / "gpu.log").unlink(missing_ok=True)
        self._write()

    def section(self, title: str, *columns: str) -> None:
        self.sections.append(Section(title, columns))
        self.note(title)

    def part(self, name: str, measure: Callable[[], object], seconds: float) -> None:
        """Some sections, which have so many seconds; a failure outside a row costs no other part."""
        self._until = min(self._deadline, time.monotonic() + seconds)
        try:
            measure()
        except Exception:
            self._note_failure(name)

    def step(self, name: str, do: Callable[[], object]) -> None:
        """What is done outside a row, may fail, and takes no longer than a row may."""
        try:
            with _limit(max(0.0, self._until - time.monotonic()) + GRACE):
                do()
        except Exception:
            self._note_failure(name)

    def _note_failure(self, name: str) -> None:
        self.failures += 1
        self.note(f"{name} failed: {traceback.format_exc()}")

    def row(self, name: str, measure: Callable[[], Cells]) -> bool:
        """One row, or why it is missing; True where it was taken. It never raises."""
        from ptx.infer import BackendError

        left = self._until - time.monotonic()
        if left <= 0:
            return self.add(name, ["left out: the time is over"], taken=False)
        try:
            with _limit(left + GRACE):
                return self.add(name, measure(), taken=True)
        except (BackendError, SkippedError) as error:
            return self.add(name, [f"skipped: {error}"], taken=False)
        except Exception as error:  # a row that fails must not cost the others
            self.failures += 1
            self.note(traceback.format_exc())
            text = " ".join(str(error).split())[:200]
            return self.add(name, [f"**failed**: {type(error).__name__}: {text}"], taken=False)

    def note(self, text: str) -> None:
        """A line of the log, with the seconds since the start."""
        line = f"{time.monotonic() - self._started:7.1f} {text}"
        print(line, flush=True)
        with (self._folder / "gpu.log").open("a") as log:
            log.write(line + "\n")

    def add(self, name: str, cells: Cells, *, taken: bool = True) -> bool:
        """A row that is known already; returns `taken`."""
        section = self.sections[-1]
        row = [name, *(str(cell).replace("|", "/").replace("\n", " ") for cell in cells)]
        section.rows.append(row + [""] * (len(section.columns) - len(row)))
        self._write()
        self.note("  " + " | ".join(row))
        return taken

    def _write(self) -> None:
        lines = [self._head]
        for section in self.sections:
            lines += [f"\n## {section.title}\n", _line(section.columns)]
            lines += [_line(["---"] * len(section.columns)), *map(_line, section.rows)]
        (self._folder / "gpu.md").write_text("\n".join(lines) + "\n")
        data: list[dict[str, Any]] = [
            {"title": s.title, "rows": [dict(zip(s.columns, row, strict=True)) for row in s.rows]}
            for s in self.sections
        ]
        (self._folder / "gpu.json").write_text(json.dumps({"sections": data}, indent=1))


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    """Let the body raise TimeoutError after so long, once it is in Python."""

    def stop(number: int, frame: object) -> None:
        raise TimeoutError(f"it took longer than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
