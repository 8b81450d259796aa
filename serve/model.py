"""One served model as the protocol sees it: validation of requests, and tensors of results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from ptx.infer import Array, ArtifactError, Prediction, Predictor
from ptx.infer.checks import check_inputs
from ptx.infer.raw_input import raw_input_name
from ptx.infer.signature import BATCH
from ptx.infer.tasks import find_task
from ptx.infer.verification import failures
from ptx.serve.batcher import Job, Result
from ptx.serve.codec import InferRequest, RequestedOutput
from ptx.serve.errors import RequestError, bad_request, to_request_error
from ptx.serve.tensors import (
    BYTES,
    DATATYPE_NAMES,
    Tensor,
    from_array,
    from_strings,
    rank_classes,
)

VERSION = "1"
TOP = 3  # labels that are ranked for a raw input unless the client asks for more


class Model:
    """A predictor and the name under which it is served.

    Attributes:
        inputs: Input tensors of the graph, by name.
        outputs: Output tensors of the graph, by name.
        raw_input: Name of the BYTES tensor for image files, texts or rows; None: there is none.
        raw_outputs: Names of the output tensors for a raw input.
    """

    def __init__(self, name: str, predictor: Predictor) -> None:
        self.name, self.predictor = name, predictor
        self.inputs = {spec.name: spec for spec in predictor.signature.inputs}
        self.outputs = {spec.name: spec for spec in predictor.signature.outputs}
        self.raw_input = raw_input_name(predictor.manifest, predictor.preprocessing)
        self.raw_outputs = _raw_outputs(predictor) if self.raw_input else ()
        self._takes_pictures = predictor.preprocessing.image_spec is not None

    def self_test(self) -> None:
        """Replay the golden samples on the backend that will serve.

        Raises:
            ArtifactError: the model does not pass its golden samples on this machine.
        """
        manifest = self.predictor.manifest
        if manifest.golden and (failed := failures(self.predictor, manifest)):
            details = "; ".join(f"{check.name}: {check.detail}" for check in failed)
            raise ArtifactError(
                f"model {self.name!r} fails its golden samples on this machine: {details}",
                code="E-OUTPUT",
            )

    def make_job(self, request: InferRequest, max_rows: int) -> Job:
        """The job for a request.

        Raises:
            RequestError: the request does not match the model.
        """
        if len(request.inputs) == 1 and request.inputs[0].name == self.raw_input:
            return self._make_raw_job(request, max_rows)
        self._check_outputs(request.outputs, tuple(self.outputs))
        arrays: dict[str, Any] = {}
        for tensor in request.inputs:
            spec = self.inputs.get(tensor.name)
            if spec is None:
                raise self._unexpected_input(tensor.name)
            if tensor.name in arrays:
                raise bad_request(f"input {tensor.name!r} is given twice")
            if isinstance(tensor.values, list) or tensor.values.dtype != spec.numpy_dtype:
                raise bad_request(
                    f"input {tensor.name!r} has the datatype {tensor.datatype}; expected"
                    f" {DATATYPE_NAMES[spec.numpy_dtype]}"
                )
            arrays[tensor.name] = tensor.values
        try:
            arrays, sizes = check_inputs(self.predictor.signature, arrays)
        except Exception as error:
            raise to_request_error(error) from error
        rows = sizes[BATCH]
        _check_rows(rows, max_rows)
        key = tuple(item for item in sizes.items() if item[0] != BATCH)
        numbers = sum(array.size for array in arrays.values())
        return Job(rows, key, arrays, numbers, sizes=sizes, timeout=request.timeout)

    def _make_raw_job(self, request: InferRequest, max_rows: int) -> Job:
        (tensor,) = request.inputs
        self._check_outputs(request.outputs, self.raw_outputs)
        if not isinstance(tensor.values, list):
            raise bad_request(
                f"input {tensor.name!r} has the datatype {tensor.datatype}; expected {BYTES}"
            )
        _check_rows(len(tensor.values), max_rows)
        values = [self.decode(value) for value in tensor.values]
        top = max(request.top or TOP, *(output.classes for output in request.outputs), 1)
        size = sum(map(len, tensor.values))
        return Job(len(values), None, values, size, top=top, timeout=request.timeout)

    @property
    def takes_json(self) -> bool:
        """Whether the raw input is a text, which a request may send as JSON."""
        return self.raw_input is not None and not self._takes_pictures

    def decode(self, value: bytes) -> bytes | str:
        """A raw input for the preprocessing: an image file as bytes, others as text.

        An image never becomes a string, because the preprocessing would open it as a path.
        """
        if self._takes_pictures:
            return value
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise RequestError(422, "the text is not valid UTF-8") from error

    def to_tensors(self, request: InferRequest, result: Result) -> list[Tensor]:
        """The tensors of a result that the request lists, else all of them."""
        tensors = (
            self._raw_tensors(result)
            if isinstance(result, list)
            else {name: from_array(name, array) for name, array in result.items()}
        )
        if not request.outputs:
            return list(tensors.values())
        return [
            tensors[output.name]
            if not output.classes
            else self._rank_predictions(output, result)
            if isinstance(result, list)
            else rank_classes(tensors[output.name], output.classes, self.predictor.labels)
            for output in request.outputs
        ]

    def _raw_tensors(self, predictions: Sequence[Prediction]) -> dict[str, Tensor]:
        if self.raw_outputs == ("vector",):
            return {"vector": from_array("vector", _stack_vectors(predictions))}
        if self.raw_outputs == ("class_map",):
            return {"class_map": from_array("class_map", _stack_maps(predictions))}
        if self.raw_outputs == ("boxes",):
            texts = [json.dumps(one.to_data()["boxes"], ensure_ascii=False) for one in predictions]
            return {"boxes": from_strings("boxes", texts, (len(texts),))}
        if self.raw_outputs == ("value",):
            numbers = np.array([one.value for one in predictions], np.float64)
            return {"value": from_array("value", numbers)}
        scores = np.array([one.score for one in predictions], np.float64)
        labels = from_strings(
            "label", [one.label or "" for one in predictions], (len(predictions),)
        )
        return {"label": labels, "score": from_array("score", scores)}

    def _rank_predictions(self, output: RequestedOutput, rows: Sequence[Prediction]) -> Tensor:
        if any(row.label is None for row in rows):
            raise bad_request(f"output {output.name!r} has no labels to rank")
        indices = {label: index for index, label in enumerate(self.predictor.labels)}
        ranked = [
            [f"{score:f}:{indices[label]}:{label}" for label, score in row.top[: output.classes]]
            for row in rows
        ]
        shape = (len(ranked), len(ranked[0]) if ranked else 0)
        return from_strings(output.name, [text for row in ranked for text in row], shape)

    def _check_outputs(self, outputs: Sequence[RequestedOutput], known: Sequence[str]) -> None:
        names = [output.name for output in outputs]
        for name in names:
            if name not in known:
                raise bad_request(
                    f"unexpected output {name!r} of model {self.name!r}; expected {', '.join(known)}"
                )
        if len(set(names)) < len(names):
            raise bad_request("an output is requested twice")

    def _unexpected_input(self, name: str) -> RequestError:
        known = ", ".join(self.inputs)
        raw = f", or only {self.raw_input}" if self.raw_input else ""
        return bad_request(
            f"unexpected input {name[:80]!r} for model {self.name!r}; expected {known}{raw}"
        )


def response_parameters(result: Result) -> dict[str, bool | str]:
    """The parameters of the response: of labels for raw inputs, whether they may be wrong.

    `low_confidence`: whether that of any row is more probably wrong than right. If so,
    `low_confidence_rows`: the indices of these rows, separated by commas.
    """
    if not isinstance(result, list) or any(one.label is None for one in result):
        return {}
    rows = [str(index) for index, one in enumerate(result) if one.low_confidence]
    if not rows:
        return {"low_confidence": False}
    return {"low_confidence": True, "low_confidence_rows": ",".join(rows)}


def _raw_outputs(predictor: Predictor) -> tuple[str, ...]:
    """The names of the output tensors for a raw input."""
    task = find_task(predictor.manifest.task)
    if task.reads_boxes:
        return ("boxes",)
    if task.is_array:
        return ("class_map",) if predictor.labels else ("vector",)
    return ("label", "score") if predictor.labels else ("value",)


def _stack_vectors(predictions: Sequence[Prediction]) -> Array:
    return np.stack([one.vector for one in predictions if one.vector is not None])


def _stack_maps(predictions: Sequence[Prediction]) -> Array:
    maps = [one.class_map for one in predictions if one.class_map is not None]
    if len({one.shape for one in maps}) > 1:
        raise bad_request("the pictures give class maps of different sizes: send one at a time")
    return np.stack(maps)


def _check_rows(rows: int, limit: int) -> None:
    if rows > limit:
        raise bad_request(f"the request has {rows} rows; at most {limit} are allowed (--max-batch)")
