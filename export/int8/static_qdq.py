"""Static int8 in the form of QDQ: the one that ONNX Runtime neither breaks nor bends.

Not offered, each with a reason that was measured (docs/deploy.md): QOperator, which drops a Relu behind
a MaxPool; dynamic int8, where an answer depends on the other rows of its batch; weights of 8 whole bits,
with which a processor without VNNI answers otherwise. The range of each number that the network computes
is found by calibration, over rows that it was trained on.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ptx.export.int8.known_rows import Answers, KnownRows, answer
from ptx.infer.errors import ArtifactError, InputError, pluralise
from ptx.infer.predictor import Predictor
from ptx.infer.signature import Array, Signature

LEAST = 100  # rows: the largest number of fewer is a guess
AT_ONCE = 32  # rows of a run, whose numbers are all held in memory
HALF = 0.5
LEVELS = 255  # steps that a range is divided into
_MULTIPLYING = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def quantise(content: bytes, signature: Signature, calibration: KnownRows) -> bytes:
    """An ONNX file that computes in int8, with the ranges that its numbers have over the rows.

    Activations are unsigned, weights signed and of 7 bits, with a scale for each output channel. What is
    computed from the first output, such as the probabilities of `--embed-preprocessing`, stays float32.

    Raises:
        ArtifactError: E-EXPORT: it has no convolution or matrix that computes in int8.
            E-NONFINITE: a tensor overflows.
    """
    import onnx
    from onnxruntime.quantization import QDQQuantizer, QuantType
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(content), data_prop=True)
    with _quiet():
        ranges = find_ranges(model.SerializeToString(), signature, calibration)
        quantizer = QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=True,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=ranges,
            nodes_to_quantize=[],
            nodes_to_exclude=_behind(model.graph, signature.outputs[0].name),
            op_types_to_quantize=sorted({*QDQRegistry, *QLinearOpsRegistry}),
            extra_options={},
        )
        quantizer.quantize_model()
    quantizer.model.topological_sort()
    made = quantizer.model.model
    if not _counts_in_int8(made.graph):
        raise ArtifactError(
            "the graph has no convolution or matrix product that computes in int8 (recurrent layers do"
            " not): take --quantize-weights int8, which makes the file as small",
            code="E-EXPORT",
        )
    onnx.checker.check_model(made, full_check=True)
    quantised: bytes = made.SerializeToString(deterministic=True)
    return quantised


def _behind(graph: Any, name: str) -> list[str]:
    """The nodes that compute something from that tensor."""
    reached, nodes = {name}, []
    for node in graph.node:  # each stands behind those that it takes from
        if reached.intersection(node.input):
            reached.update(node.output)
            nodes.append(node.name)
    return nodes


def _counts_in_int8(graph: Any) -> int:
    """How many convolutions and products take what was an integer."""
    whole = {
        output
        for node in graph.node
        if node.op_type == "DequantizeLinear"
        for output in node.output
    }
    return sum(
        node.op_type in _MULTIPLYING and whole.issuperset(node.input[:2]) for node in graph.node
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantizer's remarks, which it gives to the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def check_calibration(predictor: Predictor, rows: KnownRows) -> dict[str, float]:
    """Refuse rows that say nothing of a network's ranges; the step of each of its float outputs.

    Args:
        predictor: The network in float32.

    Raises:
        InputError: E-DATA: too few rows, one class alone, or rows of another model.
        ArtifactError: E-NONFINITE: the network's answers are not finite.
    """
    if rows.count < LEAST:
        raise InputError(
            f"{rows.name} has {pluralise(rows.count, 'row')} to calibrate on; expected at least {LEAST}:"
            " the ranges of fewer would be a guess",
            code="E-DATA",
        )
    ranges: dict[str, tuple[float, float]] = {}

    def see(outputs: Mapping[str, Array]) -> None:
        for spec in predictor.signature.outputs:
            if spec.is_float:
                low, high = ranges.get(spec.name, (0.0, 0.0))
                got = outputs[spec.name]
                ranges[spec.name] = min(low, float(got.min())), max(high, float(got.max()))

    _check_answers(predictor, rows, answer(predictor, rows, see))
    return {name: (high - low) / LEVELS for name, (low, high) in ranges.items()}


def _check_answers(predictor: Predictor, rows: KnownRows, found: Answers) -> None:
    classes = np.unique(found.right)
    if len(classes) == 1:
        label = predictor.labels[int(classes[0])]
        raise InputError(
            f"all {pluralise(rows.count, 'calibration row')} of {rows.name} are of one class, {label!r}:"
            " what the others reach would be cut off; give rows of all classes",
            code="E-DATA",
        )
    if found.accuracy < HALF or found.accuracy <= found.most_frequent:
        raise InputError(
            f"{predictor.card.model} gives {100 * found.accuracy:.1f} % of the"
            f" {rows.count:,} calibration rows of {rows.name} right, and one label for all would give"
            f" {100 * found.most_frequent:.1f} %: they are rows of another model, or it is untrained",
            code="E-DATA",
        )


def find_ranges(content: bytes, signature: Signature, rows: KnownRows) -> Any:
    """The smallest and largest number of each tensor over the rows, as the quantizer takes them.

    Args:
        content: An ONNX file whose shapes are inferred.

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
        calibrator.collect_data(_Reader(signature, rows))
        ranges = calibrator.compute_data()
    for name, found in ranges.items():
        low, high = (float(np.min(end)) for end in found.range_value)
        if not np.isfinite((low, high)).all():
            raise ArtifactError(
                f"calibration overflows: tensor {name!r} reaches from {low:.3g} to {high:.3g} over"
                f" {rows.name}, and int8 has no step for that: look for numbers that are not scaled",
                code="E-NONFINITE",
            )
    return ranges


class _Reader:
    """The rows as the calibrator asks for them: a few at once, then None."""

    def __init__(self, signature: Signature, rows: KnownRows) -> None:
        self._parts = _parts(signature, rows)

    def get_next(self) -> dict[str, Array] | None:
        return next(self._parts, None)


def _parts(signature: Signature, rows: KnownRows) -> Iterator[dict[str, Array]]:
    for inputs, targets in rows.batches():
        for start in range(0, len(targets), AT_ONCE):
            stop = min(start + AT_ONCE, len(targets))
            yield {
                spec.name: np.ascontiguousarray(
                    np.take(inputs[spec.name], np.arange(start, stop), spec.batch_axis)
                )
                for spec in signature.inputs
            }
