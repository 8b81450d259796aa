"""ptx.serve: models over HTTP and gRPC with the Open Inference Protocol, as an ASGI application.

>>> import ptx.serve
>>> from ptx.infer import load
>>> app = ptx.serve.app({"convnet": load("runs/convnet/convnet.onnx", backend="ort-cpu")})

`app` runs on any ASGI server, and can be mounted in a FastAPI or Starlette application. `ptx serve` is
`serve`: the application on uvicorn, with gRPC next to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptx.infer.lazy import lazy_attributes

if TYPE_CHECKING:
    from ptx.serve.asgi import app
    from ptx.serve.registry import ModelSource
    from ptx.serve.server import serve
    from ptx.serve.settings import ServerSettings, Settings, open_access_warning, read_tokens
    from ptx.serve.shadow import ShadowSource
else:
    __getattr__, __dir__ = lazy_attributes(
        __name__,
        {
            "ModelSource": "registry",
            "ServerSettings": "settings",
            "Settings": "settings",
            "ShadowSource": "shadow",
            "app": "asgi",
            "open_access_warning": "settings",
            "read_tokens": "settings",
            "serve": "server",
        },
    )

__all__ = [
    "ModelSource",
    "ServerSettings",
    "Settings",
    "ShadowSource",
    "app",
    "open_access_warning",
    "read_tokens",
    "serve",
]
