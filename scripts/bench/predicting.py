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
from ptx.infer.backends.threads import available_cpus
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
        "one picture, whole process",
        "NumPy + Pillow + ONNX Runtime",
        process(predict),
        process(naive("picture", digit, model)),
        setting.effort.rounds,
        Goal(1.0),
    )
    click = process([sys.executable, "-c", "import click"])
    yield Pair(
        "`ptx --help`",
        "`import click`",
        process([PTX, "--help"]),
        click,
        setting.effort.rounds,
        Goal(1.2),
    )
    words = {"_PTX_COMPLETE": "bash_complete", "COMP_WORDS": "ptx pre", "COMP_CWORD": "1"}
    yield Pair(
        "completing a verb",
        "`import click`",
        process([PTX], **words),
        click,
        setting.effort.rounds,
        Goal(1.2),
    )


def latency(setting: Setting) -> Iterator[Pending]:
    """One picture in a process that is warm."""
    digit = next(pictures(setting).iterdir()).read_bytes()
    path = setting.model("convnet", ".onnx")
    pixels = np.asarray(Image.open(io.BytesIO(digit)))
    image = pixels.astype(np.float32)[None, None] / np.float32(255)
    # As many threads as ptx takes for so little.
    strong, weak = open_session(path, threads=1), open_session(path)
    with load(path, backend="ort-cpu") as digits:
        run, arrays = partial(digits.run, {"image": image}), {"image": image}
        from_bytes = partial(digits.predict, digit)
        one, own = "`session.run`, one thread", "`session.run`, its own threads (weak)"
        for name, ours, reference, raw, goal in (
            (
                "`run(arrays)`, batch 1",
                run,
                one,
                partial(strong.run, None, arrays),
                Goal(gap=10 * MICROSECOND),
            ),
            (
                "`predict(ready array)`",
                partial(digits.predict, image[0]),
                one,
                partial(strong.run, None, arrays),
                Goal(gap=20 * MICROSECOND),
            ),
            (
                "`predict(pixels)`",
                partial(digits.predict, pixels),
                one,
                partial(strong.run, None, arrays),
                None,
            ),
            ("`run(arrays)`, batch 1", run, own, partial(weak.run, None, arrays), None),
            (
                "`predict(PNG bytes)`",
                from_bytes,
                f"Pillow + {one}",
                partial(_from_bytes, strong, digit),
                Goal(1.0),
            ),
            (
                "`predict(PNG bytes)`",
                from_bytes,
                f"Pillow + {own}",
                partial(_from_bytes, weak, digit),
                None,
            ),
        ):
            laps = setting.effort.laps
            yield Pair(
                name, reference, calls(ours, laps), calls(raw, laps), setting.effort.rounds, goal
            )


def throughput(setting: Setting) -> Iterator[Pending]:
    """Arrays in, batches of 256: the predictor against the runtime under it."""
    import torch

    torch.set_num_threads(available_cpus())
    for name, goal in _OF_A_BATCH.items():
        path = setting.model(name, ".onnx")
        with load(path, backend="ort-cpu") as predictor:
            inputs = sample_batch(predictor.manifest, BATCH)
            for reference, threads in (
                ("`session.run`, as many threads", available_cpus()),
                ("`session.run`, its own threads (weak)", None),
            ):
                raw = partial(open_session(path, threads).run, None, inputs)
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
        network = build(name, predictor.manifest.config)
        network.load_state_dict(loads(checkpoint.read_bytes()).weights)
        yield batches(
            setting,
            f"{name}, eager",
            "PyTorch",
            predictor,
            _inference(network.eval(), tensors),
            goal,
        )
    script = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
    with load(path, backend="torchscript", device="cpu", trust=True) as predictor:
        yield batches(
            setting,
            f"{name}, torchscript",
            "`torch.jit.load`",
            predictor,
            _inference(script, tensors),
            goal,
        )


def batches(
    setting: Setting,
    name: str,
    reference: str,
    predictor: Predictor,
    raw: Callable[[], object],
    goal: Goal | None,
) -> Pair:
    """The row of a batch of 256, each time the same."""
    inputs = sample_batch(predictor.manifest, BATCH)
    return Pair(
        f"{name}, batch {BATCH}",
        reference,
        calls(partial(predictor.run, inputs), 20),
        calls(raw, 20),
        setting.effort.rounds,
        goal,
    )


def open_session(path: object, threads: int | None = None) -> Any:
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
