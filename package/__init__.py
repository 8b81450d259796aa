"""ptx: PyTorch models from training to prediction.

>>> import ptx
>>> digits = ptx.load("runs/convnet/convnet.onnx", backend="ort-cpu")

The work is in the sub-packages: `ptx.infer`, `ptx.export`, `ptx.trainers`, `ptx.serve` and others.
Importing this one loads none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ptx.infer.loading import load as load

    __version__: str

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from ptx.infer.loading import load

        return load
    if name == "__version__":
        from importlib.metadata import version

        return version("ptx-toolkit")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
