"""The runtimes that run parts of an ONNX graph."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import onnx

from ptx.infer.backends.ort.cpu import import_onnxruntime
from ptx.infer.backends.threads import available_cpus
from ptx.infer.errors import UsageError, quote
from ptx.infer.signature import Array

_FATAL = 4  # ONNX Runtime's log level: its errors are raised as exceptions


class Runtime(Protocol):
    """Runs an ONNX model that is in memory."""

    def run(
        self, content: bytes, inputs: Mapping[str, Array], *, optimize: bool = True
    ) -> dict[str, Array]:
        """All outputs by name; raises the runtime's own exceptions."""

    def optimized(self, content: bytes) -> bytes | None:
        """The graph after the runtime's own fusions; None if the runtime does not provide it."""


class OrtRuntime:
    """ONNX Runtime on one execution provider."""

    def __init__(self, providers: Sequence[Any]) -> None:
        self._providers = list(providers)

    def run(
        self, content: bytes, inputs: Mapping[str, Array], *, optimize: bool = True
    ) -> dict[str, Array]:
        session = self._open(content, self._settings(optimize=optimize))
        names = [output.name for output in session.get_outputs()]
        feeds = {value.name: inputs[value.name] for value in session.get_inputs()}
        outputs = session.run(names, feeds)
        return dict(zip(names, outputs, strict=True))

    def optimized(self, content: bytes) -> bytes | None:
        with tempfile.TemporaryDirectory(prefix="ptx-diff-") as folder:
            path = Path(folder, "optimized.onnx")
            settings = self._settings(optimize=True)
            # Without the last level, which changes operators to the memory layout of this CPU.
            level = import_onnxruntime().GraphOptimizationLevel.ORT_ENABLE_EXTENDED
            settings.graph_optimization_level = level
            settings.optimized_model_filepath = str(path)
            self._open(content, settings)
            return path.read_bytes()

    def open_profiled(self, content: bytes, optimized: Path, *, threads: int | None) -> Any:
        """A session that profiles its runs, and writes its optimized graph to `optimized`.

        The profile is written next to that file.
        """
        settings = self._settings(optimize=True)
        settings.intra_op_num_threads = threads or available_cpus()
        settings.enable_profiling = True
        settings.profile_file_prefix = str(optimized.with_suffix(""))
        settings.optimized_model_filepath = str(optimized)
        return self._open(content, settings)

    def _open(self, content: bytes, settings: Any) -> Any:
        return import_onnxruntime().InferenceSession(
            content, settings, providers=self._providers, enable_fallback=0
        )

    @staticmethod
    def _settings(*, optimize: bool) -> Any:
        onnxruntime = import_onnxruntime()
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = _FATAL
        settings.intra_op_num_threads = available_cpus()
        if not optimize:
            settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        return settings


class OpenvinoRuntime:
    """OpenVINO on the CPU in float32; it always optimizes."""

    def run(
        self, content: bytes, inputs: Mapping[str, Array], *, optimize: bool = True
    ) -> dict[str, Array]:
        from ptx.infer.backends.openvino_cpu import open_core

        model = onnx.load_from_string(content)
        for value in model.graph.input:  # OpenVINO needs the rank
            for size in inputs[value.name].shape:
                value.type.tensor_type.shape.dim.add().dim_value = size
        core = open_core(os.getpid())
        compiled = core.compile_model(
            core.read_model(model.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        names = {name for value in compiled.inputs for name in value.get_names()}
        outputs = compiled({name: array for name, array in inputs.items() if name in names})
        return {value.get_any_name(): outputs[value] for value in compiled.outputs}

    def optimized(self, content: bytes) -> bytes | None:
        return None


RUNTIMES: dict[str, Callable[[], Runtime]] = {
    "ort-cpu": partial(OrtRuntime, ["CPUExecutionProvider"]),
    "ort-cuda": partial(OrtRuntime, [("CUDAExecutionProvider", {"use_tf32": "0"})]),
    "openvino": OpenvinoRuntime,
}


def find_runtime(backend: str) -> Runtime:
    """The runtime of a backend that reads ONNX.

    Raises:
        UsageError: the backend cannot run parts of a graph.
    """
    if backend not in RUNTIMES:
        raise UsageError(
            f"the backend {quote(backend)} cannot run parts of a graph; expected one of"
            f" {', '.join(RUNTIMES)}, torchscript, pt2"
        )
    return RUNTIMES[backend]()
