"""The walk of a command through ptx: which functions a reader opens, in which files, from the verb on.

    ./scripts/run checks/walk predict digit.png --backend ort-cpu

A move is a function of ptx that is called from another file of ptx; each counts once. What is imported,
properties, and what Python calls by itself (`__exit__`) do not count. `predict` ends with its answer.

The last line counts them twice: all, and the picture's own. These are the three that carry the INPUT
before there is a model (the verb, `answer_inputs`, `find_values`), and all behind the return of
`open_model`, up to the answer. What finds, checks and opens the model is not among them: it is done once
for however many pictures.
"""

from __future__ import annotations

import inspect
import os
import sys
from functools import cache
from pathlib import Path
from types import FrameType
from typing import NoReturn

import ptx.infer
from ptx.cli import main

ROOT = Path(ptx.infer.__file__).resolve().parents[1]
BY_ITSELF = {"__enter__", "__exit__", "__del__", "__getattr__"}
LAZY = "infer/lazy.py"  # an import, though it is a call
CARRIERS = {
    ("cli/verbs/predict.py", "predict"),
    ("cli/output/answers.py", "answer_inputs"),
    ("cli/values/inputs.py", "find_values"),
}
OPENS = "cli/model/opening.py", "open_model"
ANSWERS = "cli/output/streams.py", "_Answers.write"


@cache
def place(filename: str) -> str | None:
    """The file's path in the repository; None where it is not of ptx."""
    path = Path(filename).resolve()
    outside = {"site-packages", "scripts"} & set(path.parts) or filename.startswith("<")
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) and not outside else None


def is_property(frame: FrameType) -> bool:
    """Whether it is read like a field."""
    owner = type(frame.f_locals.get("self"))
    return not callable(inspect.getattr_static(owner, frame.f_code.co_name, len))


class Walk:
    """The moves so far, in their order: (file, function); and those of the picture."""

    def __init__(self, verb: str) -> None:
        self.verb = f"cli/verbs/{verb}.py"
        self.moves: dict[tuple[str, str], None] = {}
        self.own: set[tuple[str, str]] = set()
        self.is_open = self.is_answered = False

    def note(self, frame: FrameType, event: str, _: object) -> None:
        """Called by Python at each call and return."""
        name = frame.f_code.co_name
        if event == "return":
            left = place(frame.f_code.co_filename), frame.f_code.co_qualname
            self.is_open |= left == OPENS
            self.is_answered |= left == ANSWERS
        here = place(frame.f_code.co_filename) if event == "call" and not self.is_answered else None
        if here in (None, LAZY) or name.startswith("<") or name in BY_ITSELF:
            return
        if not (self.moves or here == self.verb) or is_property(frame):
            return
        came_from, above = None, frame.f_back
        while above is not None:
            if above.f_code.co_filename.startswith("<frozen importlib"):
                return
            came_from = came_from or place(above.f_code.co_filename)
            above = above.f_back
        if came_from != here:
            move = str(here), frame.f_code.co_qualname
            self.moves[move] = None
            if self.is_open or move in CARRIERS:
                self.own.add(move)

    def leave(self, status: int) -> NoReturn:
        """Tell the moves, at the end of the process."""
        sys.setprofile(None)
        for file, name in self.moves:
            print(f"{file}: {name}", file=sys.stderr)
        counts = [
            f"{len(moves)} moves over {len({file for file, _ in moves})} files"
            for moves in (self.moves, self.own)
        ]
        print(f"{counts[0]}; the picture's own are {counts[1]}", file=sys.stderr)
        LEAVE(status)


LEAVE = os._exit

if __name__ == "__main__":
    walk = Walk(sys.argv[1])
    os._exit = walk.leave
    sys.setprofile(walk.note)
    main()
