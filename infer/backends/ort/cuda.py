"""ONNX Runtime on an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.backends import Options
from ptx.infer.backends.ort.cuda_library import require_cuda
from ptx.infer.backends.ort.graphs import CapturedBatches, can_capture
from ptx.infer.backends.ort.session import import_onnxruntime, open_session, run_session
from ptx.infer.backends.watchdog import Watchdog
from ptx.infer.errors import ArtifactError, BackendError, UsageError, quoted
from ptx.infer.signature import Array


@final
class OrtCudaBackend:
    """Runs an ONNX file with the CUDA execution provider, or not at all.

    Float32 products are not rounded to TF32 unless the options ask for it, so that the answers agree
    with the CPU's. With the option `cuda_graphs` batches of up to 256 rows are captured graphs.
    """

    name = "ort-cuda"

    def __init__(self, artifact: Artifact, options: Options) -> None:
        kind, _, index = options.device.partition(":")
        if kind not in ("auto", "cuda") or (index and not index.isdigit()):
            raise UsageError(
                f"backend 'ort-cuda' runs on CUDA; the device asked for is {quoted(options.device)}"
            )
        require_cuda(import_onnxruntime())
        self._artifact = artifact
        self._watchdog = None if options.timeout is None else Watchdog(options.timeout)
        provider = {
            "device_id": index or "0",
            "use_tf32": "1" if options.precision == "tf32" else "0",
            # The default tries every algorithm at each new shape, for seconds.
            "cudnn_conv_algo_search": "HEURISTIC",
        }
        self._session: Any = open_session(
            artifact,
            options,
            [("CUDAExecutionProvider", provider), "CPUExecutionProvider"],
            self._watchdog,
        )
        # A session falls back to the CPU without an exception: ask it what it is.
        opened = self._session.get_providers()[0]
        if opened != "CUDAExecutionProvider":
            raise BackendError(
                f"ort-cuda is not available: ONNX Runtime opened {opened} instead: use --backend"
                " ort-cpu, or let --backend auto choose",
                code="E-CUDA",
            )
        self.device = f"cuda:{index or 0}"
        self._captured = self._capture(options, provider) if options.cuda_graphs else None
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if self._captured is not None and self._captured.fits(inputs):
            return self._captured.run(inputs)
        return run_session(self._artifact, self._session, self._outputs, inputs, self._watchdog)

    def close(self) -> None:
        self._session = self._captured = None

    def _capture(self, options: Options, provider: dict[str, str]) -> CapturedBatches:
        """A second session, which captures what the first one runs for large batches."""
        if not can_capture(self._artifact.require_card().signature):
            raise BackendError(
                f"{self._artifact.name} has a dynamic axis besides the batch, and a CUDA graph fixed"
                " shapes: leave cuda_graphs out",
                code="E-CUDA-GRAPH",
            )
        providers = [("CUDAExecutionProvider", provider | {"enable_cuda_graph": "1"})]
        try:
            session = open_session(self._artifact, options, providers, None)
        except ArtifactError as error:
            raise BackendError(
                f"{self._artifact.name} cannot be captured as a CUDA graph ({error}): leave"
                " cuda_graphs out",
                code="E-CUDA-GRAPH",
            ) from error
        return CapturedBatches(self._artifact, session, self.device)
