"""External ONNX files: without a manifest, run with their graph's signature and a model spec.

What the model spec does not say of the signature comes from the graph; see
`ptx.infer.external.graph_signature`. Many files have a fixed batch of 1; they are run one sample at a
time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.artifact.onnx_bytes import read_header
from ptx.infer.backends import Backend, Options, open_backend
from ptx.infer.errors import ArtifactError, InputError, PtxError, UsageError
from ptx.infer.external.graph_signature import GraphReader
from ptx.infer.external.onnx_graph import read_graph
from ptx.infer.external.spec import ModelSpec
from ptx.infer.signature import BATCH, Array, Signature

# The encoded field `op_type` of such a node.
_RECURRENT = (b"\x22\x04LSTM", b"\x22\x03GRU")


@dataclass(frozen=True)
class ExternalModel:
    """An external ONNX file with the manifest that was made for it."""

    artifact: Artifact
    manifest: Manifest
    fixed_batch_size: int | None  # of the graph; None if its batch is dynamic
    recurrent: bool  # whether it has an LSTM or a GRU, in which an empty array crashes ONNX Runtime

    def open(
        self, backend: str, options: Options, skipped: dict[str, str] | None = None
    ) -> Backend:
        """Open a backend that has the outputs and the batch of the manifest.

        Args:
            skipped: As in `open_backend`.
        """
        opened = open_backend(backend, self.artifact, options, skipped=skipped)
        return ExternalBackend(
            opened, self.manifest.signature, self.fixed_batch_size, self.recurrent
        )


def adapt_artifact(artifact: Artifact, model_spec: ModelSpec) -> ExternalModel:
    """Make a manifest for an ONNX file, from its graph and a model spec.

    Raises:
        UsageError: the file has another format, or has a manifest.
        ArtifactError: ptx cannot describe an input or output of the file.
        InputError: E-SPEC: the model spec does not match the file.
    """
    is_onnx = artifact.format.accepts_spec
    if not is_onnx or artifact.manifest is not None:
        what = "has a manifest of its own" if is_onnx else f"is {artifact.format.noun}"
        raise UsageError(
            f"{artifact.name} {what}; a model spec can describe only an ONNX file without a manifest"
        )
    header = read_header(artifact.data, name=artifact.name)
    graph = read_graph(artifact.data, header, name=artifact.name)
    reader = GraphReader(artifact.name, graph, model_spec)
    try:
        signature = reader.signature()
    except PtxError:
        raise
    except ValueError as error:
        raise ArtifactError(
            f"{artifact.name}: its inputs and outputs do not match: {error}: describe them in the model"
            " spec",
            code="E-ONNX-SIGNATURE",
        ) from error
    manifest = model_spec.manifest(signature, name=artifact.path.stem)
    recurrent = any(operator in artifact.data for operator in _RECURRENT)
    external = replace(artifact, manifest=manifest, external=True)
    return ExternalModel(external, manifest, reader.fixed_batch_size, recurrent)


@final
class ExternalBackend:
    """Computes the manifest's outputs, for batches of any size even if the graph has a fixed batch."""

    def __init__(
        self, backend: Backend, signature: Signature, fixed_batch_size: int | None, recurrent: bool
    ) -> None:
        self._backend, self._signature = backend, signature
        self._fixed_batch_size, self._recurrent = fixed_batch_size, recurrent

    @property
    def name(self) -> str:
        return self._backend.name

    @property
    def device(self) -> str:
        return self._backend.device

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs of ONNX Runtime; if the batch is fixed, in as many runs as needed."""
        total = self._count_rows(inputs)
        empty = any(isinstance(value, np.ndarray) and not value.size for value in inputs.values())
        if empty and (self._recurrent or (self._fixed_batch_size and total == 0)):
            return self._empty_outputs(inputs, total)
        if (
            self._fixed_batch_size is None
            or total is None
            or (total == self._fixed_batch_size and self._signature.unchecked)
        ):
            return self._name_outputs(self._backend.run(inputs))
        parts = [
            self._run_part(inputs, start, total)
            for start in range(0, total, self._fixed_batch_size)
        ]
        outputs = {}
        for spec in self._signature.outputs:
            joined = np.concatenate([part[spec.name] for part in parts], axis=spec.batch_axis)
            outputs[spec.name] = np.take(joined, range(total), axis=spec.batch_axis)
        return outputs

    def close(self) -> None:
        self._backend.close()

    def _count_rows(self, inputs: Mapping[str, Any]) -> int | None:
        """The batch size of the inputs; None if they differ, or no input has a batch."""
        sizes = {
            inputs[spec.name].shape[spec.batch_axis]
            for spec in self._signature.inputs
            if BATCH in spec.axes
        }
        return int(sizes.pop()) if len(sizes) == 1 else None

    def _run_part(self, inputs: Mapping[str, Array], start: int, total: int) -> dict[str, Array]:
        """The outputs for one fixed batch from `start` on, filled up with copies of the last row."""
        assert self._fixed_batch_size is not None
        rows = np.minimum(np.arange(start, start + self._fixed_batch_size), total - 1)
        batch = dict(inputs)
        for spec in self._signature.inputs:
            if BATCH in spec.axes:
                selected = np.take(inputs[spec.name], rows, axis=spec.batch_axis)
                batch[spec.name] = np.ascontiguousarray(selected)
        outputs = self._name_outputs(self._backend.run(batch))
        for spec in self._signature.outputs:
            shape = np.shape(outputs[spec.name])
            matches = BATCH in spec.axes and len(shape) == len(spec.axes)
            if not matches or shape[spec.batch_axis] != self._fixed_batch_size:
                raise ArtifactError(
                    f"output {spec.name!r} has shape {shape} for a batch of {self._fixed_batch_size};"
                    f" the model spec says {spec.describe()}",
                    code="E-OUTPUT",
                )
        return outputs

    def _name_outputs(self, outputs: dict[str, Any]) -> dict[str, Any]:
        return {
            spec.name: _dense(outputs[spec.name])
            if spec.dtype.startswith("sparse(")
            else outputs[spec.name]
            for spec in self._signature.outputs
        }

    def _empty_outputs(self, inputs: Mapping[str, Any], total: int | None) -> dict[str, Array]:
        """Empty outputs for an empty batch, if all sizes are known."""
        sizes = {
            axis: size
            for spec in self._signature.inputs
            for axis, size in zip(spec.axes, getattr(inputs[spec.name], "shape", ()), strict=False)
            if isinstance(axis, str)
        }
        specs = self._signature.outputs
        named_axes = {axis for spec in specs for axis in spec.axes if isinstance(axis, str)}
        if total == 0 and named_axes <= set(sizes) and all(BATCH in spec.axes for spec in specs):
            return {spec.name: np.zeros(spec.shape(sizes), spec.numpy_dtype) for spec in specs}
        shapes = {name: getattr(value, "shape", None) for name, value in inputs.items()}
        raise InputError(
            f"the inputs have shapes {shapes}; expected sizes of at least 1, because ONNX Runtime cannot"
            " run this model on empty arrays",
            code="E-SHAPE",
        )


def _dense(tensor: Any) -> Array:
    """A SparseTensor of ONNX Runtime as an array."""
    values, indices = tensor.values(), tensor.get_coo_data().indices()
    array = np.zeros(tensor.dense_shape(), values.dtype)
    is_flat = indices.ndim == 1
    array[np.unravel_index(indices, array.shape) if is_flat else tuple(indices.T)] = values
    return array
