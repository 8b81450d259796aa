"""Inputs that are read beside the computation, where there are many of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, islice
from math import prod
from typing import TYPE_CHECKING, Any

from ptx import infer
from ptx.cli.inputs import count_inputs, find_inputs

if TYPE_CHECKING:
    from ptx.infer.preprocessing import Preprocessing

_SMALL = 4096  # pixels of a picture as the network sees it
_MANY = 128  # inputs; fewer are read sooner than a process is forked for them
_AHEAD = 12  # batches of small pictures that are read while the backend is opened; six are not full
_FIRST = 32  # inputs of the first two batches, where processes read them
_READERS = 2  # of small pictures: to read one takes as long as to compute and write its answer


def find_values(inputs: tuple[str, ...], card: infer.Card) -> tuple[Iterable[Any], bool]:
    """What the INPUTs stand for, and whether they are many."""
    found = find_inputs(inputs, _preprocessing(card))
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
    from ptx.infer.readers import ReadAhead, can_fork, reader_processes

    preprocessing = _preprocessing(card)
    if not preprocessing.suffixes or not can_fork():
        return values, None
    # A small picture takes as long to read as to compute with: one processor does that. A network for
    # photographs takes longer, and all there are.
    small = prod(preprocessing.rows[1] if preprocessing.rows else ()) <= _SMALL
    limits: dict[str, int] = {"ahead": _AHEAD, "most": _READERS} if small else {}
    readers = stack.enter_context(reader_processes(preprocessing, **limits))
    return ReadAhead(readers, values, batch_size, first=_FIRST), 1 if small else None


def with_progress(
    answers: Iterable[infer.Prediction | infer.Failure], inputs: tuple[str, ...], card: infer.Card
) -> Iterator[infer.Prediction | infer.Failure]:
    """The answers, with a bar on the terminal that says how far they are."""
    from ptx.cli.progress import Progress

    preprocessing = _preprocessing(card)
    with Progress("predicting", "inputs", lambda: count_inputs(inputs, preprocessing)) as progress:
        for answer in answers:
            yield answer
            progress.advance()


def _preprocessing(card: infer.Card) -> Preprocessing:
    from ptx.infer.preprocessing import open_preprocessing

    return open_preprocessing(card.preprocessing, card.signature)
