"""A folder of pictures through `ptx predict`, and where its time goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from gpu_setting import Setting, run_ptx
from page import Cells, Page
from PIL import Image

from ptx.infer import BackendError, load

BATCH = 256


def measure(page: Page, setting: Setting) -> None:
    """The table."""
    page.section(f"`ptx predict FOLDER` of {setting.files:,} pictures", "what", "seconds")
    if "convnet" not in setting.models:
        return
    for backend in ("ort-cpu", "ort-cuda"):
        page.row(f"{backend}, whole process", partial(_verb, setting, backend, many=True))
        page.row(f"{backend}, one picture", partial(_verb, setting, backend, many=False))
        page.row(f"{backend}, computing alone", partial(_computing, setting, backend))
    page.row("reading alone, one thread", partial(_reading, setting))


def _pictures(setting: Setting) -> Path:
    folder = setting.folder / "pictures"
    if not folder.exists():
        folder.mkdir()
        pixels = setting.dataset("convnet").test.inputs["image"]
        for number in range(setting.files):
            Image.fromarray(np.squeeze(pixels[number % len(pixels)])).save(
                folder / f"{number:05}.png"
            )
    return folder


def _verb(setting: Setting, backend: str, *, many: bool) -> Cells:
    pictures, model = _pictures(setting), setting.paths("convnet")["onnx"]
    output = setting.folder / "answers.jsonl"
    value = pictures if many else next(pictures.iterdir())
    started = time.perf_counter()
    done = run_ptx("predict", value, "--model", model, "--backend", backend, "--output", output)
    seconds = time.perf_counter() - started
    if done.returncode == 3:
        raise BackendError(done.stderr.strip())
    if done.returncode:
        raise RuntimeError(done.stderr)
    return (f"{seconds:.2f}",)


def _computing(setting: Setting, backend: str) -> Cells:
    with load(setting.paths("convnet")["onnx"], backend=backend) as predictor:
        inputs = predictor.signature.example({"batch": BATCH})
        predictor.run(inputs)
        return (_seconds(lambda: predictor.run(inputs), setting.files // BATCH + 1),)


def _reading(setting: Setting) -> Cells:
    with load(setting.paths("convnet")["onnx"], backend="ort-cpu") as predictor:
        paths = iter(list(_pictures(setting).iterdir()))
        read = predictor.preprocessing.read
        return (_seconds(lambda: read(next(paths)), setting.files),)


def _seconds(function: Callable[[], object], count: int) -> str:
    started = time.perf_counter()
    for _ in range(count):
        function()
    return f"{time.perf_counter() - started:.2f}"
