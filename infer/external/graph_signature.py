"""The signature of a graph, as far as a model spec does not give it.

What the graph alone says is `unchecked` (see `ptx.infer.signature.TensorSpec`): its batch is found for
people and for tasks, and ONNX Runtime decides what it runs.
"""

from __future__ import annotations

from dataclasses import replace

from ptx.infer.errors import ArtifactError, InputError, did_you_mean
from ptx.infer.external.onnx_graph import Graph, GraphTensor
from ptx.infer.external.spec import ModelSpec
from ptx.infer.signature import ANY_SHAPE, BATCH, UNCHECKED_DTYPES, Axis, Signature, TensorSpec
from ptx.infer.tasks import TASKS

_BATCHES = ("batch", "batch_size", "batchsize", "n", "bs")  # what others call it, in small letters
# The types that ONNX Runtime gives to NumPy as another one, and takes from nothing.
_GIVEN_AS = dict.fromkeys(("float8e4m3fn", "float8e4m3fnuz", "float8e5m2fnuz"), "uint8")


class GraphReader:
    """The signature of one graph."""

    def __init__(self, file: str, graph: Graph, model_spec: ModelSpec) -> None:
        self.file, self.graph, self.model_spec = file, graph, model_spec
        self.fixed_batch_size: int | None = None  # of the graph; None if its batch is dynamic
        self._batch = _batch_axis_name(graph)
        self._answers = TASKS[model_spec.task].has_decoder

    def signature(self) -> Signature:
        """Of all inputs, and of the outputs or those of them that the model spec names.

        Raises:
            ArtifactError: something is of a type that has no arrays, or not as its task needs it.
            InputError: E-SPEC: the model spec does not fit the file.
        """
        inputs = self._inputs()
        if self._answers and inputs and BATCH not in inputs[0].axes:
            raise self._unclear_error("input", self.graph.inputs[0], "it has no known batch axis")
        signature = Signature(inputs, self._outputs(inputs))
        try:
            return signature.limit(self.model_spec.axes)
        except ValueError as error:
            raise self._misfit_error("axes", f"do not match the graph: {error}") from error

    def _inputs(self) -> tuple[TensorSpec, ...]:
        given = {spec.name: spec for spec in self.model_spec.inputs}
        tensors = {tensor.name: tensor for tensor in self.graph.inputs}
        if given and set(given) != set(tensors):
            raise self._misfit_error(
                "inputs", f"are {list(given)}; {self.file} has {list(tensors)}"
            )
        if not given:
            self.fixed_batch_size = self._read_batch_size()
            return tuple(self._read("input", tensor) for tensor in self.graph.inputs)
        specs = [self._merge_spec("inputs", spec, tensors[name]) for name, spec in given.items()]
        for spec in specs:
            axes = tensors[spec.name].axes
            if axes is not None and BATCH in spec.axes:
                self._fix(spec, axes[spec.batch_axis])
        return tuple(specs)

    def _outputs(self, inputs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        tensors = {tensor.name: tensor for tensor in self.graph.outputs}
        for spec in self.model_spec.outputs:
            if spec.name not in tensors:
                raise self._misfit_error(
                    "outputs", f"{spec.name!r}: {did_you_mean(spec.name, tensors)}"
                )
        known = {axis for spec in inputs for axis in spec.axes}
        named = [
            self._merge_spec("outputs", spec, tensors[spec.name], known)
            for spec in self.model_spec.outputs
        ]
        specs = named or [self._read("output", tensor) for tensor in self.graph.outputs]
        if self._answers and specs[0].unchecked:
            specs[0] = self._fill(specs[0])
        return tuple(specs)

    def _read(self, what: str, tensor: GraphTensor) -> TensorSpec:
        """An unchecked tensor, with its batch where it has one."""
        dtype = _GIVEN_AS.get(tensor.type, tensor.type) if what == "output" else tensor.type
        if dtype.rpartition("(")[2].rstrip(")") not in UNCHECKED_DTYPES:
            raise self._unclear_error(what, tensor, f"ptx supports {', '.join(UNCHECKED_DTYPES)}")
        axes: tuple[int | str | None, ...] = (ANY_SHAPE,) if tensor.axes is None else tensor.axes
        batch = self._find_batch(axes)
        found = tuple(
            BATCH if index == batch else axis or f"{tensor.name}_{index}"
            for index, axis in enumerate(axes)
        )
        return TensorSpec(tensor.name, dtype, found, unchecked=True)

    def _find_batch(self, axes: tuple[int | str | None, ...]) -> int | None:
        if self._batch is not None and self._batch in axes:
            return axes.index(self._batch)
        if not axes or axes[0] == ANY_SHAPE:
            return None
        return 0 if self.fixed_batch_size == axes[0] or not isinstance(axes[0], int) else None

    def _read_batch_size(self) -> int | None:
        """The first size of all inputs but scalars, where it is one number and no output has another.

        A tensor that has another one may be a state or a constant, which belongs to no row.
        """
        firsts = {
            axes[0] if axes else None for axes in (t.axes for t in self.graph.inputs) if axes != ()
        }
        first = firsts.pop() if len(firsts) == 1 else None
        gives = [tensor.axes for tensor in self.graph.outputs if tensor.axes is not None]
        if any(not axes or (isinstance(axes[0], int) and axes[0] != first) for axes in gives):
            return None
        return first if isinstance(first, int) else None

    def _fill(self, spec: TensorSpec) -> TensorSpec:
        """The output that a task reads, with the size that its labels say."""
        axes = (BATCH, f"{spec.name}_1") if spec.axes == (ANY_SHAPE,) else spec.axes
        labels = len(self.model_spec.labels)
        named = replace(spec, axes=axes)
        if BATCH in axes and TASKS[self.model_spec.task].fits(named.sample_axes, labels):
            return named  # of an embedding, which may have any size
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
        known: set[Axis] | None = None,
    ) -> TensorSpec:
        """The tensor of the model spec, once it is known to be that of the graph.

        One without a batch, or an output with an axis that no input has, is unchecked all the same.
        """
        axes = tensor.axes if tensor.axes is not None else spec.axes
        fits = len(axes) == len(spec.axes) and all(
            not isinstance(axis, int) or own in (axis, BATCH)
            for axis, own in zip(axes, spec.axes, strict=False)
        )
        if tensor.type not in UNCHECKED_DTYPES:
            raise self._unclear_error(
                key[:-1], tensor, f"ptx supports {', '.join(UNCHECKED_DTYPES)}"
            )
        if tensor.type != spec.dtype or not fits:
            raise self._misfit_error(
                f"{key}.{spec.name}",
                f"is {spec.dtype} {spec.describe()}; {self.file} has {tensor.describe()}",
            )
        free = known is not None and any(isinstance(a, str) and a not in known for a in spec.axes)
        return replace(spec, unchecked=free or spec.axes.count(BATCH) != 1)

    def _fix(self, spec: TensorSpec, size: int | str | None) -> None:
        if not isinstance(size, int):
            return
        if self.fixed_batch_size not in (None, size):
            raise ArtifactError(
                f"{self.file}: input {spec.name!r} has a fixed batch of {size}, and another input one of"
                f" {self.fixed_batch_size}; expected the same",
                code="E-ONNX-SIGNATURE",
            )
        self.fixed_batch_size = size

    def _unclear_error(self, what: str, tensor: GraphTensor, why: str) -> ArtifactError:
        way = (
            "list the other outputs in a model spec"
            if what == "output"
            else "describe all inputs in a model spec"
            if tensor.type in UNCHECKED_DTYPES
            else "ptx cannot run the file"
        )
        return ArtifactError(
            f"{self.file}: {what} {tensor.name!r} is {tensor.describe()}, and {why}: {way}",
            code="E-ONNX-SIGNATURE",
        )

    def _misfit_error(self, key: str, what: str) -> InputError:
        return InputError(f"{self.model_spec.origin}: {key} {what}", code="E-SPEC")


def _batch_axis_name(graph: Graph) -> str | None:
    """What the graph calls the batch: a name of that kind, or else the first that comes first."""
    names = [axis for tensor in graph.inputs for axis in tensor.axes or () if isinstance(axis, str)]
    for known in _BATCHES:
        if found := next((name for name in names if name.lower() == known), None):
            return found
    firsts = [tensor.axes[0] for tensor in graph.inputs if tensor.axes]
    return next((axis for axis in firsts if isinstance(axis, str)), None)
