"""ONNX Runtime on an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, final

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.artifact.onnx_bytes import read_header
from ptx.infer.backends import Options
from ptx.infer.backends.ort.cpu import Runs, import_onnxruntime, open_session
from ptx.infer.backends.ort.cuda_libraries import (
    CUDA,
    explain_fallback,
    require_cuda,
    unavailable,
    wait_for_default_stream,
)
from ptx.infer.backends.ort.device_arrays import DeviceArray, bind, import_array
from ptx.infer.backends.ort.placement import RECORD, Node, cpu_nodes, find_data_nodes
from ptx.infer.backends.watchdog import Watchdog
from ptx.infer.errors import BackendError, pluralise, quote
from ptx.infer.signature import Array, TensorSpec

_SHOWN = 5  # nodes in a message
_FATAL = 4  # ONNX Runtime's log level


@final
class OrtCudaBackend:
    """Runs an ONNX file with the CUDA execution provider, or not at all.

    It is an error if a node of the graph would run on the CPU. Nodes that only compute sizes, which ONNX
    Runtime places there on purpose, are allowed unless the option `cpu_fallback` is "none".

    Float32 products are not rounded to TF32 unless the options request it, so that the outputs agree
    with those of the CPU.
    """

    name = "ort-cuda"

    def __init__(self, artifact: Artifact, options: Options) -> None:
        index = int(options.device.partition(":")[2] or 0)
        require_cuda(import_onnxruntime(), index)
        _silence_default_logger()
        self._artifact = artifact
        self._watchdog = None if options.timeout is None else Watchdog(options.timeout)
        self._session: Any = self._open(options, index)
        self.device = f"cuda:{self._session.get_provider_options()[CUDA]['device_id']}"
        self._runs = Runs(artifact, self._session, self._watchdog)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return self._runs.run(self._session, inputs)

    def import_array(self, spec: TensorSpec, array: Any) -> DeviceArray:
        """An input on this device, without a copy: see `ptx.infer.backends.ort.device_arrays`."""
        return import_array(spec, array, self.device)

    def run_on_device(self, inputs: Mapping[str, Array | DeviceArray]) -> dict[str, DeviceArray]:
        """The outputs on this device, for checked inputs."""
        session, index = self._session, int(self.device.partition(":")[2])
        wait_for_default_stream(import_onnxruntime(), index)
        binding = bind(session, inputs, index)
        self._runs.run_bound(session, binding)
        binding.clear_binding_inputs()  # else the outputs would keep the inputs alive
        names = [output.name for output in session.get_outputs()]
        return {
            name: DeviceArray(value, self.device, session)
            for name, value in zip(names, binding.get_outputs(), strict=True)
        }

    def close(self) -> None:
        self._session = None

    def _open(self, options: Options, index: int) -> Any:
        """A session whose nodes all run on CUDA, except those that the options allow on the CPU."""
        providers = [(CUDA, provider_options(index, options))]
        entries = {RECORD: "1"}
        session = open_session(self._artifact, options, providers, self._watchdog, entries)
        # A session falls back to the CPU without an exception.
        if session.get_providers()[0] != CUDA:
            raise unavailable(explain_fallback(import_onnxruntime()))
        self._check_cpu_nodes(session, options.cpu_fallback)
        return session

    def _check_cpu_nodes(self, session: Any, allowed: str) -> None:
        """Raise BackendError for nodes on the CPU that are not allowed there."""
        name, data = self._artifact.name, self._artifact.data
        nodes = cpu_nodes(session)
        if nodes is None:
            detail = "it does not report which"
        elif data_nodes := find_data_nodes(nodes, data, read_header(data, name=name)):
            detail = f"{pluralise(len(data_nodes), 'node')}: {_name_nodes(data_nodes)}"
        elif nodes and allowed == "none":
            detail = (
                f"{pluralise(len(nodes), 'node')} that only compute sizes: {_name_nodes(nodes)};"
                " cpu_fallback='shape-ops' allows these"
            )
        else:
            return
        raise BackendError(
            f"ort-cuda cannot run {name} entirely on CUDA: ONNX Runtime places nodes on the CPU"
            f" ({detail}): use --backend ort-cpu or --backend auto",
            code="E-CUDA-NODES",
        )


def provider_options(index: int, options: Options) -> dict[str, str]:
    """The options of the CUDA provider for the device `index`."""
    provider = {
        "use_tf32": "1" if options.precision == "tf32" else "0",
        # cuDNN's heuristic mode A. EXHAUSTIVE, the default, is its mode B since ONNX Runtime 1.20
        # (microsoft/onnxruntime#22705), and DEFAULT a slow fallback.
        "cudnn_conv_algo_search": "HEURISTIC",
    }
    # The arena grows by powers of two, the default of ONNX Runtime. With kSameAsRequested it would keep
    # a region for each batch size: 48 MB instead of 3 MB for batches of 1 to 64.
    if options.device_memory is not None:
        provider["gpu_mem_limit"] = str(options.device_memory)
    # Not for 0, the default: while ONNX Runtime parses it, it calls CUDA and hides a failure.
    return provider | ({"device_id": str(index)} if index else {})


@cache  # once, so that a later choice of the application stays
def _silence_default_logger() -> None:
    """Stop ONNX Runtime from logging what it also raises, and a warning for each session with an index.

    The logger belongs to the process. Its level cannot be read, and so not restored afterwards.
    """
    import_onnxruntime().set_default_logger_severity(_FATAL)


def _name_nodes(nodes: Sequence[Node]) -> str:
    """The first few nodes, for a message."""
    shown = ", ".join(f"{node.operator} {quote(node.name)}" for node in nodes[:_SHOWN])
    return shown + ("" if len(nodes) <= _SHOWN else ", …")
