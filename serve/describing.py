"""What the protocol says of a server and of its models, in the form of its JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ptx.infer import TensorSpec
from ptx.infer.signature import BATCH
from ptx.serve.model import VERSION, Model
from ptx.serve.refusals import bad
from ptx.serve.tensors import BYTES, NAMES

EXTENSIONS = ["binary_tensor_data", "classification", "model_configuration", "model_repository",
              "statistics"]  # fmt: skip
_PLATFORMS = {"onnx": "onnxruntime_onnx", "torchscript": "pytorch_libtorch"}


def describe_server() -> dict[str, Any]:
    """Of `/v2`."""
    from importlib.metadata import version  # which takes longer to import than to answer

    return {"name": "ptx", "version": version("ptx"), "extensions": EXTENSIONS}


def describe_model(model: Model) -> dict[str, Any]:
    """A model's metadata; its own input stands beside its tensors, which alone are `inputs`."""
    described: dict[str, Any] = {
        "name": model.name, "versions": [VERSION], "platform": _platform(model),
        "inputs": [_tensor(spec) for spec in model.inputs.values()],
        "outputs": [_tensor(spec) for spec in model.outputs.values()],
    }  # fmt: skip
    if model.value is not None:
        kinds = {"label": BYTES, "score": "FP64", "value": "FP64"}
        described["parameters"] = {
            "value_input": {"name": model.value, "datatype": BYTES, "shape": [-1]},
            "value_outputs": [
                {"name": name, "datatype": kinds[name], "shape": [-1]}
                for name in model.value_outputs
            ],
        }
    return described


def describe_config(model: Model, max_batch: int) -> dict[str, Any]:
    """A model's configuration as Triton's tools read it."""
    specs = (*model.inputs.values(), *model.outputs.values())
    batched = all(spec.batch_axis == 0 for spec in specs)
    first = next(iter(model.outputs))
    config: dict[str, Any] = {
        "name": model.name, "platform": _platform(model), "backend": "onnxruntime",
        "max_batch_size": max_batch if batched else 0,
        "input": [_config_tensor(spec, batched, model) for spec in model.inputs.values()],
        "output": [_config_tensor(spec, batched) for spec in model.outputs.values()],
    }  # fmt: skip
    if model.predictor.labels:
        next(item for item in config["output"] if item["name"] == first)["label_filename"] = (
            "labels.txt"
        )
    if batched:
        config["dynamic_batching"] = {}
    if model.value is not None:
        config["parameters"] = {"value_input": {"string_value": model.value}}
    return config


def repository_index(models: Iterable[Model]) -> list[dict[str, str]]:
    """Of `/v2/repository/index`."""
    return [
        {"name": model.name, "version": VERSION, "state": "READY", "reason": ""} for model in models
    ]


def _platform(model: Model) -> str:
    name = model.predictor.backend.name
    kind = "onnx" if name.startswith("ort-") else name
    return _PLATFORMS.get(kind, kind)


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": datatype(spec), "shape": tensor_shape(spec)}


def _config_tensor(spec: TensorSpec, batched: bool, model: Model | None = None) -> dict[str, Any]:
    kind = datatype(spec)
    dims = tensor_shape(spec)[1:] if batched else tensor_shape(spec)
    config: dict[str, Any] = {
        "name": spec.name, "data_type": f"TYPE_{kind}", "dims": dims,
    }  # fmt: skip
    pictures = None if model is None else model.predictor.preprocessing.pictures
    if pictures is not None and len(spec.axes) == 4 and batched:
        config["format"] = "FORMAT_NCHW" if pictures.channel_axis == 0 else "FORMAT_NHWC"
    return config


def datatype(spec: TensorSpec) -> str:
    """The protocol's name of a tensor's type."""
    return NAMES[spec.numpy_dtype]


def tensor_shape(spec: TensorSpec) -> list[int]:
    """A shape as the protocol says it: −1 for a dynamic axis."""
    return [axis if isinstance(axis, int) else -1 for axis in spec.axes]


def raw_shape(model: Model, size: int) -> tuple[str, str, tuple[int, ...]]:
    """Name, type and shape of a raw body: of a model's one input, a single sample.

    Raises:
        RefusalError: the model has several inputs, or the size does not say the shape.
    """
    spec, *others = model.inputs.values()
    shape = [1 if axis == BATCH else axis if isinstance(axis, int) else -1 for axis in spec.axes]
    known = spec.numpy_dtype.itemsize * math.prod(axis for axis in shape if axis >= 0)
    if others or shape.count(-1) > 1 or size % known:
        raise bad(
            f"a raw body does not say the shape of {len(model.inputs)} inputs of {model.name!r}"
        )
    return spec.name, datatype(spec), tuple(size // known if axis < 0 else axis for axis in shape)
