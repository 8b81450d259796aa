"""Inputs that are read beside the computation, where there are many of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, islice
from math import prod
from typing import TYPE_CHECKING, Any

from ptx import infer
from ptx.cli.values.inputs import count_inputs, find_inputs

if TYPE_CHECKING:
    from ptx.infer.preprocessing import Preprocessing

_SMALL = 4096  # pixels of a picture as the network sees it
_MANY = 128  # inputs; fewer small files are read sooner than a process is forked for them
_LARGE = 8 * 2**20  # bytes of fewer: photographs that take 100 ms to read, and two processes 60
_WINDOW = 4 * 2**20  # bytes that a process reads at a time, so that no other waits for it
_AHEAD = 12  # batches of small pictures that are read while the backend is opened; six are not full
_FIRST = 32  # inputs of the first two batches, where processes read them, and of any large ones
_READERS = 2  # of small pictures: to read one takes as long as to compute and write its answer


def find_values(inputs: tuple[str, ...], card: infer.Card) -> tuple[Iterable[Any], int]:
    """What the INPUTs stand for, and how many a process reads at first: 0 where none is worth it."""
    found = find_inputs(inputs, _preprocessing(card))
    first = list(islice(found, _MANY))
    return chain(first, found), _window(first)


def _window(first: list[Any]) -> int:
    """How many of such inputs one process reads while another reads as many."""
    size = sum(map(_file_size, first))
    if len(first) < _MANY and (len(first) < 2 or size < _LARGE):
        return 0
    return min(_FIRST, max(1, _WINDOW * len(first) // max(1, size)))


def _file_size(value: Any) -> int:
    """In bytes; 0 of what is no file."""
    try:
        return os.path.getsize(value) if isinstance(value, str) else 0  # noqa: PTH202
    except (OSError, ValueError):
        return 0


def read_ahead(
    values: Iterable[Any], card: infer.Card, window: int, batch_size: int, stack: ExitStack
) -> tuple[Iterable[Any], int | None]:
    """Pictures, read by processes of their own from now on: while the backend is opened.

    To be called before any library is loaded that starts threads. `window`: see `find_values`.

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
    size = batch_size if window == _FIRST else min(window, batch_size)
    return ReadAhead(readers, values, size, first=window), 1 if small else None


def with_progress(
    answers: Iterable[infer.Prediction | infer.Failure], inputs: tuple[str, ...], card: infer.Card
) -> Iterator[infer.Prediction | infer.Failure]:
    """The answers, with a bar on the terminal that says how far they are.

    `inputs`: those that are counted; none where only some of them are answered.
    """
    from ptx.cli.output.progress import Progress

    preprocessing = _preprocessing(card)
    total = (lambda: count_inputs(inputs, preprocessing)) if inputs else None
    with Progress("predicting", "inputs", total) as progress:
        for answer in answers:
            yield answer
            progress.advance()


def _preprocessing(card: infer.Card) -> Preprocessing:
    from ptx.infer.preprocessing import open_preprocessing

    return open_preprocessing(card.preprocessing, card.signature)
