"""CUDA graphs: a batch of a few fixed sizes as one launch, in buffers that stay on the device.

A small network's kernels take less time than launching them one by one. A captured graph launches them
all, but only with the shapes and the memory that it was captured with: a batch is padded with rows that
nobody looks at to the next of SIZES, and has input and output buffers of its own there.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.backends.ort.session import import_onnxruntime, told_as_ours
from ptx.infer.signature import BATCH, Array, Signature

SIZES = (1, 4, 16, 64, 256)  # rows of a captured batch


@dataclass(frozen=True)
class _Buffers:
    """One batch size: what is bound to the session, on the device."""

    binding: Any  # onnxruntime.IOBinding
    settings: Any  # onnxruntime.RunOptions, with the number of the graph
    padded: dict[str, Array]  # the inputs on this side
    values: dict[str, Any]  # onnxruntime.OrtValue of each input and output


def can_capture(signature: Signature) -> bool:
    """Whether the shapes depend on the batch alone."""
    return signature.dynamic_axes == (BATCH,) and all(spec.batch_axis == 0 for spec in signature)


class CapturedBatches:
    """Runs batches of up to 256 rows through a session that was opened with `enable_cuda_graph`.

    One batch at a time: the buffers of a size are shared by all threads.
    """

    def __init__(self, artifact: Artifact, session: Any, device: str) -> None:
        self._artifact, self._session = artifact, session
        self._signature = artifact.require_card().signature
        self._kind, _, index = device.partition(":")
        self._index = int(index or 0)
        self._buffers: dict[int, _Buffers] = {}
        self._lock = threading.Lock()

    def fits(self, inputs: Mapping[str, Array]) -> bool:
        """Whether the batch is not larger than the largest of SIZES."""
        return len(next(iter(inputs.values()))) <= SIZES[-1]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs, as a run without a graph gives them.

        Raises:
            ArtifactError: ONNX Runtime cannot run the model.
            LimitError: the device's memory is exhausted.
        """
        rows = len(next(iter(inputs.values())))
        size = next(size for size in SIZES if size >= rows)
        with self._lock, told_as_ours(self._artifact, "run"):
            buffers = self._buffers.get(size) or self._bind(size)
            for name, array in inputs.items():
                if rows < size:
                    buffers.padded[name][:rows] = array
                    array = buffers.padded[name]
                buffers.values[name].update_inplace(array)
            self._session.run_with_iobinding(buffers.binding, buffers.settings)
            # A copy: on the CPU `numpy()` shares the buffer that the next run writes into.
            return {
                spec.name: np.array(buffers.values[spec.name].numpy()[:rows])
                for spec in self._signature.outputs
            }

    def _bind(self, size: int) -> _Buffers:
        onnxruntime = import_onnxruntime()
        settings = onnxruntime.RunOptions()
        settings.add_run_config_entry("gpu_graph_id", str(1 + SIZES.index(size)))
        binding = self._session.io_binding()
        sizes = {BATCH: size}
        values = {
            spec.name: onnxruntime.OrtValue.ortvalue_from_numpy(
                np.zeros(spec.shape(sizes), spec.numpy_dtype), self._kind, self._index
            )
            for spec in self._signature
        }
        for spec in self._signature.inputs:
            binding.bind_ortvalue_input(spec.name, values[spec.name])
        for spec in self._signature.outputs:
            binding.bind_ortvalue_output(spec.name, values[spec.name])
        padded = {
            spec.name: np.zeros(spec.shape(sizes), spec.numpy_dtype)
            for spec in self._signature.inputs
        }
        self._buffers[size] = _Buffers(binding, settings, padded, values)
        return self._buffers[size]
