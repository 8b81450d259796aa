"""A model as one page: the ONNX file of `ptx.export.formats.onnx_`, and the engine that runs it."""

from __future__ import annotations

from ptx.export.formats import Attach, onnx_
from ptx.export.page import choose_runtime, find_runtime, render
from ptx.infer.artifact import onnx_bytes

__all__ = ["attach", "choose_runtime", "convert", "find_attach_with_runtime", "store"]

convert, store = onnx_.convert, onnx_.store


def attach(content: bytes, card: str) -> bytes:
    """The page over the sealed ONNX file."""
    return render(onnx_bytes.attach(content, card))


def find_attach_with_runtime() -> Attach:
    """What makes the same page with ONNX Runtime's WebAssembly.

    Raises:
        BackendError: onnxruntime-web is not there.
    """
    runtime = find_runtime()
    return lambda content, card: render(onnx_bytes.attach(content, card), runtime)
