"""Stands where Triton's backend for ONNX Runtime would, which the wheel lacks: the graph, by Python."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """What Triton calls."""

    def initialize(self, args: Mapping[str, str]) -> None:
        config = json.loads(args["model_config"])
        path = Path(args["model_repository"], args["model_version"], "model.onnx")
        threads = config["parameters"].get("intra_op_thread_count", {"string_value": "0"})
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(threads["string_value"])
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.names = [entry["name"] for entry in config["output"]]

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        inputs = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        try:
            outputs = self.session.run(self.names, inputs)
        except Exception as error:
            return triton.InferenceResponse(error=triton.TritonError(str(error)))
        pairs = zip(self.names, outputs, strict=True)
        return triton.InferenceResponse([triton.Tensor(*pair) for pair in pairs])
