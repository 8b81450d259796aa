"""The formats that a model is exported to.

Installed packages add formats through the entry points of group `ptx.formats`: a `FileFormat` whose
`exporter` names an `Exporter`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import nn

from ptx.export.formats import html, onnx_, pt2, torchscript
from ptx.export.quantize.weights import pack_weights
from ptx.export.tracing import Traced
from ptx.infer.artifact import onnx_bytes, zip_archive
from ptx.infer.artifact.formats import PACKAGE_FORMATS
from ptx.infer.errors import ArtifactError, UsageError, did_you_mean, quote
from ptx.infer.signature import Array, Signature


class Convert(Protocol):
    """Converts a traced network to the content of a file, without the manifest.

    The dynamic axes of the signature stay dynamic. Only ONNX uses `opset`.
    """

    def __call__(self, traced: Traced, *, opset: int | None) -> bytes: ...


EmbedManifest = Callable[[bytes, str], bytes]
"""Puts the manifest (JSON) and the content digest into a file's content."""


@dataclass(frozen=True)
class Exporter:
    """How files of one format are made, and what they can contain.

    Attributes:
        backend: The backend that verifies the file.
        pack_weights: Stores quantized weights: (content, dtype, weights by name) -> content.
        computes_int8: Whether a file can compute in int8.
        max_weight_bytes: The largest network that fits into one file; None: no limit.
        warning: Printed before an export.
        explicit_only: Whether `--format all` leaves it out.
        choose_runtime: Picks the runtime that a file of this content carries.
        decodes_arrays: Whether a file can decode the tasks whose predictions are arrays, or leaves that
            to ptx.
        preprocessing_kinds: The kinds of preprocessing that a file contains; None: ptx preprocesses.
        runtimes: The runtimes that a file can carry, each with a function that loads it.
    """

    convert: Convert
    embed_manifest: EmbedManifest
    backend: str
    takes_opset: bool = False
    pack_weights: Callable[[bytes, str, Mapping[str, Array]], bytes] | None = None
    computes_int8: bool = False
    max_weight_bytes: int | None = None
    warning: str = ""
    explicit_only: bool = False
    decodes_arrays: bool = True
    preprocessing_kinds: Collection[str] | None = None
    choose_runtime: Callable[[bytes, Signature], html.Choice] | None = None
    runtimes: Mapping[str, Callable[[], EmbedManifest]] = field(default_factory=dict)


EXPORTERS = {
    "onnx": Exporter(
        onnx_.convert,
        onnx_bytes.embed_manifest,
        "ort-cpu",
        takes_opset=True,
        pack_weights=pack_weights,
        computes_int8=True,
        max_weight_bytes=2**31 - 2**20,
    ),
    "torchscript": Exporter(
        torchscript.convert,
        torchscript.embed_manifest,
        "torchscript",
        warning="TorchScript is deprecated by PyTorch; --format pt2 is its successor",
    ),
    "pt2": Exporter(pt2.convert, zip_archive.embed_manifest, "pt2"),
    "html": Exporter(
        onnx_.convert,
        html.embed_manifest,
        "javascript",
        takes_opset=True,
        pack_weights=pack_weights,
        max_weight_bytes=2**27,
        explicit_only=True,
        decodes_arrays=False,
        # The keys of TRANSFORMS in html/engine/preprocessing.js, and arrays.
        preprocessing_kinds=(
            "gray-image",
            "rgb-image",
            "tabular",
            "char-codes",
            "char-indices",
            "none",
        ),
        choose_runtime=html.choose_runtime,
        runtimes={"javascript": lambda: html.embed_manifest, "ort": html.load_ort_runtime},
    ),
}
"""The exporters by the name that `export` and `--format` take, a key of `ptx.infer.artifact.formats`."""


def exporter_names() -> list[str]:
    """The formats that a model can be exported to; no package is imported."""
    return [*EXPORTERS, *PACKAGE_FORMATS.names()]


def find_exporter(name: str) -> Exporter:
    """The exporter of a format, of ptx or of a package.

    Raises:
        UsageError: there is no such format, or its files can only be read.
        BackendError: E-PLUGIN: its package cannot be used.
    """
    if name in EXPORTERS:
        return EXPORTERS[name]
    file_format = PACKAGE_FORMATS.find(name)
    if file_format is None:
        raise UsageError(
            f"there is no format {quote(name)}; {did_you_mean(name, exporter_names())}"
        )
    if not file_format.exporter:
        raise UsageError(
            f"the package of the format {quote(name)} reads such files and writes none"
        )
    exporter = PACKAGE_FORMATS.resolve(name, file_format.exporter)
    with PACKAGE_FORMATS.mapping_errors(name):
        if not isinstance(exporter, Exporter):
            raise TypeError(
                f"{file_format.exporter} is a {type(exporter).__name__}; expected an Exporter"
            )
    return exporter


def check_format(
    name: str,
    *,
    network: nn.Module | None = None,
    weights: str = "",
    compute: str = "",
    runtime: str = "",
) -> Exporter:
    """The exporter of that name, after a check that its files support this network and these options.

    Args:
        weights: The dtype of quantized weights; empty: the network's own.
        compute: What the file computes in; empty: the network's own precision.
        runtime: The runtime that the file carries; empty: the exporter chooses.

    Raises:
        UsageError: there is no such format, or its files do not support such an option.
        ArtifactError: E-EXPORT: the network's weights do not fit into one file.
        BackendError: the runtime is not installed.
    """
    exporter = find_exporter(name)
    if weights and exporter.pack_weights is None:
        others = [other for other, each in EXPORTERS.items() if each.pack_weights]
        raise UsageError(
            f"a file of {name} cannot store quantized weights: --quantize-weights is for"
            f" {' or '.join(others)}"
        )
    if compute and not exporter.computes_int8:
        others = [other for other, each in EXPORTERS.items() if each.computes_int8]
        raise UsageError(
            f"a file of {name} computes in the network's own precision: --compute int8 is for"
            f" {' or '.join(others)}"
        )
    if runtime and runtime not in exporter.runtimes:
        raise UsageError(f"--runtime {runtime} is for a page, --format html; the format is {name}")
    if runtime:
        exporter.runtimes[runtime]()
    if network is not None and exporter.max_weight_bytes is not None:
        _check_size(network, name, exporter.max_weight_bytes)
    return exporter


def _check_size(network: nn.Module, name: str, limit: int) -> None:
    tensors = (*network.parameters(), *network.buffers())
    size = sum(t.numel() * t.element_size() for t in tensors if not nn.parameter.is_lazy(t))
    if size > limit:
        others = [other for other, each in EXPORTERS.items() if each.max_weight_bytes is None]
        raise ArtifactError(
            f"the network's weights are {size / 2**30:.2f} GiB, and a file of {name} holds less than"
            f" {limit / 2**30:.2f} GiB: export it to {' or '.join(others)}, or convert it with half()",
            code="E-EXPORT",
        )
