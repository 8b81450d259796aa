"""An ONNX file of another tool as a model that can be compared, and made into an artifact.

The reference is the graph itself in float64, computed by the evaluator of the `onnx` package. If the
evaluator cannot run an operator, the reference is ONNX Runtime without optimizations, in the graph's
own precision.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ptx.export.check.equivalence import EquivalenceCheck
from ptx.export.check.matrix import sample_size
from ptx.export.check.reference import FLOAT64, Reference
from ptx.export.check.tolerance import FACTOR
from ptx.export.formats import EXPORTERS
from ptx.export.golden import with_golden
from ptx.export.pipeline import ExportCandidate, VerifiedExport, verify_candidate
from ptx.export.source import TrainedModel
from ptx.infer.artifact.artifact import Artifact, parse_artifact
from ptx.infer.artifact.files import check_writable
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.backends.ort.cpu import import_onnxruntime
from ptx.infer.errors import ArtifactError, UsageError
from ptx.infer.external.adapter import adapt_artifact
from ptx.infer.external.spec import ModelSpec
from ptx.infer.signature import ANY_SHAPE, BATCH, DTYPES, Array, Axis, Signature, TensorSpec

_UNOPTIMIZED = "ONNX Runtime without optimizations"
# A larger file or row gets the short test matrix: the evaluator takes seconds for a photograph.
_SHORT_BYTES, _SHORT_ELEMENTS = 2**20, 2**14
# Batches and other sizes in two runs that show how the shapes of the outputs depend on the inputs.
_BATCHES = (2, 3)
_LENGTHS = ((8, 10, 12, 14), (9, 11, 13, 15))


def read_external(artifact: Artifact, model_spec: ModelSpec | None = None) -> ExternalOnnx:
    """An ONNX file as a model that can be compared and adopted.

    Args:
        artifact: With or without a manifest.
        model_spec: Describes a file without a manifest; None: its inputs and outputs are arrays.

    Raises:
        UsageError: it is not an ONNX file, or has both a manifest and a spec.
        ArtifactError: E-ONNX-SIGNATURE: its inputs and outputs cannot be checked: a sequence, no batch
            axis, a fixed batch, or an output whose size depends on values.
    """
    if not artifact.format.accepts_spec:
        raise UsageError(f"{artifact.name} is {artifact.format.noun}; expected an ONNX file")
    if artifact.external_data:
        artifact = replace(artifact, data=_join_external_data(artifact), external_data={})
    if artifact.manifest is not None and model_spec is None:
        return _make_model(artifact, artifact.manifest)
    model_spec = model_spec or ModelSpec()
    adapted = adapt_artifact(artifact, model_spec)
    original, fixed_batch_size = artifact, adapted.fixed_batch_size
    if fixed_batch_size is not None:
        artifact = replace(artifact, data=_free_batch(artifact.data, fixed_batch_size))
        adapted = adapt_artifact(artifact, model_spec)
    signature = _checked_signature(artifact, adapted.manifest.signature, fixed_batch_size)
    if fixed_batch_size is not None:
        _require_same_outputs(original, artifact.data, signature, fixed_batch_size)
    digest = hashlib.sha256(artifact.data).hexdigest()
    return _make_model(
        artifact, replace(adapted.manifest, signature=signature, weights_sha256=digest)
    )


def _make_model(artifact: Artifact, manifest: Manifest) -> ExternalOnnx:
    network = OnnxNetwork(artifact.data, manifest.signature)
    return ExternalOnnx(network, manifest, {}, content=artifact.data)


def adopt(
    artifact: Artifact,
    path: str | Path,
    model_spec: ModelSpec | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> VerifiedExport:
    """Make an artifact from an ONNX file of another tool: add a manifest with golden samples.

    Its graph and weights do not change. ONNX Runtime's outputs are verified against the reference, as
    for an export.

    Args:
        artifact: Without a manifest.
        path: The artifact to write.
        model_spec: As in `read_external`.
        progress: As in `ptx.export.pipeline.export`.

    Raises:
        UsageError, ArtifactError: as `read_external`.
        AgreementError: the outputs of ONNX Runtime disagree with the reference.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    if artifact.manifest is not None:
        raise UsageError(f"{artifact.name} already has a manifest: use it as it is")
    check_writable(path)
    model = read_external(artifact, model_spec)
    check = model.equivalence_check
    check.set_progress(progress)
    check.check_network()
    versions = {package: importlib.metadata.version(package) for package in ("ptx-toolkit", "onnx")}
    manifest = replace(model.manifest, versions=versions)
    manifest = with_golden(manifest, check, (), len(model.content))
    candidate = ExportCandidate("onnx", model.content, manifest, EXPORTERS["onnx"].embed_manifest)
    return replace(candidate, manifest=verify_candidate(candidate, model, path)).write(path, None)


@dataclass(frozen=True)
class ExternalOnnx(TrainedModel):
    """A model whose only source is an ONNX file.

    Attributes:
        content: The file without a manifest.
    """

    content: bytes = b""

    @property
    def limited_manifest(self) -> Manifest:
        return self.manifest

    def to_artifact(self, path: Path) -> Artifact:
        """The file with its manifest, as an artifact in memory."""
        data = EXPORTERS["onnx"].embed_manifest(self.content, self.manifest.to_json())
        return parse_artifact(data, path=path)

    @cached_property
    def equivalence_check(self) -> EquivalenceCheck:
        signature = self.manifest.signature
        large = len(self.content) > _SHORT_BYTES or sample_size(signature) > _SHORT_ELEMENTS
        return _OnnxCheck(self.network, signature, short=large)


class OnnxNetwork(nn.Module):
    """The graph of an ONNX file as a network without parameters.

    It runs on ONNX Runtime without optimizations; after `double`, on the evaluator of the `onnx`
    package, with all floats in float64.
    """

    def __init__(self, content: bytes, signature: Signature) -> None:
        super().__init__()
        self._content, self._signature = content, signature
        self._run: Callable[[dict[str, Array]], list[Any]] | None = None
        self._in_float64 = False

    def __deepcopy__(self, memo: dict[int, Any]) -> OnnxNetwork:
        copied = OnnxNetwork(self._content, self._signature)
        return copied.double() if self._in_float64 else copied

    def double(self) -> OnnxNetwork:
        """The same graph in float64."""
        self._run, self._in_float64 = None, True
        return self

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The outputs for the inputs, both in the order of the signature."""
        if self._run is None:
            names = [spec.name for spec in self._signature.outputs]
            open_graph = open_evaluator if self._in_float64 else _open_session
            self._run = open_graph(self._content, names)
        specs = self._signature.inputs
        feeds = {spec.name: tensor.numpy() for spec, tensor in zip(specs, tensors, strict=True)}
        return tuple(torch.from_numpy(np.asarray(output)) for output in self._run(feeds))


class _OnnxCheck(EquivalenceCheck):
    """The equivalence check against the graph in float64."""

    def __init__(self, network: nn.Module, signature: Signature, *, short: bool) -> None:
        super().__init__(network, signature, {})
        self.reference = _OnnxReference(network, signature)
        self._is_short = short

    @property
    def name(self) -> str:
        return "the graph in float64" if self.reference.name == FLOAT64 else _UNOPTIMIZED

    @cached_property
    def _short(self) -> bool:
        return self._is_short


class _OnnxReference(Reference):
    @property
    def own_name(self) -> str:
        return _UNOPTIMIZED

    def errors(
        self, inputs: Mapping[str, Array], exact: Mapping[str, Array], eager: Mapping[str, Array]
    ) -> dict[str, Array]:
        """As for a network; without float64, the largest errors that give a valid tolerance."""
        if self.name == FLOAT64:
            return super().errors(inputs, exact, eager)
        relative = self.precision.ceiling / FACTOR
        return {
            spec.name: np.full_like(exact[spec.name], relative * np.abs(exact[spec.name]).max())
            for spec in self._signature.outputs
            if spec.is_float
        }


def _open_session(content: bytes, names: list[str]) -> Callable[[dict[str, Array]], list[Any]]:
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # fatal: errors are raised as exceptions
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(feeds: dict[str, Array]) -> list[Any]:
        outputs: list[Any] = session.run(names, feeds)
        return outputs

    return run


def open_evaluator(content: bytes, names: list[str]) -> Callable[[dict[str, Array]], list[Any]]:
    """A function that computes the outputs `names` of a graph in float64, from arrays by input."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    model = onnx.load_model_from_string(content)
    _to_float64(model.graph)
    evaluator = ReferenceEvaluator(model)

    def run(feeds: dict[str, Array]) -> list[Any]:
        with np.errstate(all="ignore"):  # results that are not finite are rejected later
            return list(evaluator.run(names, feeds))

    return run


def _to_float64(graph: Any) -> None:
    """Make every float of a graph float64: weights, constants, inputs, outputs, casts."""
    from onnx import AttributeProto, TensorProto

    floats = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16}
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type in floats:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    tensors = [item.t for item in attributes if item.type == AttributeProto.TENSOR]
    for tensor in (*graph.initializer, *tensors):
        if tensor.data_type in floats:
            _tensor_to_float64(tensor)
    for attribute in attributes:
        if attribute.type == AttributeProto.GRAPH:
            _to_float64(attribute.g)
        elif attribute.name in ("to", "dtype") and attribute.i in floats:
            attribute.i = TensorProto.DOUBLE


def _tensor_to_float64(tensor: Any) -> None:
    from onnx import numpy_helper

    array = numpy_helper.to_array(tensor).astype(np.float64)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _join_external_data(artifact: Artifact) -> bytes:
    """The file including the weights that are in other files.

    Raises:
        ArtifactError: E-ONNX-EXTERNAL: together they are larger than 2 GiB, the limit of one file.
    """
    import onnx
    from google.protobuf.message import EncodeError

    try:
        joined: bytes = onnx.load(artifact.path).SerializeToString()
    except (EncodeError, ValueError) as error:
        raise ArtifactError(
            f"{artifact.name}: its weights do not fit into one file, which has at most 2 GiB; use"
            " `ptx run` or `ptx predict --spec`, which accept several files",
            code="E-ONNX-EXTERNAL",
        ) from error
    return joined


def _free_batch(content: bytes, size: int) -> bytes:
    """The same graph with a dynamic batch: the first axis of its inputs, outputs and reshapes.

    Whether it computes other batches correctly is checked later, as for any graph.

    Args:
        size: The fixed batch of the graph.
    """
    import onnx

    model = onnx.load_model_from_string(content)
    del model.graph.value_info[:]
    weights = {tensor.name for tensor in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.output):
        shape = value.type.tensor_type.shape
        if value.name not in weights and shape.dim:
            shape.dim[0].dim_param = BATCH
    _free_reshapes(model.graph, size)
    freed: bytes = model.SerializeToString()
    return freed


def _free_reshapes(graph: Any, size: int) -> None:
    """Make each Reshape to (size, …) infer the first axis, or else copy it from its input (0)."""
    from onnx import numpy_helper

    constants = {
        node.output[0]: node.attribute[0].t
        for node in graph.node
        if node.op_type == "Constant" and node.attribute[0].name == "value"
    }
    constants |= {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        target = constants.get(node.input[1]) if node.op_type == "Reshape" else None
        if target is None:
            continue
        shape = numpy_helper.to_array(target).copy()
        zero_is_size = any(item.name == "allowzero" and item.i for item in node.attribute)
        inferred = -1 in shape
        if len(shape) > 1 and shape[0] == size and not (inferred and zero_is_size):
            shape[0] = 0 if inferred else -1
            name = f"{node.output[0]}.{BATCH}"
            graph.initializer.append(numpy_helper.from_array(shape, name))
            node.input[1] = name


def _require_same_outputs(
    artifact: Artifact, freed: bytes, signature: Signature, size: int
) -> None:
    """Check that the graph still computes the same after its batch was made dynamic."""
    inputs = signature.example(signature.equal_sizes(_LENGTHS[0][0], batch=size))
    names = [spec.name for spec in signature.outputs]
    fixed, dynamic = (_open_session(data, names)(inputs) for data in (artifact.data, freed))
    if any(not np.array_equal(old, new) for old, new in zip(fixed, dynamic, strict=True)):
        raise _signature_error(artifact, f"its graph computes only batches of {size}")


def _checked_signature(
    artifact: Artifact, signature: Signature, fixed_batch_size: int | None
) -> Signature:
    """The signature of a file with all axes; those of the outputs are found by two runs.

    Args:
        fixed_batch_size: The batch of the file before it was made dynamic; None: it was dynamic.
    """
    if not signature.unchecked:
        return signature
    inputs = tuple(_checked_input(artifact, spec) for spec in signature.inputs)
    hint = (
        ""
        if fixed_batch_size is None
        else f"; if its graph fixes the batch of {fixed_batch_size}, export it again with a dynamic one"
        " (dynamic_shapes of torch.onnx.export)"
    )
    runs = [_run_once(artifact, signature, inputs, run, hint) for run in range(2)]
    outputs = []
    for spec in signature.outputs:
        shapes = [outputs_of_run[spec.name] for _, outputs_of_run in runs]
        if len({len(shape) for shape in shapes}) > 1:
            raise _signature_error(artifact, f"output {spec.name!r} has no fixed number of axes")
        axes = tuple(
            _output_axis(artifact, spec.name, sizes, [input_sizes for input_sizes, _ in runs])
            for sizes in zip(*shapes, strict=True)
        )
        outputs.append(TensorSpec(spec.name, spec.dtype, axes))
    try:
        return Signature(inputs, tuple(outputs), signature.limits)
    except ValueError as error:
        raise _signature_error(artifact, str(error)) from error


def _checked_input(artifact: Artifact, spec: TensorSpec) -> TensorSpec:
    if spec.dtype not in DTYPES or ANY_SHAPE in spec.axes or spec.axes.count(BATCH) != 1:
        raise _signature_error(
            artifact,
            f"input {spec.name!r} is {spec.dtype} {spec.describe()}; expected one of"
            f" {', '.join(DTYPES)} with one batch axis",
        )
    return replace(spec, unchecked=False)


def _run_once(
    artifact: Artifact, signature: Signature, inputs: tuple[TensorSpec, ...], run: int, hint: str
) -> tuple[dict[str, int], dict[str, tuple[int, ...]]]:
    """Run the file once: the sizes of the inputs' axes, and the shapes of the outputs by name."""
    axes = dict.fromkeys(axis for spec in inputs for axis in spec.axes if isinstance(axis, str))
    free = [axis for axis in axes if axis != BATCH]
    lengths = _LENGTHS[run]
    sizes = {axis: lengths[index % len(lengths)] for index, axis in enumerate(free)}
    sizes |= {axis: signature.clamp(axis, sizes[axis]) for axis in signature.limits}
    sizes[BATCH] = _BATCHES[run]
    network = OnnxNetwork(artifact.data, replace(signature, inputs=inputs))
    example = Signature(inputs, inputs).example(sizes)
    try:
        outputs = network(*(torch.from_numpy(example[spec.name]) for spec in inputs))
    except Exception as error:  # ONNX Runtime raises exceptions of many classes
        integers = [spec.name for spec in inputs if spec.numpy_dtype.kind in "iu"]
        if integers:
            hint += (
                f"; if the integers of {integers[0]!r} have a range, specify it in a model spec:"
                ' ["int64", ["batch", "time"], [0, 99]]'
            )
        raise _signature_error(
            artifact,
            f"it fails on random inputs with {', '.join(f'{k} {v}' for k, v in sizes.items())}:"
            f" {' '.join(str(error).split())[:200]}{hint}",
        ) from error
    names = [spec.name for spec in signature.outputs]
    return sizes, {name: tuple(output.shape) for name, output in zip(names, outputs, strict=True)}


def _output_axis(
    artifact: Artifact, name: str, sizes: tuple[int, ...], input_sizes: list[dict[str, int]]
) -> Axis:
    """The axis of an output that had these sizes in the runs."""
    for axis in input_sizes[0]:
        if all(run[axis] == size for run, size in zip(input_sizes, sizes, strict=True)):
            return axis
    for axis in input_sizes[0]:
        factor = sizes[0] // input_sizes[0][axis]
        if axis != BATCH and all(
            run[axis] * factor == size for run, size in zip(input_sizes, sizes, strict=True)
        ):
            return f"{factor}*{axis}"
    if len(set(sizes)) == 1:
        return sizes[0]
    raise _signature_error(
        artifact,
        f"output {name!r} has an axis of size {sizes[0]} or {sizes[1]}, which is not that of any input",
    )


def _signature_error(artifact: Artifact, why: str) -> ArtifactError:
    return ArtifactError(
        f"{artifact.name}: {why}; describe its inputs and outputs with --spec, or use `ptx run` or"
        " `ptx predict --spec`, which do not need this",
        code="E-ONNX-SIGNATURE",
    )
