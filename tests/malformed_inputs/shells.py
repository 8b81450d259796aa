"""Calls in every state of the streams and with every number, made from what the verbs declare."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from ptx.cli.main import COMMANDS
from ptx.cli.param_types import Number, Numbers

from .forking import Streams

ENCODINGS = ("utf-8", "ascii", "latin-1", "utf-16")
STATES = (
    Streams(),
    Streams(stdin="closed"),
    Streams(stdout="closed"),
    Streams(stderr="closed"),
    Streams("closed", "closed", "closed"),
    Streams(stdout="full"),
    Streams(stderr="full"),
    Streams(stdout="full", stderr="full"),
    Streams(stdout="gone"),
    Streams(stderr="gone"),
)
MISSING = "没有.onnx"  # an argument that means nothing; no encoding but Unicode has it

# What a verb is called with where it answers at once; of others its help, and an argument that is wrong.
QUICK = {
    "models": ("models",),
    "predict": ("predict", "4", "五", "--model", "linear-model"),
    "run": ("run", "linear-model", "x.npy", "--backend", "ort-cpu"),
    "evaluate": ("evaluate", "linear-model", "--backend", "ort-cpu"),
    "verify": ("verify", "linear-model", "--backend", "ort-cpu"),
    "inspect": ("inspect", "linear-model"),
    "completion": ("completion", "bash"),
    "doctor": ("doctor", "--help"),
    "serve": ("serve", "--help"),  # it does not end by itself: tests/serve
}
# What it is called with to do all that it does.
WHOLE = {
    **QUICK,
    "train": ("train", "linear-regression", "--epochs", "1"),
    "export": ("export", "linear-model", "--format", "torchscript", "--output", "出.torchscript"),
    "compare": ("compare", "linear-model", "--backends", "ort-cpu", "--output", "出.json"),
    "sign": ("sign", "linear-model", "--key", "密.pem"),
    "diff": ("diff", "linear-model", "--output", "出.png"),
    "report": ("report", "linear-model", "--output", "出.html"),
    "benchmark": (
        "benchmark",
        "linear-model",
        "--backends",
        "ort-cpu",
        "--batch",
        "1",
        "--seconds",
        "0.001",
    ),
}
SLOW = tuple(verb for verb in WHOLE if verb not in QUICK)
# Their quick calls import torch.
WITH_TORCH = ("export", "evaluate", "benchmark")
# Of the slow ones, each in states that between them have each stream lost, and each encoding.
WHOLE_STATES = (
    Streams("closed", "closed", "closed", "latin-1"),
    Streams(stdout="full", encoding="ascii"),
    Streams(stdin="closed", stderr="full", encoding="utf-16"),
    Streams(encoding="utf-16"),
)


def command(verb: str) -> click.Command:
    """The verb's declaration."""
    found: click.Command = pkgutil.resolve_name(COMMANDS[verb][0])
    return found


def needed(verb: str) -> tuple[str, ...]:
    """The verb, with something for each argument that it needs."""
    arguments = [p for p in command(verb).params if isinstance(p, click.Argument) and p.required]
    return verb, *(
        p.type.choices[0] if isinstance(p.type, click.Choice) else MISSING for p in arguments
    )


def quick_call(verb: str, streams: Streams) -> tuple[str, ...]:
    """A call that ends soon, and writes into the stream that is not as it should be."""
    if verb in QUICK:
        return QUICK[verb]
    return (verb, "--help") if streams.stdout != "open" else needed(verb)


@dataclass(frozen=True)
class NumberOption:
    """An option of a verb that takes a number or several."""

    verb: str
    name: str  # `--threads`
    type: Number

    def refused(self) -> Iterator[str]:
        """What lies outside its range, by little and by much, and what is no number at all."""
        within = self.type.within
        step = 1 if within.integer else abs(within.min) / 2
        beyond = (within.min - step, within.max + 1, 0, -1, 1e18, 10**19, -(10**19), 10**400)
        values = [str(value) for value in beyond if value not in within]
        values += ["nan", "inf", "-inf", "", " ", "x", "0x10", "1e400", "9" * 5000, "4;5"]
        values += ["1.5"] if within.integer else []
        least = str(within.min)
        several = [f"{least},{value}" for value in values] + [f"{least},", f",{least}"]
        return iter(dict.fromkeys(several if isinstance(self.type, Numbers) else values))

    def ends(self) -> tuple[str, str]:
        """The least and the most that it takes."""
        return str(self.type.within.min), str(self.type.within.max)


def numeric(type_: Any) -> bool:
    """Whether click makes numbers of it."""
    ours: tuple[Any, ...] = (type(click.INT), type(click.FLOAT))
    return isinstance(type_, ours)


def options() -> Iterator[tuple[str, click.Option]]:
    """Every option of every verb."""
    for verb in COMMANDS:
        yield from ((verb, p) for p in command(verb).params if isinstance(p, click.Option))


def number_options() -> list[NumberOption]:
    """Those that are numbers."""
    return [
        NumberOption(verb, option.opts[0], option.type)
        for verb, option in options()
        if isinstance(option.type, Number)
    ]
