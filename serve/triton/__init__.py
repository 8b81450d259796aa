"""A Triton model repository out of an exported ONNX file, without torch.

>>> from ptx.infer import read_artifact
>>> from ptx.serve.triton import write_repository
>>> write_repository(read_artifact("runs/convnet/convnet.onnx"), "repository")
[PosixPath('repository/convnet'), PosixPath('repository/convnet_predict')]
"""

from ptx.serve.triton.repository import DEVICES, write_repository

__all__ = ["DEVICES", "write_repository"]
