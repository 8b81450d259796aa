"""ONNX through the exporter of `torch.export`."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.export import ExportedProgram

from ptx.export.quiet_loggers import quiet_loggers
from ptx.export.recurrent_shapes import recurrent_shapes
from ptx.export.tracing import Traced, require_limits
from ptx.infer.backends.ort.failures import NEWEST_OPSET
from ptx.infer.errors import ArtifactError, UsageError
from ptx.infer.limits import Limits
from ptx.infer.ranges import OPSETS
from ptx.infer.signature import Signature, TensorSpec

# The newest opset for which ONNX Runtime 1.28 and 1.31 have CPU and CUDA kernels of every operator
# that the catalog needs: from 22 on MaxPool has none on CUDA (microsoft/onnxruntime#27715).
OPSET = 21
_NO_LIMIT = 2**63 - 1  # int64's maximum


def convert(traced: Traced, *, opset: int | None = None) -> bytes:
    """The network as one ONNX file, checked by `onnx.checker`, without the exporting machine's paths.

    Raises:
        UsageError: the exporter does not write that opset, or ONNX Runtime does not run it.
        ArtifactError: the graph's inputs or outputs differ from the signature; or something is bfloat16,
            which ONNX Runtime does not compute on the CPU.
    """
    import onnx

    signature = traced.signature
    _reject_bfloat16(traced.network, signature)
    opset = OPSET if opset is None else opset
    newest = min(NEWEST_OPSET, onnx.defs.onnx_opset_version())
    if not OPSETS.min <= opset <= newest:
        raise UsageError(f"opset {opset} cannot be written; expected {OPSETS.min} to {newest}")
    with (
        warnings.catch_warnings(),
        quiet_loggers("torch.onnx", "onnxscript"),
        recurrent_shapes(),
        _exact_no_ops(),
    ):
        warnings.simplefilter("ignore")  # the equivalence check decides, not the exporter
        model, program = _export(traced, opset)
    _strip(model)
    _write_defaults(model)
    mask_with_infinity(model)
    transform_in_double(model)
    enforce_limits(model, signature)
    written = {entry.domain: entry.version for entry in model.opset_import}
    if written.get("") != opset:  # a failed conversion keeps the old opset and only logs it
        raise UsageError(f"the exporter wrote opset {written.get('')} instead of {opset}")
    _check_axes(model.graph.input, signature.inputs)
    _check_axes(model.graph.output, signature.outputs)
    onnx.checker.check_model(model, full_check=True)
    traced.decomposed[opset] = program
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _export(traced: Traced, opset: int) -> tuple[Any, ExportedProgram]:
    """The model from the exporter over torch.export, with named axes, and its program."""
    from onnx_ir.passes import PassError

    from ptx.export.formats.onnx_recurrent import TRANSLATIONS

    signature = traced.signature
    export = functools.partial(
        torch.onnx.export,
        traced.require_program(),
        dynamo=True,
        dynamic_shapes=tuple(
            {place: axis for place, axis in enumerate(spec.axes) if isinstance(axis, str)}
            for spec in signature.inputs
        ),
        input_names=[spec.name for spec in signature.inputs],
        output_names=[spec.name for spec in signature.outputs],
        opset_version=opset,
        custom_translation_table=TRANSLATIONS,
        external_data=False,
        verbose=False,
    )
    try:
        program = export()
    except PassError:  # onnxscript 0.7.2 does not optimise a split into parts of symbolic sizes
        program = export(optimize=False)
    assert program is not None
    assert program.exported_program is not None
    require_limits(program.exported_program, traced)
    model = program.model_proto
    # Within the limits each symbolic size of an output is its axis: `Min(64, time)` from a table of 64
    # positions is the time. The trace has shown it.
    for value, spec in zip(model.graph.output, signature.outputs, strict=False):
        for dim, axis in zip(value.type.tensor_type.shape.dim, spec.axes, strict=False):
            if isinstance(axis, str) and dim.dim_param:
                dim.dim_param = axis
    return model, program.exported_program


def _reject_bfloat16(network: nn.Module, signature: Signature) -> None:
    """Reject bfloat16, for which ONNX Runtime has no arrays and few kernels."""
    named = [f"tensor {spec.name!r}" for spec in signature if spec.dtype == "bfloat16"]
    named += [
        f"weight {name!r}"
        for name, tensor in network.state_dict().items()
        if tensor.dtype == torch.bfloat16
    ]
    if named:
        raise ArtifactError(
            f"{named[0]} is bfloat16, which ONNX Runtime neither takes as an array nor computes on the"
            " CPU: export to torchscript or pt2, or convert the network with float() or half() and give"
            " float32 or float16 in the signature",
            code="E-EXPORT",
        )


def _strip(model: Any) -> None:
    """Drop the stack traces, which contain the source paths of this machine."""
    del model.metadata_props[:]
    model.graph.doc_string = ""
    del model.graph.metadata_props[:]
    for part in (
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
        *model.graph.initializer,
        *model.functions,
    ):
        del part.metadata_props[:]
        part.doc_string = ""
    for function in model.functions:
        for node in function.node:
            del node.metadata_props[:]
            node.doc_string = ""


def _write_defaults(model: Any) -> None:
    """Give each ConstantOfShape without a value a float32 zero: tract 2026.4 assumes float64."""
    import onnx

    zero = onnx.numpy_helper.from_array(np.zeros(1, np.float32))
    for node in model.graph.node:
        if node.op_type == "ConstantOfShape" and not node.attribute:
            node.attribute.append(onnx.helper.make_attribute("value", zero))


def _check_axes(values: Any, specs: tuple[TensorSpec, ...]) -> None:
    """Check that the graph has the names and axes of the signature: dynamic axes are dynamic."""
    actual = [
        (
            value.name,
            tuple(axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim),
        )
        for value in values
    ]
    expected = [(spec.name, spec.axes) for spec in specs]
    if actual != expected:
        raise ArtifactError(
            f"the exported graph has {actual}; the signature says {expected}", code="E-EXPORT-AXES"
        )


@contextmanager
def _exact_no_ops() -> Iterator[None]:
    """Have onnxscript drop `x + 0` and `x * 1` only where the constant is exactly 0 or 1.

    Its rewriter compares with `math.isclose` (rel_tol 1e-5, abs_tol 1e-8; see `Constant` in
    onnxscript/rewriter/_pattern_ir.py), so it also drops the `+ 1e-10` that keeps a division from 0 / 0.
    There is no option for it. If a later version has other attributes, its tolerances stay, and the
    equivalence check rejects files that are wrong because of them.
    """
    from onnxscript.rewriter.rules.common import _no_op

    names = ("_rel_tol", "_abs_tol")
    constants = [
        value
        for rule in _no_op.rules
        for node in getattr(rule, "_target_pattern", ())
        for value in node.inputs
        if all(hasattr(value, name) for name in names)
    ]
    before = [[getattr(value, name) for name in names] for value in constants]
    for value in constants:
        value._rel_tol = value._abs_tol = 0.0
    try:
        yield
    finally:
        for value, tolerances in zip(constants, before, strict=True):
            value._rel_tol, value._abs_tol = tolerances


def enforce_limits(model: Any, signature: Signature) -> None:
    """Make every runtime reject sizes outside the limits of the axes, also without ptx, as in Triton.

    An input is reshaped to its own shape clamped to the limits, which fails for a size outside of them,
    since the number of elements differs, as it does if the size is cut to a multiple. Within the limits
    nothing is copied.
    """
    from onnx import helper, numpy_helper

    graph, known = model.graph, dict(signature.limits)
    for spec in signature.inputs:
        limits = {axis: known.pop(axis) for axis in map(str, spec.axes) if axis in known}
        if not limits:
            continue
        name = f"ptx.limits.{spec.name}"
        found = [limits.get(axis, Limits(0)) for axis in map(str, spec.axes)]
        ends = {
            "least": [axis.minimum for axis in found],
            "most": [_NO_LIMIT if axis.maximum is None else axis.maximum for axis in found],
        }
        multiples = [axis.multiple for axis in found]
        if max(multiples) > 1:
            ends["multiple"] = multiples
        for end, sizes in ends.items():
            graph.initializer.append(
                numpy_helper.from_array(np.array(sizes, np.int64), f"{name}.{end}")
            )
        for node in graph.node:
            for index, tensor in enumerate(node.input):
                node.input[index] = name if tensor == spec.name else tensor
        steps = [
            ("Shape", [spec.name], f"{name}.shape"),
            ("Max", [f"{name}.shape", f"{name}.least"], f"{name}.raised"),
            ("Min", [f"{name}.raised", f"{name}.most"], f"{name}.sizes"),
        ]
        if "multiple" in ends:
            steps += [
                ("Div", [f"{name}.sizes", f"{name}.multiple"], f"{name}.count"),
                ("Mul", [f"{name}.count", f"{name}.multiple"], f"{name}.cut"),
            ]
        steps.append(("Reshape", [spec.name, steps[-1][2]], name))
        for index, (operator, inputs, output) in enumerate(steps):
            graph.node.insert(index, helper.make_node(operator, inputs, [output], name=output))


def transform_in_double(model: Any) -> None:
    """Compute each DFT of the graph in double.

    In float32 and for a length that is no power of 2, the error of ONNX Runtime 1.31 is 60 times
    PyTorch's.
    """
    from onnx import TensorProto, helper

    nodes = []
    for node in model.graph.node:
        if node.op_type != "DFT":
            nodes.append(node)
            continue
        values, result = node.input[0], node.output[0]
        node.input[0], node.output[0] = f"ptx.dft.{result}.values", f"ptx.dft.{result}"
        to_double = helper.make_node(
            "Cast", [values], [node.input[0]], name=node.input[0], to=TensorProto.DOUBLE
        )
        back = helper.make_node("CastLike", [node.output[0], values], [result], name=node.output[0])
        nodes += [to_double, node, back]
    if len(nodes) > len(model.graph.node):
        del model.graph.node[:]
        model.graph.node.extend(nodes)


def mask_with_infinity(model: Any) -> None:
    """Use −∞ in each `Where(mask, 0, min) → Add → Softmax → IsNaN` of the graph, as PyTorch does.

    PyTorch returns zeros for a query whose keys are all masked, such as a row of padding. onnxscript 0.7
    converts a boolean mask with the type's smallest number instead of −∞. The softmax of such a query is
    then uniform over all keys, so the node that replaces NaN by zeros has no effect.
    """
    from onnx import numpy_helper

    producers = {output: node for node in model.graph.node for output in node.output}
    constants = {item.name: item for item in model.graph.initializer}
    for node in model.graph.node:
        where = _find_mask(node, producers)
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


def _find_mask(node: Any, producers: Mapping[str, Any]) -> Any:
    """The mask's Where if this is an IsNaN after its softmax; None for other nodes."""
    for operator in ("IsNaN", "Softmax", "Add"):
        if node is None or node.op_type != operator:
            return None
        node = producers.get(node.input[-1])
    return node if node is not None and node.op_type == "Where" else None
