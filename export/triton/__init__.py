"""A Triton model repository from an exported ONNX file.

>>> from ptx.infer import read_artifact
>>> from ptx.export.triton import write_repository
>>> write_repository(read_artifact("runs/convnet/convnet.onnx"), "repository")
[PosixPath('repository/convnet'), PosixPath('repository/convnet_predict')]
"""

from ptx.export.triton.repository import DEVICES, write_repository

__all__ = ["DEVICES", "write_repository"]
