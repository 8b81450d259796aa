"""A row of the table of forms: a fault, what meets it, and the words in which it is refused."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from ptx.export import export, export_int8, quantize_weights, read_model
from ptx.export.quantize import int8
from ptx.infer import AgreementError, verify

from .nearest import nearest, trial


@dataclass(frozen=True)
class Refusal:
    """A fault that must not pass.

    Attributes:
        name: What is wrong.
        form: What of an export it is about.
        told: Words of the message; `…` stands for what varies.
        run: Meets the fault: it raises.
    """

    name: str
    form: str
    code: str
    told: str
    run: Callable[[Shop], object]

    def __str__(self) -> str:
        return self.name

    @property
    def pattern(self) -> str:
        """The words as a regular expression."""
        return ".*".join(re.escape(part) for part in self.told.split("…"))


@dataclass
class Shop:
    """Where the faults are injected: a folder of the test, and good files to spoil."""

    folder: Path
    checkpoint: Callable[[str], Path]
    artifact: Callable[[str, str], Path]
    ptx: Callable[..., Any]
    patch: pytest.MonkeyPatch

    @cached_property
    def int8(self) -> Path:
        """A good file that computes in int8."""
        self.measure(2.0)
        return export_int8(nearest(), self.folder / "good.onnx", trial()).path

    @cached_property
    def rounded(self) -> Path:
        """A good file with weights of int8."""
        trained = quantize_weights(read_model(self.checkpoint("softmax-regression")), "int8")
        return export(trained, "onnx", self.folder / "good.int8.onnx").path

    def copy(self, path: Path) -> Path:
        """Another file of the same content, to be spoilt."""
        return Path(shutil.copy(path, self.folder / f"spoilt{path.suffix}"))

    def measure(self, speed: float) -> None:
        """The speed of this machine is not what is tested."""
        self.patch.setattr(int8, "measure_speedup", lambda *_: {1: speed, 64: speed})

    def export_int8(self, **changes: Any) -> None:
        """Try the network that knows its classes, with another trial."""
        if "speed" not in changes:
            self.measure(2.0)
        else:
            self.measure(changes.pop("speed"))
        trained = changes.pop("trained", None) or nearest()
        export_int8(trained, self.folder / "nearest.onnx", trial(**changes))

    def say(self, *arguments: object) -> None:
        """`ptx` with these arguments, whose error is raised again."""
        told = self.ptx(*arguments)
        if told.code:
            raise AgreementError(told.err.strip() or told.out, code=_code(told.err))


def hold(path: Path) -> None:
    """`ptx verify`: raises what does not hold."""
    for check in verify(path, backend="ort-cpu"):
        if not check.passed:
            raise AgreementError(f"{check.name}: {check.detail}")


def _code(told: str) -> str:
    found = re.search(r"\[(E-[A-Z0-9-]+)\]", told)
    return "" if found is None else found[1]


def change_byte(path: Path, share: float = 0.5) -> Path:
    """The file with one bit changed, at that share of its length."""
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 1
    path.write_bytes(content)
    return path
