"""The speed of ort-cuda next to ONNX Runtime's own API and PyTorch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_setting import Setting
from page import Cells, Page

from ptx.export import read_model
from ptx.infer import BackendError, load
from ptx.infer.backends.pytorch.precision import CUDA_PRECISION
from ptx.report.measurement import sample_batch

MODELS = ("convnet", "lstm", "mlp")
BATCHES = (1, 256, 4096)
SECONDS = 0.7  # of each measurement
Run = Callable[[], object]
Make = Callable[..., Run]  # of device, files, inputs


def measure(page: Page, setting: Setting) -> None:
    page.section(
        "Speed, NumPy in and out",
        "model, batch, program",
        "p50 µs",
        "p95 µs",
        "rows per s",
        "beside `session.run`",
    )
    for model in (name for name in MODELS if name in setting.models):
        for batch in BATCHES:
            p50: dict[str, float] = {}
            for program, make in PROGRAMS.items():
                row = partial(_row, setting, model, batch, make, p50)
                page.row(f"{model}, {batch}, {program}", row)


def _row(setting: Setting, model: str, batch: int, make: Make, p50: dict[str, float]) -> Cells:
    paths = setting.paths(model)
    with load(paths["onnx"], backend="ort-cpu") as predictor:
        inputs = sample_batch(predictor.manifest, batch)
    on_torch = make in (eager, scripted)
    device = setting.torch_device() if on_torch else setting.runtime_device
    with CUDA_PRECISION.using("float32"):  # that of the others; PyTorch's own choice is TF32
        laps = _laps(make(device, paths, inputs))
    middle, late = statistics.median(laps), np.quantile(laps, 0.95)
    first = p50.setdefault("session.run", middle)  # the first row of each group
    beside = f"{1e6 * (middle - first):+.0f} µs, {first / middle:.2f} of its throughput"
    return f"{1e6 * middle:.0f}", f"{1e6 * late:.0f}", f"{batch / middle:,.0f}", beside


def _laps(run: Run) -> list[float]:
    for _ in range(5):
        run()
    laps, started = [], time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        before = time.perf_counter()
        run()
        laps.append(time.perf_counter() - before)
    return laps


def raw(device: str, paths: Mapping[str, Path], inputs: dict[str, Any]) -> Run:
    """`session.run`."""
    import onnxruntime

    providers: list[Any] = ["CPUExecutionProvider"]
    if device != "cpu":
        onnxruntime.preload_dlls()
        options = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
        providers = [("CUDAExecutionProvider", options)]
    session = onnxruntime.InferenceSession(str(paths["onnx"]), providers=providers)
    if device != "cpu" and session.get_providers()[0] != "CUDAExecutionProvider":
        raise BackendError("ONNX Runtime fell back to the CPU")
    return partial(session.run, None, inputs)


def ptx(device: str, paths: Mapping[str, Path], inputs: dict[str, Any]) -> Run:
    """The predictor's `run`."""
    backend = "ort-cpu" if device == "cpu" else "ort-cuda"
    return partial(load(paths["onnx"], backend=backend).run, inputs)


def eager(device: str, paths: Mapping[str, Path], inputs: dict[str, Any]) -> Run:
    """The network itself."""
    network = read_model(paths["checkpoint"]).network.eval().to(device)
    return _torch(network, device, inputs)


def scripted(device: str, paths: Mapping[str, Path], inputs: dict[str, Any]) -> Run:
    """The TorchScript archive."""
    path = str(paths["torchscript"])
    return _torch(torch.jit.load(path, map_location=device), device, inputs)  # type: ignore[no-untyped-call]


def _torch(network: Callable[..., Any], device: str, inputs: dict[str, Any]) -> Run:
    def run() -> object:
        with torch.inference_mode():
            tensors = [torch.from_numpy(array).to(device) for array in inputs.values()]
            return network(*tensors).cpu().numpy()

    return run


PROGRAMS: dict[str, Make] = {
    "`session.run`": raw,
    "ptx": ptx,
    "eager": eager,
    "TorchScript": scripted,
}
