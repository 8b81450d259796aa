"""The formats that a model is exported to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from torch import nn

from ptx.export.formats.conversion_errors import conversion_error
from ptx.export.page.choice import Choice
from ptx.infer.errors import (
    ArtifactError,
    BackendError,
    PtxError,
    UsageError,
    installing,
    nearest,
    quote,
)
from ptx.infer.signature import Array, Signature

if TYPE_CHECKING:
    from ptx.export.tracing import Traced


class Convert(Protocol):
    """Turns a traced network into a file's content, still without a card.

    The dynamic axes of the signature stay dynamic; `opset` is heeded by ONNX alone.
    """

    def __call__(self, traced: Traced, *, opset: int | None) -> bytes: ...


class Attach(Protocol):
    """Puts the card and the seal into a file's content."""

    def __call__(self, content: bytes, card: str) -> bytes: ...


class Store(Protocol):
    """Stores the rounded weights of a file's content in their form, a key of `rounding.FORMS`."""

    def __call__(self, content: bytes, form: str, weights: Mapping[str, Array]) -> bytes: ...


@dataclass(frozen=True)
class Format:
    """One line of FORMATS."""

    module: str  # has `convert` and `attach`
    backend: str  # that proves the file
    takes_opset: bool = False
    takes_weights: bool = False  # and has `store`, for weights of fewer bits
    takes_compute: bool = False  # whether a file of it can compute in int8
    most: int | None = None  # bytes of weights that a file can hold
    warning: str = ""  # what is said before an export
    by_name: bool = False  # whether `--format all` leaves it out
    runtimes: tuple[str, ...] = ()  # that a file can hold, the plain one first: see `find_attach`


FORMATS = {
    "onnx": Format(
        "ptx.export.formats.onnx_",
        "ort-cpu",
        takes_opset=True,
        takes_weights=True,
        takes_compute=True,
        most=2**31 - 2**20,
    ),
    "torchscript": Format(
        "ptx.export.formats.torchscript",
        "torchscript",
        warning="TorchScript is deprecated by PyTorch; --format pt2 is its successor",
    ),
    "pt2": Format("ptx.export.formats.pt2", "pt2"),
    "html": Format(
        "ptx.export.formats.html_",
        "javascript",
        takes_opset=True,
        takes_weights=True,
        most=2**27,
        by_name=True,
        runtimes=("javascript", "ort"),
    ),
}
"""The formats by the name that `export` and `--format` take, a key of `ptx.infer.artifact.formats`."""


def find_format(name: str) -> Format:
    """The format of that name; UsageError names the nearest where there is none."""
    if name not in FORMATS:
        raise UsageError(f"there is no format {quote(name)}; {nearest(name, FORMATS)}")
    return FORMATS[name]


def check_size(network: nn.Module, name: str) -> None:
    """Refuse a network that is too large for the format, before it is proved for minutes.

    Raises:
        ArtifactError: E-EXPORT: its weights do not fit into one file.
    """
    most = find_format(name).most
    tensors = (*network.parameters(), *network.buffers())
    made = [tensor for tensor in tensors if not nn.parameter.is_lazy(tensor)]
    size = sum(tensor.numel() * tensor.element_size() for tensor in made)
    if most is not None and size > most:
        others = [other for other, form in FORMATS.items() if form.most is None]
        raise ArtifactError(
            f"the network's weights are {size / 2**30:.2f} GiB, and a file of {name} holds less than"
            f" {most / 2**30:.2f} GiB: export it to {' or '.join(others)}, or convert it with half()",
            code="E-EXPORT",
        )


def find_convert(name: str) -> Convert:
    """What turns a network into that format."""
    convert: Convert = import_module(find_format(name).module).convert
    return convert


def find_attach(name: str, runtime: str = "") -> Attach:
    """What puts a card into that format, and the runtime of that name, the plain one where it is empty.

    Raises:
        UsageError: it holds no such runtime.
        BackendError: the runtime is not there.
    """
    form = find_format(name)
    if runtime and runtime not in form.runtimes:
        raise UsageError(f"--runtime {runtime} is for a page, --format html; the format is {name}")
    module = import_module(form.module)
    plain = runtime in form.runtimes[:1] or not runtime
    attach: Attach = module.attach if plain else module.find_attach_with_runtime()
    return attach


def choose_runtime(name: str, content: bytes, signature: Signature) -> Choice | None:
    """Which runtime a file of that graph holds best, and why; None of a format that holds none.

    Raises:
        AgreementError: the graph needs one that is not there.
        BackendError: nothing here could prove it.
    """
    form = find_format(name)
    if not form.runtimes:
        return None
    choice: Choice = import_module(form.module).choose_runtime(content, signature)
    return choice


def find_store(name: str) -> Store:
    """What stores rounded weights in that format.

    Raises:
        UsageError: it holds float32 weights alone.
    """
    if not find_format(name).takes_weights:
        others = [other for other, form in FORMATS.items() if form.takes_weights]
        raise UsageError(
            f"a file of {name} cannot store quantized weights: --quantize-weights is for"
            f" {' or '.join(others)}"
        )
    store: Store = import_module(find_format(name).module).store
    return store


def find_compute(name: str) -> Format:
    """The format, if a file of it can compute in int8.

    Raises:
        UsageError: it computes in the network's own precision alone.
    """
    form = find_format(name)
    if not form.takes_compute:
        others = [other for other, one in FORMATS.items() if one.takes_compute]
        raise UsageError(
            f"a file of {name} computes in the network's own precision: --compute int8 is for"
            f" {' or '.join(others)}"
        )
    return form


@contextmanager
def mapping_export_errors(model: str, format_name: str) -> Iterator[None]:
    """The exporters' errors in our words."""
    try:
        yield
    except PtxError:
        raise
    except ImportError as error:
        raise BackendError(
            f"the export to {format_name} needs {error.name}: {installing('train')}"
        ) from error
    except Exception as error:  # torch's exporters have no base class of errors
        raise ArtifactError(
            f"{model} cannot be converted to {format_name}: {conversion_error(error)}",
            code="E-EXPORT",
        ) from error
