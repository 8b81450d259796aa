"""ptx.serve: models behind HTTP and gRPC, on the Open Inference Protocol, and for Triton.

The command is `ptx serve`; in a program:

>>> from ptx.infer import load
>>> from ptx.serve import Settings, Source, serve
>>> digits = Source("convnet", lambda: load("runs/convnet/convnet.onnx", backend="ort-cpu"))
>>> serve([digits], Settings(port=8000), lambda http, grpc: None)  # until SIGTERM
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptx.infer.lazy import lazy

if TYPE_CHECKING:
    from ptx.serve.processes import serve, warn_open
    from ptx.serve.registry import Source
    from ptx.serve.settings import Settings
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "Settings": "settings",
            "Source": "registry",
            "serve": "processes",
            "warn_open": "processes",
        },
    )

__all__ = ["Settings", "Source", "serve", "warn_open"]
