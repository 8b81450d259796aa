"""The config.pbtxt of a model, which Triton reads before it opens the file.

Source: https://github.com/triton-inference-server/common/blob/main/protobuf/model_config.proto.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ptx.infer import Manifest, TensorSpec
from ptx.infer.errors import ArtifactError
from ptx.infer.preprocessing import Preprocessing

MAX_BATCH = 64  # rows that Triton may batch
LABELS = "labels.txt"
TYPES = {
    "bool": "TYPE_BOOL",
    "uint8": "TYPE_UINT8",
    "int8": "TYPE_INT8",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float16": "TYPE_FP16",
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
}
KINDS = {"cpu": "KIND_CPU", "cuda": "KIND_GPU"}

# Dynamic batching has no `max_queue_size`: with it Triton 2.51 sometimes stalls for half a second.
Message = Mapping[str, Any]


class EnumLiteral(str):
    """A value of an enumeration, which is written without quotes."""


def model_config(
    manifest: Manifest, preprocessing: Preprocessing, device: str, *, small: bool
) -> Message:
    """The configuration of the graph: tensors in and out, on Triton's ONNX Runtime backend.

    Args:
        device: A key of KINDS.
        small: Whether the graph is so small that a second thread slows it down.

    Raises:
        ArtifactError: a tensor has a type for which Triton's clients have no array.
    """
    batches = supports_batching(manifest)
    inputs = [_tensor(spec, batches) for spec in manifest.signature.inputs]
    outputs = [_tensor(spec, batches) for spec in manifest.signature.outputs]
    if has_labels(manifest):
        outputs[0]["label_filename"] = LABELS
    image_spec = preprocessing.image_spec
    if image_spec is not None and image_spec.channels and batches and len(inputs[0]["dims"]) == 3:
        inputs[0]["format"] = EnumLiteral(
            "FORMAT_NHWC" if image_spec.channel_axis else "FORMAT_NCHW"
        )
    message: dict[str, Any] = {
        "name": manifest.model,
        "backend": "onnxruntime",
        "max_batch_size": MAX_BATCH if batches else 0,
        "input": inputs,
        "output": outputs,
        "instance_group": [{"kind": EnumLiteral(KINDS[device]), "count": 1}],
    }
    if batches:
        message["dynamic_batching"] = {}
    if device == "cuda":  # as ort-cuda: no TF32, no algorithm search at each new shape
        tf32 = {"key": "use_tf32", "value": "0"}
        cuda = {"name": "cuda", "parameters": [tf32]}
        message["optimization"] = {"execution_accelerators": {"gpu_execution_accelerator": [cuda]}}
        message["parameters"] = [_parameter("cudnn_conv_algo_search", "1")]
    elif small:
        message["parameters"] = [_parameter("intra_op_thread_count", "1")]
    return message


def predict_config(manifest: Manifest, raw_input: str, name: str) -> Message:
    """The configuration of the predictions: a raw input as bytes in, labels with scores or a value out.

    Args:
        raw_input: The name of the input: `picture`, `text`, `row`.
        name: The name of this model in the repository.
    """
    if manifest.task == "regression":
        outputs = [_tensor_config("value", "TYPE_FP64", 1)]
    else:
        outputs = [
            _tensor_config("label", "TYPE_STRING", 1),
            _tensor_config("score", "TYPE_FP64", 1),
            _tensor_config("top_labels", "TYPE_STRING", -1),
            _tensor_config("top_scores", "TYPE_FP64", -1),
        ]
    return {
        "name": name,
        "backend": "python",
        "max_batch_size": MAX_BATCH,
        "input": [_tensor_config(raw_input, "TYPE_STRING", 1)],
        "output": outputs,
        "instance_group": [{"kind": EnumLiteral("KIND_CPU"), "count": 1}],
        "dynamic_batching": {},
    }


def supports_batching(manifest: Manifest) -> bool:
    """Whether Triton can batch rows: the batch axis is always first, and each input has another axis."""
    first = all(spec.batch_axis == 0 for spec in manifest.signature)
    return first and all(len(spec.axes) > 1 for spec in manifest.signature.inputs)


def has_labels(manifest: Manifest) -> bool:
    """Whether the first output has a value for each label."""
    return manifest.signature.outputs[0].sample_axes == (len(manifest.labels),)


def to_text(message: Message, indent: str = "") -> str:
    """The message in protobuf's text format."""
    return "".join(f"{indent}{line}\n" for line in _lines(message))


def _lines(message: Message) -> Iterator[str]:
    for key, value in message.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):
                yield f"{key} {{"
                yield from (f"  {line}" for line in _lines(item))
                yield "}"
            elif isinstance(item, EnumLiteral) or not isinstance(item, str):
                yield f"{key}: {item}"
            else:
                yield f"{key}: {json.dumps(item, ensure_ascii=False)}"


def _tensor(spec: TensorSpec, batches: bool) -> dict[str, Any]:
    if spec.dtype not in TYPES:
        raise ArtifactError(
            f"the tensor {spec.name!r} is {spec.dtype}, for which Triton's clients have no array;"
            f" expected {', '.join(TYPES)}",
            code="E-TRITON",
        )
    axes = spec.sample_axes if batches else spec.axes
    dims = [axis if isinstance(axis, int) else -1 for axis in axes]
    entry: dict[str, Any] = {
        "name": spec.name,
        "data_type": EnumLiteral(TYPES[spec.dtype]),
        "dims": dims,
    }
    if not dims:  # one value a row: Triton requires an axis, and removes it again for the graph
        entry |= {"dims": [1], "reshape": {"shape": []}}
    return entry


def _tensor_config(name: str, data_type: str, size: int) -> dict[str, Any]:
    return {"name": name, "data_type": EnumLiteral(data_type), "dims": [size]}


def _parameter(key: str, value: str) -> Message:
    return {"key": key, "value": {"string_value": value}}
