"""ONNX files of others: without a card, run with what their graph and a person say about them.

The signature comes from the graph, where the description leaves it out: the axis named `batch`, or
else the first one, is the batch. Many files have a fixed batch of 1; they are run one sample at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.artifact.card import Card
from ptx.infer.artifact.onnx_bytes import read_header
from ptx.infer.backends import Backend, Options, open_backend
from ptx.infer.backends.ort.session import TYPES
from ptx.infer.described.description import Description
from ptx.infer.described.onnx_graph import Graph, GraphTensor, read_graph
from ptx.infer.errors import ArtifactError, InputError, PtxError, UsageError, nearest
from ptx.infer.signature import BATCH, Array, Axis, Signature, TensorSpec


@dataclass(frozen=True)
class DescribedArtifact:
    """An ONNX file of somebody else's making, with a card made for it."""

    artifact: Artifact
    card: Card
    rows: int | None  # the batch that the graph is fixed to; None where it is free

    def open(self, backend: str, options: Options) -> Backend:
        """The backend behind the outputs and the batch of the card."""
        return AdoptedBackend(
            open_backend(backend, self.artifact, options), self.card.signature, self.rows
        )


def describe_artifact(artifact: Artifact, description: Description) -> DescribedArtifact:
    """An ONNX file without a card, described.

    Raises:
        UsageError: it is another kind of file, or has a card of its own.
        ArtifactError: it takes or gives what ptx cannot describe.
        InputError: E-DESCRIPTION: the description does not fit the file.
    """
    other = not artifact.format.describable
    if other or artifact.card is not None:
        what = f"is {artifact.format.noun}" if other else "has a card of its own"
        raise UsageError(
            f"{artifact.name} {what}; only an ONNX file without a card can be described"
        )
    header = read_header(artifact.data, name=artifact.name)
    graph = read_graph(artifact.data, header, name=artifact.name)
    reader = _GraphReader(artifact.name, graph, description)
    try:
        signature = Signature(reader.inputs(), reader.outputs())
    except PtxError:
        raise
    except ValueError as error:
        raise ArtifactError(
            f"{artifact.name}: its inputs and outputs do not fit: {error}: name them in the description",
            code="E-ONNX-SIGNATURE",
        ) from error
    card = description.card(signature, name=artifact.path.stem)
    return DescribedArtifact(replace(artifact, card=card, described=True), card, reader.rows)


@final
class AdoptedBackend:
    """A backend behind a card made for its file: the card's outputs, for a batch of any size."""

    def __init__(self, backend: Backend, signature: Signature, rows: int | None) -> None:
        self._backend, self._signature, self._rows = backend, signature, rows

    @property
    def name(self) -> str:
        return self._backend.name

    @property
    def device(self) -> str:
        return self._backend.device

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if self._rows is None:
            return self._name_outputs(self._backend.run(inputs))
        first = self._signature.inputs[0]
        total = inputs[first.name].shape[first.batch_axis]
        parts = [self._part(inputs, start, total) for start in range(0, total, self._rows)]
        outputs = {}
        for spec in self._signature.outputs:
            joined = np.concatenate([part[spec.name] for part in parts], axis=spec.batch_axis)
            outputs[spec.name] = np.take(joined, range(total), axis=spec.batch_axis)
        return outputs

    def close(self) -> None:
        self._backend.close()

    def _part(self, inputs: Mapping[str, Array], start: int, total: int) -> dict[str, Array]:
        """As many samples as the graph takes; the last one is repeated where they are fewer."""
        assert self._rows is not None
        rows = np.minimum(np.arange(start, start + self._rows), total - 1)
        outputs = self._name_outputs(
            self._backend.run(
                {
                    spec.name: np.ascontiguousarray(
                        np.take(inputs[spec.name], rows, axis=spec.batch_axis)
                    )
                    for spec in self._signature.inputs
                }
            )
        )
        for spec in self._signature.outputs:
            got = outputs[spec.name].shape
            if len(got) != len(spec.axes) or got[spec.batch_axis] != self._rows:
                raise ArtifactError(
                    f"output {spec.name!r} has shape {got} for a batch of {self._rows}; its"
                    f" description says {spec.describe()}",
                    code="E-OUTPUT",
                )
        return outputs

    def _name_outputs(self, outputs: dict[str, Array]) -> dict[str, Array]:
        return {spec.name: outputs[spec.name] for spec in self._signature.outputs}


class _GraphReader:
    """The signature of one graph, as far as the description leaves it open."""

    def __init__(self, file: str, graph: Graph, description: Description) -> None:
        self.file, self.graph, self.description = file, graph, description
        self.rows: int | None = None
        self._batch = _batch_axis_name(graph)
        self._known: set[Axis] = set()

    def inputs(self) -> tuple[TensorSpec, ...]:
        """The specification of each input."""
        given = {spec.name: spec for spec in self.description.inputs}
        names = [tensor.name for tensor in self.graph.inputs]
        if given and set(given) != set(names):
            raise self._misfit_error("inputs", f"are {list(given)}; {self.file} takes {names}")
        tensors = {tensor.name: tensor for tensor in self.graph.inputs}
        specs = [
            self._merge_spec("inputs", spec, tensors[name]) for name, spec in given.items()
        ] or [self._input(tensor) for tensor in self.graph.inputs]
        for spec in specs:
            axes = tensors[spec.name].axes
            if axes is not None and BATCH in spec.axes:
                self._fix(spec, axes[spec.batch_axis])
        self._known = {axis for spec in specs for axis in spec.axes}
        return tuple(specs)

    def outputs(self) -> tuple[TensorSpec, ...]:
        """The specification of each output, or of those that the description names."""
        tensors = {tensor.name: tensor for tensor in self.graph.outputs}
        for spec in self.description.outputs:
            if spec.name not in tensors:
                raise self._misfit_error("outputs", f"{spec.name!r}: {nearest(spec.name, tensors)}")
        named = [
            self._merge_spec("outputs", spec, tensors[spec.name])
            for spec in self.description.outputs
        ]
        return tuple(named or [self._output(tensor) for tensor in self.graph.outputs])

    def _input(self, tensor: GraphTensor) -> TensorSpec:
        axes = self._readable("input", tensor)
        batch = axes.index(self._batch) if self._batch in axes else 0
        return TensorSpec(
            tensor.name,
            tensor.type,
            tuple(
                BATCH if index == batch else axis or f"{tensor.name}_{index}"
                for index, axis in enumerate(axes)
            ),
        )

    def _output(self, tensor: GraphTensor) -> TensorSpec:
        axes = self._readable("output", tensor)
        batch = axes.index(self._batch) if self._batch in axes else 0
        found: list[Axis] = []
        for index, axis in enumerate(axes):
            if index == batch:
                if isinstance(axis, int) and axis != self.rows:
                    raise self._unclear_error("output", tensor, f"its batch is {axis}")
                found.append(BATCH)
            elif isinstance(axis, int) or (axis is not None and axis in self._known):
                found.append(axis)
            elif self.description.labels and index == len(axes) - 1:
                found.append(len(self.description.labels))
            else:
                raise self._unclear_error(
                    "output", tensor, f"axis {index} has no size that is known"
                )
        return TensorSpec(tensor.name, tensor.type, tuple(found))

    def _readable(self, what: str, tensor: GraphTensor) -> tuple[int | str | None, ...]:
        if tensor.type not in TYPES:
            raise self._unclear_error(what, tensor, f"ptx runs {', '.join(TYPES)}")
        if not tensor.axes:
            raise self._unclear_error(what, tensor, "it has no axes that are known")
        return tensor.axes

    def _unclear_error(self, what: str, tensor: GraphTensor, why: str) -> ArtifactError:
        way = (
            "name it, or the others alone, under outputs of a description"
            if what == "output" and tensor.type in TYPES
            else "name the others under outputs of a description"
            if what == "output"
            else "name all of them under inputs of a description"
            if tensor.type in TYPES
            else "it cannot be run by ptx"
        )
        return ArtifactError(
            f"{self.file}: {what} {tensor.name!r} is {tensor.describe()}, and {why}: {way}",
            code="E-ONNX-SIGNATURE",
        )

    def _misfit_error(self, key: str, what: str) -> InputError:
        return InputError(f"{self.description.origin}: {key} {what}", code="E-DESCRIPTION")

    def _merge_spec(self, key: str, spec: TensorSpec, tensor: GraphTensor) -> TensorSpec:
        """The described tensor, once it is known to be that of the graph."""
        axes = tensor.axes if tensor.axes is not None else spec.axes
        fits = len(axes) == len(spec.axes) and all(
            not isinstance(axis, int) or own in (axis, BATCH)
            for axis, own in zip(axes, spec.axes, strict=False)
        )
        if tensor.type != spec.dtype or not fits:
            raise self._misfit_error(
                f"{key}.{spec.name}",
                f"is {spec.dtype} {spec.describe()}; {self.file} has {tensor.describe()}",
            )
        return spec

    def _fix(self, spec: TensorSpec, size: int | str | None) -> None:
        if not isinstance(size, int):
            return
        if self.rows not in (None, size):
            raise ArtifactError(
                f"{self.file}: input {spec.name!r} has a batch of {size}, another one of {self.rows}",
                code="E-ONNX-SIGNATURE",
            )
        self.rows = size


def _batch_axis_name(graph: Graph) -> str | None:
    """What the graph calls the batch: `batch`, or else the first axis that has a name and is first."""
    names = [axis for tensor in graph.inputs for axis in tensor.axes or ()]
    if BATCH in names:
        return BATCH
    firsts = [tensor.axes[0] for tensor in graph.inputs if tensor.axes]
    return next((axis for axis in firsts if isinstance(axis, str)), None)
