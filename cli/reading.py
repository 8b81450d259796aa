"""Inputs that are read beside the computation, where there are many of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from ptx import infer
from ptx.cli.inputs import count_inputs, find_inputs

if TYPE_CHECKING:
    from ptx.infer.readers import Readers

_MANY = 128  # inputs; fewer are read sooner than a process is forked for them
_AHEAD = 12  # batches of small pictures that are read while the backend is opened; six are not full
_FIRST = 32  # inputs of the first two batches, where processes read them
_READERS = 2  # of small pictures: to read one takes as long as to compute and write its answer


def find_values(inputs: tuple[str, ...], card: infer.Card) -> tuple[Iterable[Any], bool]:
    """What the INPUTs stand for, and whether they are many."""
    settings = card.preprocessing
    found = find_inputs(inputs, str(settings["kind"]), settings.get("names", ()))
    first = list(islice(found, _MANY))
    return chain(first, found), len(first) == _MANY


def read_ahead(
    values: Iterable[Any], card: infer.Card, batch_size: int, stack: ExitStack
) -> tuple[Iterable[Any], int | None]:
    """Many pictures, read by processes of their own from now on: while the backend is opened.

    To be called before any library is loaded that starts threads.

    Returns:
        The values as they are read, and how many threads are left to the backend: None for all.
    """
    readers = _reader_processes(card, stack)
    if readers is None:
        return values, None
    from ptx.infer.readers import ReadAhead

    # A small picture takes as long to read as to compute with: one processor does that. A network for
    # photographs takes longer, and all there are.
    threads = 1 if card.preprocessing["kind"] == "image" else None
    return ReadAhead(readers, values, batch_size, first=_FIRST), threads


def _reader_processes(card: infer.Card, stack: ExitStack) -> Readers | None:
    """Processes for pictures, which take longer to read than to compute with; None for the rest."""
    from ptx.infer.preprocessing import open_preprocessing
    from ptx.infer.readers import can_fork, reader_processes

    kind = card.preprocessing["kind"]
    if kind not in ("image", "photo") or not can_fork():
        return None
    preprocessing = open_preprocessing(card.preprocessing, card.signature)
    if kind == "photo":
        return stack.enter_context(reader_processes(preprocessing))
    return stack.enter_context(reader_processes(preprocessing, ahead=_AHEAD, most=_READERS))


def with_progress(
    answers: Iterable[infer.Prediction | infer.Failure], inputs: tuple[str, ...], card: infer.Card
) -> Iterator[infer.Prediction | infer.Failure]:
    """The answers, with a bar on the terminal that says how far they are."""
    from ptx.cli.progress import Progress

    kind = str(card.preprocessing["kind"])
    with Progress("predicting", "inputs", lambda: count_inputs(inputs, kind)) as progress:
        for answer in answers:
            yield answer
            progress.advance()
