"""Rounded weights in an ONNX file: float16 behind a Cast, int8 behind a Cast and a Mul.

Every runtime computes these once, when it opens the file, and runs it in float32 as before. Not so of
DequantizeLinear, which ONNX Runtime keeps: 0.4 to 0.9 of the speed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ptx.export.formats.rounding import CODES, LEAST
from ptx.infer.errors import ArtifactError
from ptx.infer.signature import Array

# Of a weight, by which a product of float32 may be off where the exporter has folded a factor of each
# channel into it, that of a batch normalisation; the proof is of the numbers as they are stored.
_ROUNDING = 2.0**-22


def store(content: bytes, form: str, weights: Mapping[str, Array]) -> bytes:
    """An ONNX file with its weights in `form`; those that are not of its numbers stay float32.

    Args:
        weights: Of the rounded network, by name.

    Raises:
        ArtifactError: not one of them stands in the graph.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(content)
    nodes: list[Any] = []
    for initializer in list(model.graph.initializer):
        if initializer.data_type != onnx.TensorProto.FLOAT or len(initializer.dims) < 2:
            continue
        name, numbers = initializer.name, numpy_helper.to_array(initializer)
        found = _find_codes(numbers, form, weights.get(name)) if numbers.size >= LEAST else None
        if found is not None:
            parts = {f"{name}.{form}": found[0], f"{name}.scale": found[1]}
            model.graph.initializer.remove(initializer)
            model.graph.initializer.extend(
                numpy_helper.from_array(part, key)
                for key, part in parts.items()
                if part is not None
            )
            nodes += _restore(name, form, scaled=found[1] is not None)
    if not nodes:
        raise ArtifactError(
            f"the graph holds none of the network's weights as they were rounded to {form}: the exporter"
            " has computed with them (weight_norm and the like; remove it before the export)",
            code="E-EXPORT",
        )
    whole = [*nodes, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(whole)
    onnx.checker.check_model(model, full_check=True)
    stored: bytes = model.SerializeToString(deterministic=True)
    return stored


def _restore(name: str, form: str, *, scaled: bool) -> Iterator[Any]:
    """The nodes that make the float32 weight `name` again."""
    from onnx import TensorProto, helper

    plain = f"{name}.float32" if scaled else name
    yield helper.make_node(
        "Cast", [f"{name}.{form}"], [plain], f"{name}.cast", to=TensorProto.FLOAT
    )
    if scaled:
        yield helper.make_node("Mul", [plain, f"{name}.scale"], [name], f"{name}.mul")


def _find_codes(numbers: Array, form: str, own: Array | None) -> tuple[Array, Array | None] | None:
    """The numbers in the form, and the scales behind it; None where they are no such numbers."""
    if not np.isfinite(numbers).all():
        return None
    if form == "int8":
        return _find_int8(numbers)
    with np.errstate(over="ignore"):
        half = numbers.astype(np.float16)
    if np.array_equal(half.astype(np.float32), numbers):
        return half, None
    return None if own is None or own.shape != numbers.shape else _find_factor(numbers, own)


def _find_int8(numbers: Array) -> tuple[Array, Array] | None:
    """Codes and scales: the channels lie along one axis, or in several layers along all but one."""
    axes = range(numbers.ndim)
    kept = [{axis} for axis in axes] + [set(axes) - {axis} for axis in reversed(axes)]
    for channels in kept:
        others = tuple(axis for axis in axes if axis not in channels)
        largest = np.abs(numbers).max(axis=others, keepdims=True)
        scale = np.where(largest > 0, largest / np.float32(CODES), np.float32(1))
        codes = np.rint(numbers / scale)
        if _nearly(codes * scale, numbers):
            return codes.astype(np.int8), scale
    return None


def _find_factor(numbers: Array, own: Array) -> tuple[Array, Array] | None:
    """The network's weight in float16, and the factor of each channel that the exporter put into it."""
    rows = own.reshape(len(own), -1)
    place = np.abs(rows).argmax(axis=1)[:, np.newaxis]
    largest = np.take_along_axis(rows, place, axis=1)
    behind = np.take_along_axis(numbers.reshape(rows.shape), place, axis=1)
    factor = np.divide(behind, largest, out=np.zeros_like(behind), where=largest != 0)
    factor = factor.reshape(-1, *[1] * (own.ndim - 1))
    return (own.astype(np.float16), factor) if _nearly(own * factor, numbers) else None


def _nearly(product: Array, numbers: Array) -> bool:
    return bool((np.abs(product - numbers) <= _ROUNDING * np.abs(numbers)).all())
