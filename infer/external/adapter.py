"""External ONNX files: without a manifest, run with their graph's signature and a model spec.

The signature comes from the graph, where the model spec leaves it out; see
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

# As the field `op_type` of a node says them.
_RECURRENT = (b"\x22\x04LSTM", b"\x22\x03GRU")


@dataclass(frozen=True)
class ExternalModel:
    """An external ONNX file with the manifest that was made for it."""

    artifact: Artifact
    manifest: Manifest
    fixed_batch_size: int | None  # of the graph; None if its batch is dynamic
    recurrent: bool  # it has an LSTM or a GRU, on which an empty array ends the process

    def open(
        self, backend: str, options: Options, skipped: dict[str, str] | None = None
    ) -> Backend:
        """The backend behind the outputs and the batch of the manifest; `skipped`: see
        `open_backend`.
        """
        opened = open_backend(backend, self.artifact, options, skipped=skipped)
        return ExternalBackend(
            opened, self.manifest.signature, self.fixed_batch_size, self.recurrent
        )


def adapt_artifact(artifact: Artifact, model_spec: ModelSpec) -> ExternalModel:
    """An ONNX file without a manifest, with the manifest that its graph and the spec give.

    Raises:
        UsageError: it is another kind of file, or has a manifest of its own.
        ArtifactError: it takes or gives what ptx cannot describe.
        InputError: E-SPEC: the model spec does not fit the file.
    """
    other = not artifact.format.accepts_spec
    if other or artifact.manifest is not None:
        what = f"is {artifact.format.noun}" if other else "has a manifest of its own"
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
    """The manifest's outputs, for a batch of any size where the file has one that is fixed."""

    def __init__(
        self, backend: Backend, signature: Signature, fixed_batch_size: int | None, recurrent: bool
    ) -> None:
        self._backend, self._signature, self._fixed_batch_size = (
            backend,
            signature,
            fixed_batch_size,
        )
        self._recurrent = recurrent

    @property
    def name(self) -> str:
        return self._backend.name

    @property
    def device(self) -> str:
        return self._backend.device

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """As ONNX Runtime answers; more rows than the file is fixed to in turn."""
        total = self._total(inputs)
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
            self._part(inputs, start, total) for start in range(0, total, self._fixed_batch_size)
        ]
        outputs = {}
        for spec in self._signature.outputs:
            joined = np.concatenate([part[spec.name] for part in parts], axis=spec.batch_axis)
            outputs[spec.name] = np.take(joined, range(total), axis=spec.batch_axis)
        return outputs

    def close(self) -> None:
        self._backend.close()

    def _total(self, inputs: Mapping[str, Any]) -> int | None:
        """The rows of all inputs that have a batch; None where they differ, or there is none."""
        found = {
            inputs[spec.name].shape[spec.batch_axis]
            for spec in self._signature.inputs
            if BATCH in spec.axes
        }
        return int(found.pop()) if len(found) == 1 else None

    def _part(self, inputs: Mapping[str, Array], start: int, total: int) -> dict[str, Array]:
        """As many samples as the graph takes; the last one is repeated where they are fewer."""
        assert self._fixed_batch_size is not None
        rows = np.minimum(np.arange(start, start + self._fixed_batch_size), total - 1)
        cut = dict(inputs)
        for spec in self._signature.inputs:
            if BATCH in spec.axes:
                taken = np.take(inputs[spec.name], rows, axis=spec.batch_axis)
                cut[spec.name] = np.ascontiguousarray(taken)
        outputs = self._name_outputs(self._backend.run(cut))
        for spec in self._signature.outputs:
            got = np.shape(outputs[spec.name])
            fits = BATCH in spec.axes and len(got) == len(spec.axes)
            if not fits or got[spec.batch_axis] != self._fixed_batch_size:
                raise ArtifactError(
                    f"output {spec.name!r} has shape {got} for a batch of {self._fixed_batch_size}; the"
                    f" model spec says {spec.describe()}",
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
        given = self._signature.outputs
        known = all({axis for axis in s.axes if isinstance(axis, str)} <= set(sizes) for s in given)
        if total == 0 and known and all(BATCH in spec.axes for spec in given):
            return {spec.name: np.zeros(spec.shape(sizes), spec.numpy_dtype) for spec in given}
        shapes = {name: getattr(value, "shape", None) for name, value in inputs.items()}
        raise InputError(
            f"the inputs have shapes {shapes}; expected sizes of at least 1, because ONNX Runtime cannot"
            " run this model on empty arrays",
            code="E-SHAPE",
        )


def _dense(tensor: Any) -> Array:
    """The array of ONNX Runtime's SparseTensor."""
    values, places = tensor.values(), tensor.get_coo_data().indices()
    array = np.zeros(tensor.dense_shape(), values.dtype)
    array[np.unravel_index(places, array.shape) if places.ndim == 1 else tuple(places.T)] = values
    return array
