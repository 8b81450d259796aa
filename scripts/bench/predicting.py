"""Rows of predictions: the start of a process, one picture, batches of arrays."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from pairing import Goal, Pair, Pending, calls, process
from PIL import Image
from setting import PTX, Setting, naive, pictures

from ptx.infer import Predictor, load
from ptx.infer.backends.processors import usable_processors
from ptx.report.measurement import sample_batch

BATCH = 256
MICROSECOND = 1e-6
# Of a batch, by model: those above 2 ms, and one of some 0.3 ms.
_OF_A_BATCH = {"convnet": Goal(1 / 0.97), "lstm": Goal(1 / 0.97), "mlp": Goal(1.1)}


def cold_start(setting: Setting) -> Iterator[Pending]:
    """Whole processes for one picture, for help and for completion."""
    digit = next(pictures(setting).iterdir())
    model = setting.model("convnet", ".onnx")
    predict = [PTX, "predict", digit, "--model", model, "--backend", "ort-cpu"]
    yield Pair(
        "one picture, whole process", "NumPy + Pillow + ONNX Runtime", process(predict),
        process(naive("picture", digit, model)), setting.effort.rounds, Goal(1.0),
    )  # fmt: skip
    click = process([sys.executable, "-c", "import click"])
    yield Pair("`ptx --help`", "`import click`", process([PTX, "--help"]), click,
               setting.effort.rounds, Goal(1.2))  # fmt: skip
    words = {"_PTX_COMPLETE": "bash_complete", "COMP_WORDS": "ptx pre", "COMP_CWORD": "1"}
    yield Pair("completing a verb", "`import click`", process([PTX], **words), click,
               setting.effort.rounds, Goal(1.2))  # fmt: skip


def latency(setting: Setting) -> Iterator[Pending]:
    """One picture in a process that is warm."""
    digit = next(pictures(setting).iterdir()).read_bytes()
    path = setting.model("convnet", ".onnx")
    pixels = np.asarray(Image.open(io.BytesIO(digit)))
    image = pixels.astype(np.float32)[None, None] / np.float32(255)
    # As many threads as ptx takes for so little.
    strong, weak = _session(path, threads=1), _session(path)
    row = partial(_latency_row, setting)
    with load(path, backend="ort-cpu") as digits:
        for name, ours, goal in (
            ("`run(arrays)`, batch 1", partial(digits.run, {"image": image}), 10 * MICROSECOND),
            ("`predict(ready array)`", partial(digits.predict, image[0]), 20 * MICROSECOND),
            ("`predict(pixels)`", partial(digits.predict, pixels), None),
        ):
            raw = partial(strong.run, None, {"image": image})
            yield row(name, "`session.run`, one thread", ours, raw,
                      None if goal is None else Goal(gap=goal))  # fmt: skip
        ours, raw = partial(digits.run, {"image": image}), partial(weak.run, None, {"image": image})
        yield row("`run(arrays)`, batch 1", "`session.run`, its own threads (weak)", ours, raw)
        ours = partial(digits.predict, digit)
        yield row("`predict(PNG bytes)`", "Pillow + `session.run`, one thread", ours,
                  partial(_from_bytes, strong, digit), Goal(1.0))  # fmt: skip
        yield row("`predict(PNG bytes)`", "Pillow + `session.run`, its own threads (weak)", ours,
                  partial(_from_bytes, weak, digit))  # fmt: skip


def throughput(setting: Setting) -> Iterator[Pending]:
    """Arrays in, batches of 256: the predictor against the runtime under it."""
    import torch

    torch.set_num_threads(usable_processors())
    for name, goal in _OF_A_BATCH.items():
        path = setting.model(name, ".onnx")
        with load(path, backend="ort-cpu") as predictor:
            inputs = sample_batch(predictor.card, BATCH)
            for reference, threads in (
                ("`session.run`, as many threads", usable_processors()),
                ("`session.run`, its own threads (weak)", None),
            ):
                raw = partial(_session(path, threads).run, None, inputs)
                held = None if threads is None else goal
                yield batches(setting, f"{name}, ort-cpu", reference, predictor, raw, held)
        yield from _torch(setting, name, inputs, goal)


def _torch(setting: Setting, name: str, inputs: dict[str, Any], goal: Goal) -> Iterator[Pending]:
    import torch

    from ptx.models import build
    from ptx.models.checkpoint import loads

    tensors = [torch.from_numpy(array) for array in inputs.values()]
    checkpoint, path = setting.checkpoint(name), setting.model(name, ".torchscript")
    with load(checkpoint, backend="eager", device="cpu") as predictor:
        network = build(name, predictor.card.config)
        network.load_state_dict(loads(checkpoint.read_bytes()).weights)
        yield batches(setting, f"{name}, eager", "PyTorch", predictor,
                      _inference(network.eval(), tensors), goal)  # fmt: skip
    script = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
    with load(path, backend="torchscript", device="cpu", trust=True) as predictor:
        yield batches(setting, f"{name}, torchscript", "`torch.jit.load`", predictor,
                      _inference(script, tensors), goal)  # fmt: skip


def batches(
    setting: Setting,
    name: str,
    reference: str,
    predictor: Predictor,
    raw: Callable[[], object],
    goal: Goal | None,
) -> Pair:
    """The row of a batch of 256, each time the same."""
    inputs = sample_batch(predictor.card, BATCH)
    return Pair(
        f"{name}, batch {BATCH}", reference, calls(partial(predictor.run, inputs), 20),
        calls(raw, 20), setting.effort.rounds, goal,
    )  # fmt: skip


def _latency_row(
    setting: Setting,
    name: str,
    reference: str,
    ours: Callable[[], object],
    raw: Callable[[], object],
    goal: Goal | None = None,
) -> Pair:
    return Pair(name, reference, calls(ours, setting.effort.laps), calls(raw, setting.effort.laps),
                setting.effort.rounds, goal)  # fmt: skip


def _session(path: object, threads: int | None = None) -> Any:
    """A bare session; with its own number of threads where none is given."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _from_bytes(session: Any, data: bytes) -> int:
    opened = Image.open(io.BytesIO(data)).convert("L")
    array = np.asarray(opened, np.float32)[None, None] / np.float32(255)
    logits = session.run(None, {"image": array})[0][0]
    scores = np.exp(logits - logits.max())
    return int((scores / scores.sum()).argmax())


def _inference(network: Callable[..., object], tensors: Sequence[object]) -> Callable[[], object]:
    import torch

    def run() -> object:
        with torch.inference_mode():
            return network(*tensors)

    return run
