"""A model as one HTML page: the ONNX file and a JavaScript engine. This folder has the assets."""

from __future__ import annotations

from collections.abc import Callable

from ptx.export.formats.html.choice import Choice, choose_runtime
from ptx.export.formats.html.page import render
from ptx.export.formats.html.runtime import find_runtime
from ptx.infer.artifact import onnx_bytes

__all__ = [
    "Choice",
    "choose_runtime",
    "embed_manifest",
    "find_runtime",
    "load_ort_runtime",
    "render",
]


def embed_manifest(content: bytes, manifest: str) -> bytes:
    """The page with the ONNX file, which carries the manifest."""
    return render(onnx_bytes.embed_manifest(content, manifest))


def load_ort_runtime() -> Callable[[bytes, str], bytes]:
    """`embed_manifest` for pages that run on ONNX Runtime's WebAssembly instead.

    Raises:
        BackendError: onnxruntime-web is not installed.
    """
    runtime = find_runtime()
    return lambda content, manifest: render(onnx_bytes.embed_manifest(content, manifest), runtime)
