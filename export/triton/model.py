"""Runs in Triton's Python backend: preprocesses raw inputs as `ptx predict` does, and calls the graph.

Its folder has `manifest.json`, the manifest, and `ptx.zip`, the code of ptx.infer. It needs NumPy and
Pillow.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).with_name("ptx.zip")))

import numpy as np
import triton_python_backend_utils as triton

from ptx.infer import Failure, Manifest, Prediction, Predictor
from ptx.infer.errors import InputError, PtxError
from ptx.infer.signature import Array


class TritonBackend:
    """The graph, which runs in the same server."""

    name, device = "triton", "triton"

    def __init__(self, manifest: Manifest) -> None:
        self._model = manifest.model
        self._outputs = {spec.name: len(spec.axes) for spec in manifest.signature.outputs}

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        request = triton.InferenceRequest(
            model_name=self._model,
            requested_output_names=list(self._outputs),
            inputs=[triton.Tensor(name, array) for name, array in inputs.items()],
            preferred_memory=triton.PreferredMemory(triton.TRITONSERVER_MEMORY_CPU),
        )
        response = request.exec()
        if response.has_error():
            raise triton.TritonModelException(response.error().message())
        found = {
            name: triton.get_output_tensor_by_name(response, name).as_numpy()
            for name in self._outputs
        }
        # Triton adds an axis to outputs of one value a row.
        return {
            name: array.reshape(array.shape[: self._outputs[name]]) for name, array in found.items()
        }

    def close(self) -> None:
        pass


class TritonPythonModel:
    """The model class that Triton looks for."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Read the manifest in the folder of this file."""
        path = Path(__file__).with_name("manifest.json")
        manifest = Manifest.from_json(path.read_bytes(), name=str(path))
        self.predictor = Predictor(manifest, lambda: TritonBackend(manifest))
        self.raw_input = json.loads(args["model_config"])["input"][0]["name"]

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Predict all waiting requests in one run of the graph; an error affects only its request."""
        rows = [self._values(request) for request in requests]
        values = [value for row_values in rows for value in row_values]
        predictions = list(
            self.predictor.predict_many(values, batch_size=len(values) + 1, on_error="yield")
        )
        responses = []
        for row_values in rows:
            responses.append(self._respond(predictions[: len(row_values)]))
            del predictions[: len(row_values)]
        return responses

    def _values(self, request: Any) -> list[Any]:
        inputs = triton.get_input_tensor_by_name(request, self.raw_input).as_numpy().reshape(-1)
        if self.predictor.preprocessing.image_spec is not None:
            return list(inputs)
        return [text.decode("utf-8", "replace") for text in inputs]

    def _respond(self, results: list[Prediction | Failure]) -> Any:
        predictions = []
        for index, result in enumerate(results):
            if isinstance(result, Failure):
                prefix = f"row {index}: " if len(results) > 1 else ""
                return triton.InferenceResponse(error=_error(result.error, prefix))
            predictions.append(result)
        if self.predictor.manifest.task == "regression":
            values = [[each.value] for each in predictions]
            return triton.InferenceResponse([_numbers("value", values)])
        return triton.InferenceResponse(
            [
                _texts("label", [[each.label] for each in predictions]),
                _numbers("score", [[each.score] for each in predictions]),
                _texts("top_labels", [[label for label, _ in each.top] for each in predictions]),
                _numbers("top_scores", [[score for _, score in each.top] for each in predictions]),
            ]
        )


def _error(error: PtxError, prefix: str) -> Any:
    codes = triton.TritonError
    code = codes.INVALID_ARG if isinstance(error, InputError) else codes.INTERNAL
    return codes(f"{prefix}[{error.code}] {error}", code)


def _texts(name: str, rows: Sequence[Sequence[Any]]) -> Any:
    encoded = [[text.encode() for text in row] for row in rows]
    return triton.Tensor(name, np.array(encoded, np.object_))


def _numbers(name: str, rows: Sequence[Sequence[Any]]) -> Any:
    return triton.Tensor(name, np.array(rows, np.float64))
