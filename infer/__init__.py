"""ptx.infer: from an exported file to predictions, without torch.

>>> from ptx.infer import load
>>> digits = load("runs/convnet/convnet.onnx", backend="ort-cpu")
>>> digits.predict("digit.png").label
'7'
"""

from __future__ import annotations

from ptx.infer.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(__name__)
