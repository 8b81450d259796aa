"""The signature of a graph, for what a model spec does not specify.

A tensor that only the graph describes is `unchecked` (see `ptx.infer.signature.TensorSpec`): its batch
axis is found for messages and for tasks, but ONNX Runtime decides which shapes it accepts.
"""

from __future__ import annotations

from dataclasses import replace

from ptx.infer.errors import ArtifactError, InputError, did_you_mean
from ptx.infer.external.onnx_graph import Graph, GraphTensor
from ptx.infer.external.spec import ModelSpec
from ptx.infer.signature import ANY_SHAPE, BATCH, UNCHECKED_DTYPES, Axis, Signature, TensorSpec
from ptx.infer.tasks import TASKS

# Usual names of the batch axis, in lower case.
_BATCH_NAMES = ("batch", "batch_size", "batchsize", "n", "bs")
# Output types that ONNX Runtime returns as another NumPy dtype, and does not accept as inputs.
_RETURNED_AS = dict.fromkeys(("float8e4m3fn", "float8e4m3fnuz", "float8e5m2fnuz"), "uint8")


class GraphReader:
    """Reads the signature of one graph."""

    def __init__(self, file: str, graph: Graph, model_spec: ModelSpec) -> None:
        self.file, self.graph, self.model_spec = file, graph, model_spec
        self.fixed_batch_size: int | None = None  # of the graph; None if its batch is dynamic
        self._batch = _batch_axis_name(graph)
        self._has_decoder = TASKS[model_spec.task].has_decoder

    def signature(self) -> Signature:
        """All inputs, and all outputs or those that the model spec lists.

        Raises:
            ArtifactError: a tensor has a type that is not supported, or does not suit the task.
            InputError: E-SPEC: the model spec does not match the file.
        """
        inputs = self._inputs()
        if self._has_decoder and inputs and BATCH not in inputs[0].axes:
            raise self._unsupported_error(
                "input", self.graph.inputs[0], "it has no known batch axis"
            )
        signature = Signature(inputs, self._outputs(inputs))
        try:
            return signature.limit(self.model_spec.axes)
        except ValueError as error:
            raise self._mismatch_error("axes", f"do not match the graph: {error}") from error

    def _inputs(self) -> tuple[TensorSpec, ...]:
        by_name = {spec.name: spec for spec in self.model_spec.inputs}
        tensors = {tensor.name: tensor for tensor in self.graph.inputs}
        if by_name and set(by_name) != set(tensors):
            raise self._mismatch_error(
                "inputs", f"are {list(by_name)}; {self.file} has {list(tensors)}"
            )
        if not by_name:
            self.fixed_batch_size = self._read_batch_size()
            return tuple(self._read("input", tensor) for tensor in self.graph.inputs)
        specs = [self._merge_spec("inputs", spec, tensors[name]) for name, spec in by_name.items()]
        for spec in specs:
            axes = tensors[spec.name].axes
            if axes is not None and BATCH in spec.axes:
                self._fix_batch_size(spec, axes[spec.batch_axis])
        return tuple(specs)

    def _outputs(self, inputs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        tensors = {tensor.name: tensor for tensor in self.graph.outputs}
        for spec in self.model_spec.outputs:
            if spec.name not in tensors:
                raise self._mismatch_error(
                    "outputs", f"{spec.name!r}: {did_you_mean(spec.name, tensors)}"
                )
        input_axes = {axis for spec in inputs for axis in spec.axes}
        listed = [
            self._merge_spec("outputs", spec, tensors[spec.name], input_axes)
            for spec in self.model_spec.outputs
        ]
        specs = listed or [self._read("output", tensor) for tensor in self.graph.outputs]
        if self._has_decoder and specs[0].unchecked:
            specs[0] = self._fill(specs[0])
        return tuple(specs)

    def _read(self, what: str, tensor: GraphTensor) -> TensorSpec:
        """An unchecked tensor, with its batch axis if it has one."""
        dtype = _RETURNED_AS.get(tensor.type, tensor.type) if what == "output" else tensor.type
        if dtype.rpartition("(")[2].rstrip(")") not in UNCHECKED_DTYPES:
            raise self._unsupported_error(
                what, tensor, f"ptx supports {', '.join(UNCHECKED_DTYPES)}"
            )
        axes: tuple[int | str | None, ...] = (ANY_SHAPE,) if tensor.axes is None else tensor.axes
        batch = self._find_batch(axes)
        named_axes = tuple(
            BATCH if index == batch else axis or f"{tensor.name}_{index}"
            for index, axis in enumerate(axes)
        )
        return TensorSpec(tensor.name, dtype, named_axes, unchecked=True)

    def _find_batch(self, axes: tuple[int | str | None, ...]) -> int | None:
        if self._batch is not None and self._batch in axes:
            return axes.index(self._batch)
        if not axes or axes[0] == ANY_SHAPE:
            return None
        return 0 if self.fixed_batch_size == axes[0] or not isinstance(axes[0], int) else None

    def _read_batch_size(self) -> int | None:
        """The first size, if all inputs but scalars have the same and no output has another one.

        A tensor with another first size may be a state or a constant, which has no rows.
        """
        first_sizes = {
            axes[0] if axes else None for axes in (t.axes for t in self.graph.inputs) if axes != ()
        }
        size = first_sizes.pop() if len(first_sizes) == 1 else None
        outputs = [tensor.axes for tensor in self.graph.outputs if tensor.axes is not None]
        if any(not axes or (isinstance(axes[0], int) and axes[0] != size) for axes in outputs):
            return None
        return size if isinstance(size, int) else None

    def _fill(self, spec: TensorSpec) -> TensorSpec:
        """The output that a task decodes, with the size that follows from the labels."""
        axes = (BATCH, f"{spec.name}_1") if spec.axes == (ANY_SHAPE,) else spec.axes
        labels = len(self.model_spec.labels)
        named = replace(spec, axes=axes)
        if BATCH in axes and TASKS[self.model_spec.task].fits(named.sample_axes, labels):
            return named  # an embedding, which may have any size
        for size in (labels, 1) if axes and isinstance(axes[-1], str) else ():
            filled = replace(spec, axes=(*axes[:-1], size))
            fits = TASKS[self.model_spec.task].fits(filled.sample_axes, labels)
            if fits and BATCH in filled.axes:
                return filled
        return spec

    def _merge_spec(
        self,
        key: str,
        spec: TensorSpec,
        tensor: GraphTensor,
        input_axes: set[Axis] | None = None,
    ) -> TensorSpec:
        """The tensor of the model spec, after a check that it matches that of the graph.

        It is unchecked if it has no batch, or if it is an output with an axis that no input has.

        Args:
            input_axes: All axes of the inputs, if the tensor is an output.
        """
        axes = tensor.axes if tensor.axes is not None else spec.axes
        matches = len(axes) == len(spec.axes) and all(
            not isinstance(axis, int) or specified in (axis, BATCH)
            for axis, specified in zip(axes, spec.axes, strict=False)
        )
        if tensor.type not in UNCHECKED_DTYPES:
            raise self._unsupported_error(
                key[:-1], tensor, f"ptx supports {', '.join(UNCHECKED_DTYPES)}"
            )
        if tensor.type != spec.dtype or not matches:
            raise self._mismatch_error(
                f"{key}.{spec.name}",
                f"is {spec.dtype} {spec.describe()}; {self.file} has {tensor.describe()}",
            )
        has_own_axis = input_axes is not None and any(
            isinstance(axis, str) and axis not in input_axes for axis in spec.axes
        )
        return replace(spec, unchecked=has_own_axis or spec.axes.count(BATCH) != 1)

    def _fix_batch_size(self, spec: TensorSpec, size: int | str | None) -> None:
        if not isinstance(size, int):
            return
        if self.fixed_batch_size not in (None, size):
            raise ArtifactError(
                f"{self.file}: input {spec.name!r} has a fixed batch of {size}, and another input one of"
                f" {self.fixed_batch_size}; expected the same",
                code="E-ONNX-SIGNATURE",
            )
        self.fixed_batch_size = size

    def _unsupported_error(self, what: str, tensor: GraphTensor, why: str) -> ArtifactError:
        remedy = (
            "list the other outputs in a model spec"
            if what == "output"
            else "describe all inputs in a model spec"
            if tensor.type in UNCHECKED_DTYPES
            else "ptx cannot run the file"
        )
        return ArtifactError(
            f"{self.file}: {what} {tensor.name!r} is {tensor.describe()}, and {why}: {remedy}",
            code="E-ONNX-SIGNATURE",
        )

    def _mismatch_error(self, key: str, what: str) -> InputError:
        return InputError(f"{self.model_spec.origin}: {key} {what}", code="E-SPEC")


def _batch_axis_name(graph: Graph) -> str | None:
    """The graph's name of the batch axis: a usual one, else the first name of a first axis."""
    names = [axis for tensor in graph.inputs for axis in tensor.axes or () if isinstance(axis, str)]
    for usual in _BATCH_NAMES:
        if match := next((name for name in names if name.lower() == usual), None):
            return match
    first_axes = [tensor.axes[0] for tensor in graph.inputs if tensor.axes]
    return next((axis for axis in first_axes if isinstance(axis, str)), None)
