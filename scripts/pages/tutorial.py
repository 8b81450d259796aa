"""Run the commands of docs/tutorial and put their output into the pages: ./scripts/run pages/tutorial
The names of chapters may follow; without any, all are run.

A block that is fenced as `console` holds commands, each behind `$ ptx`, with what they print; one that
is fenced as `pycon` is a doctest. A block fenced as `shell-session` holds commands that take more than a
few seconds: the tests leave it out. They run the others for a quarter of the epochs, and compare what is
printed but for its numbers.
"""

from __future__ import annotations

import contextlib
import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = ROOT / "docs" / "tutorial"
TRANSLATION = ROOT / "docs" / "zh" / "tutorial"
PLOT_WIDTH = 640  # pixels

_FENCE = re.compile(r"```(console|shell-session|pycon)\n(.*?)```", re.DOTALL)
_FENCED = re.compile(r"```.*?```", re.DOTALL)
_NUMBER = re.compile(r"-?\d[\d.,]*(e[+-]?\d+)?")

Run = Callable[[list[str]], str]  # `ptx` with these arguments: what it prints to stdout


class Block(NamedTuple):
    """A fenced block of a chapter."""

    kind: str  # console, shell-session or pycon
    text: str
    span: tuple[int, int]  # of the text in the page


def blocks(page: str) -> list[Block]:
    """What can be run in a page, in its order."""
    return [Block(found[1], found[2], found.span(2)) for found in _FENCE.finditer(page)]


def commands(text: str) -> list[tuple[str, list[str]]]:
    """Each command of a console block with the lines that are shown as its output."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def arguments(command: str, *, short: bool = False) -> list[str]:
    """The arguments of `ptx` in a command; `short`: with a quarter of the epochs that it says."""
    program, *rest = shlex.split(command)
    if program != "ptx":
        raise ValueError(f"{command!r} is no command of ptx")
    if short and "--epochs" in rest:
        position = rest.index("--epochs") + 1
        rest[position] = str(max(1, int(rest[position]) // 4))
    return rest


def masked(line: str) -> str:
    """A line without its numbers, and without the spaces that their widths ask for."""
    return " ".join(_NUMBER.sub("#", line).split())


def check_doctest(page: str, name: str) -> None:
    """Run the pycon blocks of a page as one session.

    Raises:
        doctest.DocTestFailure: it gives something else.
        doctest.UnexpectedException: it fails.
    """
    text = "\n".join(block.text for block in blocks(page) if block.kind == "pycon")
    test = doctest.DocTestParser().get_doctest(text, {}, name, name, 0)
    doctest.DebugRunner(optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL).run(test)


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder to stand in, with the pictures of the tests where the pages name them."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "tests").symlink_to(ROOT / "tests")
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


def refreshed(page: str, run: Run) -> str:
    """The page with what its commands print now."""
    parts, end = [], 0
    for block in blocks(page):
        if block.kind != "pycon":
            shown = [
                f"$ {command}\n{run(arguments(command))}" for command, _ in commands(block.text)
            ]
            parts += [page[end : block.span[0]], "".join(shown)]
            end = block.span[1]
    return "".join([*parts, page[end:]])


def copy_blocks(page: str, translation: Path) -> None:
    """Give the translated chapter the fenced blocks of the page."""
    fenced = iter(_FENCED.findall(page))
    translation.write_text(_FENCED.sub(lambda _: next(fenced), translation.read_text()))


def save_plots(page: str) -> None:
    """The plots that the page shows, from the workspace in the current folder, in few bytes."""
    from PIL import Image

    for model in re.findall(r"\(images/([\w-]+)\.png\)", page):
        with Image.open(Path("runs") / model / "training.png") as plot:
            height = round(plot.height * PLOT_WIDTH / plot.width)
            small = plot.convert("RGB").resize((PLOT_WIDTH, height), Image.Resampling.LANCZOS)
            small.quantize(32).save(CHAPTERS / "images" / f"{model}.png", optimize=True)


def run_process(arguments: list[str]) -> str:
    """`ptx` in a process of its own; its progress goes to the terminal."""
    command = [sys.executable, "-c", "from ptx.cli import main; main()", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def main() -> None:
    if shutil.which("ptx") is None:
        raise SystemExit("ptx is not installed: ./scripts/run pages/tutorial")
    names = sys.argv[1:] or sorted(path.name for path in CHAPTERS.glob("[0-9]*.md"))
    (CHAPTERS / "images").mkdir(exist_ok=True)
    with workplace():
        for name in names:
            print(name, file=sys.stderr)
            page = (CHAPTERS / name).read_text()
            page = refreshed(page, run_process)
            (CHAPTERS / name).write_text(page)
            copy_blocks(page, TRANSLATION / name)
            check_doctest(page, name)
            save_plots(page)


if __name__ == "__main__":
    main()
