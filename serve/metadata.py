"""Metadata of the server and of its models, as the JSON of the protocol."""

from __future__ import annotations

import math
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from ptx.infer import TensorSpec
from ptx.infer.signature import BATCH
from ptx.serve.errors import bad_request
from ptx.serve.model import VERSION, Model
from ptx.serve.tensors import BYTES, DATATYPE_NAMES

EXTENSIONS = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "statistics",
]
_PLATFORMS = {"onnx": "onnxruntime_onnx", "torchscript": "pytorch_libtorch"}


def server_metadata() -> dict[str, Any]:
    """The response of `/v2`."""
    return {"name": "ptx", "version": version("ptx-toolkit"), "extensions": EXTENSIONS}


def model_metadata(model: Model) -> dict[str, Any]:
    """The response of `/v2/models/NAME`; the raw input is in `parameters`, not in `inputs`."""
    metadata: dict[str, Any] = {
        "name": model.name,
        "versions": [VERSION],
        "platform": _platform(model),
        "inputs": [_tensor(spec) for spec in model.inputs.values()],
        "outputs": [_tensor(spec) for spec in model.outputs.values()],
    }
    if model.raw_input is not None:
        datatypes = {
            "label": (BYTES, [-1]),
            "score": ("FP64", [-1]),
            "value": ("FP64", [-1]),
            "vector": ("FP32", [-1, -1]),
            "boxes": (BYTES, [-1]),  # a list in JSON for each picture, which may have any number
            "class_map": (
                "UINT8" if len(model.predictor.labels) <= 256 else "UINT16",
                [-1, -1, -1],
            ),
        }
        metadata["parameters"] = {
            "raw_input": {"name": model.raw_input, "datatype": BYTES, "shape": [-1]},
            "raw_outputs": [
                {"name": name, "datatype": datatypes[name][0], "shape": datatypes[name][1]}
                for name in model.raw_outputs
            ],
        }
    return metadata


def model_config(model: Model, max_batch: int) -> dict[str, Any]:
    """The configuration of a model, as Triton's tools read it."""
    specs = (*model.inputs.values(), *model.outputs.values())
    batched = all(spec.batch_axis == 0 for spec in specs)
    config: dict[str, Any] = {
        "name": model.name,
        "platform": _platform(model),
        "backend": "onnxruntime",
        "max_batch_size": max_batch if batched else 0,
        "input": [_config_tensor(spec, batched, model) for spec in model.inputs.values()],
        "output": [_config_tensor(spec, batched) for spec in model.outputs.values()],
    }
    if model.predictor.labels:
        config["output"][0]["label_filename"] = "labels.txt"
    if batched:
        config["dynamic_batching"] = {}
    if model.raw_input is not None:
        config["parameters"] = {"raw_input": {"string_value": model.raw_input}}
    return config


def repository_index(models: Iterable[Model]) -> list[dict[str, str]]:
    """The response of `/v2/repository/index`."""
    return [
        {"name": model.name, "version": VERSION, "state": "READY", "reason": ""} for model in models
    ]


def _platform(model: Model) -> str:
    name = model.predictor.backend.name
    model_format = "onnx" if name.startswith("ort-") else name
    return _PLATFORMS.get(model_format, model_format)


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": DATATYPE_NAMES[spec.numpy_dtype], "shape": _shape(spec)}


def _config_tensor(spec: TensorSpec, batched: bool, model: Model | None = None) -> dict[str, Any]:
    config: dict[str, Any] = {
        "name": spec.name,
        "data_type": f"TYPE_{DATATYPE_NAMES[spec.numpy_dtype]}",
        "dims": _shape(spec)[1:] if batched else _shape(spec),
    }
    image_spec = None if model is None else model.predictor.preprocessing.image_spec
    if image_spec is not None and len(spec.axes) == 4 and batched:
        config["format"] = "FORMAT_NCHW" if image_spec.channel_axis == 0 else "FORMAT_NHWC"
    return config


def _shape(spec: TensorSpec) -> list[int]:
    """The sizes of the axes; −1 for a dynamic axis."""
    return [axis if isinstance(axis, int) else -1 for axis in spec.axes]


def single_tensor_spec(model: Model, size: int) -> tuple[str, str, tuple[int, ...]]:
    """Name, datatype and shape of a body of `size` bytes that is one row of the model's only input.

    Raises:
        RequestError: the model has several inputs, or the size does not determine the shape.
    """
    spec, *others = model.inputs.values()
    shape = [1 if axis == BATCH else axis if isinstance(axis, int) else -1 for axis in spec.axes]
    unit = spec.numpy_dtype.itemsize * math.prod(axis for axis in shape if axis >= 0)
    if others or shape.count(-1) > 1 or size % unit:
        raise bad_request(
            f"{size} bytes do not determine the shape of the {len(model.inputs)} inputs of"
            f" {model.name!r}: send the tensors with a JSON header"
        )
    shape = [size // unit if axis < 0 else axis for axis in shape]
    return spec.name, DATATYPE_NAMES[spec.numpy_dtype], tuple(shape)
