"""A case of the malformed-input suite, and the files it is made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVarTuple

from PIL import Image

PICTURES = Path(__file__).parents[1] / "pictures"


@dataclass(frozen=True)
class Kit:
    """What files are made from: a folder of the test's own and real exported files."""

    folder: Path
    workspace: Path  # with convnet and linear-model in all formats
    export: Callable[[str, str], Path]  # other models, untrained

    @property
    def seven(self) -> Image.Image:
        """A 7 of MNIST: 28×28, gray, light ink."""
        return Image.open(PICTURES / "mnist-7.png")

    @property
    def drawn(self) -> Image.Image:
        """A dark 7 on white paper, 400×300, RGB or gray."""
        return Image.open(PICTURES / "seven-on-paper.png")

    @property
    def drawing(self) -> Path:
        """The file of `drawn`."""
        return PICTURES / "seven-on-paper.png"

    def model(self, suffix: str = "onnx", name: str = "convnet") -> Path:
        """An exported file of the workspace, or its checkpoint (`pt`)."""
        folder = self.workspace / name
        return folder / ("checkpoint.pt" if suffix == "pt" else f"{name}.{suffix}")

    @cached_property
    def marker(self) -> Path:
        """A file that no case may bring into being."""
        return self.folder / "marker"


Made = bytes | str | Path
"""The content of the file to hand in, or an argument that is ready."""


Values = TypeVarTuple("Values")


def bind(make: Callable[[Kit, *Values], Made], *values: *Values) -> Callable[[Kit], Made]:
    """`make` with what a comprehension's variables hold now."""
    return lambda kit: make(kit, *values)


@dataclass(frozen=True)
class Case:
    """One input, and what is expected of it."""

    group: str  # a key of `test_malformed_inputs.COMMANDS`
    name: str
    make: Callable[[Kit], Made]
    code: str = ""  # of the one error line; none where the input is answered
    answer: str = "7"  # the labels or values on stdout, with spaces between them; "*" for any
    suffix: str = ".png"  # of the file that is made of bytes
    status: int | None = None  # exit code; by default 4 with a code and 0 without

    @property
    def exit(self) -> int:
        """The expected exit code."""
        return self.status if self.status is not None else 4 if self.code else 0


@dataclass(frozen=True)
class Group:
    """Cases of one group, written as a table."""

    name: str
    suffix: str

    def __call__(
        self,
        name: str,
        make: Callable[[Kit], Made],
        code: str = "",
        answer: str = "7",
        suffix: str | None = None,
        status: int | None = None,
    ) -> Case:
        suffix = self.suffix if suffix is None else suffix
        return Case(self.name, name, make, code, answer, suffix, status)
