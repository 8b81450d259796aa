"""Static int8 quantization to a QDQ graph with ONNX Runtime's quantizer.

Not offered, each for a measured reason: QOperator, which drops a Relu after a MaxPool;
dynamic int8, whose outputs depend on the other rows of a batch; 8-bit weights, which give other results
on a processor without VNNI. The range of each tensor comes from calibration over training rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ptx.export.check.matrix import take_rows
from ptx.export.quantize.quality import LabelledDataset, predict
from ptx.export.quiet_loggers import quiet_loggers
from ptx.infer.errors import ArtifactError, InputError, pluralise
from ptx.infer.predictor import Predictor
from ptx.infer.signature import Array, Signature

MIN_ROWS = 100  # calibration rows
BATCH = 32  # rows of a calibration run, whose tensors are all held in memory
MIN_ACCURACY = 0.5  # of the float32 model on the calibration rows
QUANT_STEPS = 255  # in the range of a tensor
_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def quantize(content: bytes, signature: Signature, calibration: LabelledDataset) -> bytes:
    """An ONNX file that computes in int8, with tensor ranges from the calibration rows.

    Activations are unsigned. Weights are signed 7-bit, with a scale for each output channel. What is
    computed from the first output, such as the probabilities of `--embed-preprocessing`, stays float32.

    Raises:
        ArtifactError: E-EXPORT: no convolution or matrix product can compute in int8.
            E-NONFINITE: a tensor overflows.
    """
    import onnx
    from onnxruntime.quantization import QDQQuantizer, QuantType
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(content), data_prop=True)
    with quiet_loggers(""):  # the quantizer logs to the root logger
        ranges = find_ranges(model.SerializeToString(), signature, calibration)
        quantizer = QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=True,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=ranges,
            nodes_to_quantize=[],
            nodes_to_exclude=_downstream(model.graph, signature.outputs[0].name),
            op_types_to_quantize=sorted({*QDQRegistry, *QLinearOpsRegistry}),
            extra_options={},
        )
        quantizer.quantize_model()
    quantizer.model.topological_sort()
    quantized = quantizer.model.model
    if not _quantized_ops(quantized.graph):
        raise ArtifactError(
            "the graph has no convolution or matrix product that computes in int8 (recurrent layers do"
            " not): use --quantize-weights int8, which makes the file as small",
            code="E-EXPORT",
        )
    onnx.checker.check_model(quantized, full_check=True)
    result: bytes = quantized.SerializeToString(deterministic=True)
    return result


def _downstream(graph: Any, name: str) -> list[str]:
    """The names of the nodes that depend on that tensor."""
    dependent, nodes = {name}, []
    for node in graph.node:  # in topological order
        if dependent.intersection(node.input):
            dependent.update(node.output)
            nodes.append(node.name)
    return nodes


def _quantized_ops(graph: Any) -> int:
    """How many convolutions and products have dequantized inputs."""
    dequantized = {
        output
        for node in graph.node
        if node.op_type == "DequantizeLinear"
        for output in node.output
    }
    return sum(
        node.op_type in _PRODUCTS and dequantized.issuperset(node.input[:2]) for node in graph.node
    )


def check_calibration(predictor: Predictor, dataset: LabelledDataset) -> dict[str, float]:
    """Check that rows are suitable for calibration; returns the step of each float output.

    Args:
        predictor: The network in float32.

    Raises:
        InputError: E-DATA: there are too few rows, one class only, or they are rows of another model.
        ArtifactError: E-NONFINITE: the network's outputs are not finite.
    """
    if dataset.count < MIN_ROWS:
        raise InputError(
            f"{dataset.name} has {pluralise(dataset.count, 'row')} to calibrate on; expected at least"
            f" {MIN_ROWS}: ranges from fewer would be a guess",
            code="E-DATA",
        )
    ranges: dict[str, tuple[float, float]] = {}

    def extend_ranges(outputs: Mapping[str, Array]) -> None:
        for spec in predictor.signature.outputs:
            if spec.is_float:
                low, high = ranges.get(spec.name, (0.0, 0.0))
                output = outputs[spec.name]
                ranges[spec.name] = min(low, float(output.min())), max(high, float(output.max()))

    predictions = predict(predictor, dataset, extend_ranges)
    classes = np.unique(predictions.target)
    if len(classes) == 1:
        label = predictor.labels[int(classes[0])]
        raise InputError(
            f"all {pluralise(dataset.count, 'calibration row')} of {dataset.name} are of one class,"
            f" {label!r}: the ranges of the others would be cut off; give rows of all classes",
            code="E-DATA",
        )
    accuracy, majority = predictions.accuracy, predictions.majority_accuracy
    if accuracy < MIN_ACCURACY or accuracy <= majority:
        raise InputError(
            f"{predictor.manifest.model} is right for {100 * accuracy:.1f} % of the {dataset.count:,}"
            f" calibration rows of {dataset.name}, and the most frequent label for"
            f" {100 * majority:.1f} %: they are rows of another model, or it is untrained",
            code="E-DATA",
        )
    return {name: (high - low) / QUANT_STEPS for name, (low, high) in ranges.items()}


def find_ranges(content: bytes, signature: Signature, dataset: LabelledDataset) -> Any:
    """The minimum and maximum of each tensor over the rows, in the quantizer's form.

    Args:
        content: An ONNX file with inferred shapes.

    Raises:
        ArtifactError: E-NONFINITE: a tensor overflows.
    """
    from onnxruntime.quantization import CalibrationMethod, create_calibrator

    with tempfile.TemporaryDirectory(prefix="ptx-int8-") as folder:
        path = Path(folder, "float32.onnx")
        path.write_bytes(content)
        calibrator = create_calibrator(
            path,
            None,  # every operator
            augmented_model_path=str(Path(folder, "ranges.onnx")),
            calibrate_method=CalibrationMethod.MinMax,
        )
        calibrator.collect_data(_Reader(signature, dataset))
        ranges = calibrator.compute_data()
    for name, tensor_range in ranges.items():
        low, high = (float(np.min(end)) for end in tensor_range.range_value)
        if not np.isfinite((low, high)).all():
            raise ArtifactError(
                f"calibration overflows: tensor {name!r} ranges from {low:.3g} to {high:.3g} over"
                f" {dataset.name}, and int8 has no step for that: look for inputs that are not scaled",
                code="E-NONFINITE",
            )
    return ranges


class _Reader:
    """The calibrator's data reader: the next few rows, then None."""

    def __init__(self, signature: Signature, dataset: LabelledDataset) -> None:
        self._batches = _batches(signature, dataset)

    def get_next(self) -> dict[str, Array] | None:
        return next(self._batches, None)


def _batches(signature: Signature, dataset: LabelledDataset) -> Iterator[dict[str, Array]]:
    for inputs, targets in dataset.batches():
        for start in range(0, len(targets), BATCH):
            rows = np.arange(start, min(start + BATCH, len(targets)))
            yield take_rows(signature.inputs, inputs, rows)
