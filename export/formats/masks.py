"""Masked attention in ONNX, computed as PyTorch computes it.

PyTorch answers zeros for a query that may look at nothing: a row of padding alone. onnxscript 0.7 writes
a mask of bools as the least number of the type in the place of −∞, so that the softmax of such a query
shares itself out over all keys, and the node behind it that turns NaN into zeros finds none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def mask_with_infinity(model: Any) -> None:
    """Have each `Where(mask, 0, least) → Add → Softmax → IsNaN` of the graph take −∞."""
    from onnx import numpy_helper

    makers = {output: node for node in model.graph.node for output in node.output}
    constants = {item.name: item for item in model.graph.initializer}
    for node in model.graph.node:
        where = _find_mask(node, makers)
        if where is None or where.input[2] not in constants:
            continue
        least = numpy_helper.to_array(constants[where.input[2]])
        if least.dtype.kind != "f" or (least != np.finfo(least.dtype).min).any():
            continue
        name = f"ptx.minus_infinity.{least.dtype}"
        if name not in constants:
            constants[name] = numpy_helper.from_array(np.full_like(least, -np.inf), name)
            model.graph.initializer.append(constants[name])
        where.input[2] = name


def _find_mask(node: Any, makers: Mapping[str, Any]) -> Any:
    """The Where of the mask whose softmax this node asks for NaN; None where it is another node."""
    for operator in ("IsNaN", "Softmax", "Add"):
        if node is None or node.op_type != operator:
            return None
        node = makers.get(node.input[-1])
    return node if node is not None and node.op_type == "Where" else None
