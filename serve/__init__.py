"""ptx.serve: models over HTTP and gRPC with the Open Inference Protocol, as an ASGI application.

>>> import ptx.serve
>>> from ptx.infer import load
>>> app = ptx.serve.app({"convnet": load("runs/convnet/convnet.onnx", backend="ort-cpu")})

`app` runs on any ASGI server, and can be mounted in a FastAPI or Starlette application. `ptx serve` is
`serve`: the application on uvicorn, with gRPC next to it.
"""

from __future__ import annotations

from ptx.infer.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(__name__)
