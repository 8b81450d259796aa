"""Held by mypy alone: each backend is a Backend, each preprocessing a Preprocessing."""

from __future__ import annotations

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.backends import Backend, Options
from ptx.infer.backends.openvino_cpu import OpenvinoBackend
from ptx.infer.backends.ort.cpu import OrtCpuBackend
from ptx.infer.backends.ort.cuda import OrtCudaBackend
from ptx.infer.backends.pytorch.eager import EagerBackend
from ptx.infer.backends.pytorch.pt2 import Pt2Backend
from ptx.infer.backends.pytorch.script import TorchScriptBackend
from ptx.infer.preprocessing import Preprocessing
from ptx.infer.preprocessing.arrays import ArraysPreprocessing
from ptx.infer.preprocessing.columns import ColumnsPreprocessing
from ptx.infer.preprocessing.gray_image import GrayPreprocessing
from ptx.infer.preprocessing.rgb_image import RgbPreprocessing
from ptx.infer.preprocessing.symbols import SymbolsPreprocessing
from ptx.infer.preprocessing.text import TextPreprocessing
from ptx.infer.signature import Signature


def backends(artifact: Artifact, options: Options) -> list[Backend]:
    eager: Backend = EagerBackend(artifact, options)
    pt2: Backend = Pt2Backend(artifact, options)
    openvino: Backend = OpenvinoBackend(artifact, options)
    ort_cpu: Backend = OrtCpuBackend(artifact, options)
    ort_cuda: Backend = OrtCudaBackend(artifact, options)
    torchscript: Backend = TorchScriptBackend(artifact, options)
    return [eager, pt2, openvino, ort_cpu, ort_cuda, torchscript]


def preprocessings(signature: Signature) -> list[Preprocessing]:
    arrays: Preprocessing = ArraysPreprocessing(signature)
    columns: Preprocessing = ColumnsPreprocessing(signature, names=["x"])
    image: Preprocessing = GrayPreprocessing(signature, size=(28, 28), resize_mode="mnist")
    photo: Preprocessing = RgbPreprocessing(signature, size=(224, 224), resize=256)
    symbols: Preprocessing = SymbolsPreprocessing(signature, alphabet=["e"])
    text: Preprocessing = TextPreprocessing(signature, normalise="NFKD", unknown=1)
    return [arrays, columns, image, photo, symbols, text]
