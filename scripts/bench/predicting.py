"""Rows of predictions: the start of a process, one picture, batches of arrays."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pairing import Goal, Pair, calls, process
from PIL import Image
from setting import PTX, Setting, naive, pictures

from ptx.infer import load
from ptx.infer.backends.threads import available_cpus
from ptx.report.measurement import sample_batch

BATCH = 256
MICROSECOND = 1e-6
# Of a batch, by model: those above 2 ms, and one of some 0.3 ms.
_OF_A_BATCH = {"convnet": Goal(1 / 0.97), "lstm": Goal(1 / 0.97), "mlp": Goal(1.1)}


def cold_start(setting: Setting) -> Iterator[Pair]:
    """Whole processes for one picture, for help and for completion."""
    digit, model = next(pictures(setting).iterdir()), setting.model("convnet", ".onnx")
    predict = process([PTX, "predict", digit, "--model", model, "--backend", "ort-cpu"])
    bare = process(naive("picture", digit, model))
    words = {"_PTX_COMPLETE": "bash_complete", "COMP_WORDS": "ptx pre", "COMP_CWORD": "1"}
    click = process([sys.executable, "-c", "import click"])
    for name, ours, reference, theirs, goal in (
        ("one image, whole process", predict, "NumPy + Pillow + ONNX Runtime", bare, 1.0),
        ("`ptx --help`", process([PTX, "--help"]), "`import click`", click, 1.2),
        ("completing a command", process([PTX], **words), "`import click`", click, 1.2),
    ):
        yield Pair(name, reference, ours, theirs, setting.effort.rounds, Goal(goal))


def latency(setting: Setting) -> Iterator[Pair]:
    """One picture in a process that is warm."""
    digit = next(pictures(setting).iterdir()).read_bytes()
    path = setting.model("convnet", ".onnx")
    pixels = np.asarray(Image.open(io.BytesIO(digit)))
    image = pixels.astype(np.float32)[None, None] / np.float32(255)
    arrays, session = {"image": image}, open_session(path, 1)  # ptx takes one thread for so little
    bare, one = partial(session.run, None, arrays), "`session.run`, one thread"
    from_bytes = partial(_from_bytes, session, digit)
    with load(path, backend="ort-cpu") as digits:
        for name, ours, reference, theirs, goal in (
            (
                "`run(arrays)`, batch 1",
                partial(digits.run, arrays),
                one,
                bare,
                Goal(gap=10 * MICROSECOND),
            ),
            (
                "`predict(ready array)`",
                partial(digits.predict, image[0]),
                one,
                bare,
                Goal(gap=20 * MICROSECOND),
            ),
            ("`predict(pixels)`", partial(digits.predict, pixels), one, bare, None),
            (
                "`predict(PNG bytes)`",
                partial(digits.predict, digit),
                f"Pillow + {one}",
                from_bytes,
                Goal(1.0),
            ),
        ):
            laps = setting.effort.laps
            yield Pair(
                name, reference, calls(ours, laps), calls(theirs, laps), setting.effort.rounds, goal
            )


def throughput(setting: Setting) -> Iterator[Pair]:
    """Arrays in, batches of 256: the predictor against the runtime under it."""
    import torch

    torch.set_num_threads(available_cpus())
    for name, goal in _OF_A_BATCH.items():
        for backend, suffix, reference, open_bare in (
            ("ort-cpu", ".onnx", "`session.run`, as many threads", _session_run),
            ("eager", ".pt", "PyTorch", _network),
            ("torchscript", ".torchscript", "`torch.jit.load`", _script),
        ):
            path = setting.checkpoint(name) if suffix == ".pt" else setting.model(name, suffix)
            with load(path, backend=backend, device="cpu", trust=True) as predictor:
                inputs = sample_batch(predictor.manifest, BATCH)
                yield Pair(
                    f"{name}, {backend}, batch {BATCH}",
                    reference,
                    calls(partial(predictor.run, inputs), 20),
                    calls(open_bare(path, inputs), 20),
                    setting.effort.rounds,
                    goal,
                )


def open_session(path: object, threads: int) -> Any:
    """A bare session."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _session_run(path: Path, inputs: dict[str, Any]) -> Callable[[], object]:
    return partial(open_session(path, available_cpus()).run, None, inputs)


def _network(path: Path, inputs: dict[str, Any]) -> Callable[[], object]:
    from ptx.export import read_model

    return _inference(read_model(path).network.eval(), inputs)


def _script(path: Path, inputs: dict[str, Any]) -> Callable[[], object]:
    import torch

    return _inference(torch.jit.load(str(path)), inputs)  # type: ignore[no-untyped-call]


def _inference(network: Callable[..., object], inputs: dict[str, Any]) -> Callable[[], object]:
    import torch

    tensors: Sequence[object] = [torch.from_numpy(array) for array in inputs.values()]

    def run() -> object:
        with torch.inference_mode():
            return network(*tensors)

    return run


def _from_bytes(session: Any, data: bytes) -> int:
    opened = Image.open(io.BytesIO(data)).convert("L")
    array = np.asarray(opened, np.float32)[None, None] / np.float32(255)
    logits = session.run(None, {"image": array})[0][0]
    scores = np.exp(logits - logits.max())
    return int((scores / scores.sum()).argmax())
