"""The rows: what is measured, against what, and the largest ratio that is accepted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from pairing import OUTSIDE, Missing, Result, Row, calls, compare, process
from setting import PTX, Setting, naive, photographs, pictures

from ptx.infer import Predictor, load
from ptx.infer.backends.processors import usable_processors
from ptx.report.measurement import sample_batch

BATCH = 256
MICROSECOND = 1e-6


def cold_start(setting: Setting) -> Iterator[Result]:
    """Whole processes for one picture, for help and for completion."""
    digit = next(pictures(setting).iterdir())
    model = setting.model("convnet", ".onnx")
    rounds = setting.rounds
    predict = [PTX, "predict", digit, "--model", model, "--backend", "ort-cpu"]
    bare = naive("picture", digit, model)
    yield compare(
        "one picture, whole process", "NumPy + Pillow + ONNX Runtime", process(predict), process(bare),
        rounds=rounds, limit=1.0,
    )  # fmt: skip
    click = process([sys.executable, "-c", "import click"])
    yield compare("`ptx --help`", "`import click`", process([PTX, "--help"]), click,
                  rounds=rounds, limit=1.2)  # fmt: skip
    words = {"_PTX_COMPLETE": "bash_complete", "COMP_WORDS": "ptx pre", "COMP_CWORD": "1"}
    yield compare("completing a verb", "`import click`", process([PTX], **words), click,
                  rounds=rounds, limit=1.2)  # fmt: skip


def latency(setting: Setting) -> Iterator[Result]:
    """One picture in a process that is warm."""
    import io

    import onnxruntime
    from PIL import Image

    digit = next(pictures(setting).iterdir()).read_bytes()
    session = onnxruntime.InferenceSession(
        str(setting.model("convnet", ".onnx")), providers=["CPUExecutionProvider"]
    )
    pixels = np.asarray(Image.open(io.BytesIO(digit)))
    image = pixels.astype(np.float32)[None, None] / np.float32(255)

    def from_bytes() -> int:
        opened = Image.open(io.BytesIO(digit)).convert("L")
        array = np.asarray(opened, np.float32)[None, None] / np.float32(255)
        logits = session.run(None, {"image": array})[0][0]
        scores = np.exp(logits - logits.max())
        return int((scores / scores.sum()).argmax())

    count, rounds = 2000, setting.rounds
    with load(setting.model("convnet", ".onnx"), backend="ort-cpu") as digits:
        raw = calls(lambda: session.run(None, {"image": image}), count)
        for name, ours in (
            ("`run(arrays)`, batch 1", lambda: digits.run({"image": image})),
            ("`predict(ready array)`", lambda: digits.predict(image[0])),
            ("`predict(pixels)`", lambda: digits.predict(pixels)),
        ):
            gap = None if "pixels" in name else 10 * MICROSECOND
            yield compare(name, "`session.run`", calls(ours, count), raw, rounds=rounds, gap=gap)
        yield compare(
            "`predict(PNG bytes)`", "Pillow + `session.run`",
            calls(lambda: digits.predict(digit), count),
            calls(from_bytes, count), rounds=rounds, limit=1.0,
        )  # fmt: skip


def throughput(setting: Setting) -> Iterator[Result]:
    """Arrays in, batches of 256: the predictor against the runtime under it."""
    import onnxruntime
    import torch

    from ptx.models import build
    from ptx.models.checkpoint import loads

    torch.set_num_threads(usable_processors())
    for name in ("convnet", "lstm", "mlp"):
        path = setting.model(name, ".onnx")
        with load(path, backend="ort-cpu") as predictor:
            inputs = sample_batch(predictor.card, BATCH)
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            yield _throughput(
                setting, f"{name}, ort-cpu", "`session.run`", predictor, inputs,
                partial(session.run, None, inputs),
            )  # fmt: skip
        checkpoint = setting.checkpoint(name)
        tensors = [torch.from_numpy(array) for array in inputs.values()]
        network = build(name, predictor.card.config)
        network.load_state_dict(loads(checkpoint.read_bytes()).weights)
        with load(checkpoint, backend="eager", device="cpu") as predictor:
            yield _throughput(setting, f"{name}, eager", "PyTorch", predictor, inputs,
                              _inference(network.eval(), tensors))  # fmt: skip
        path = setting.model(name, ".torchscript")
        script = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
        with load(path, backend="torchscript", device="cpu", trust=True) as predictor:
            yield _throughput(setting, f"{name}, torchscript", "`torch.jit.load`", predictor, inputs,
                              _inference(script, tensors))  # fmt: skip


def folder(setting: Setting) -> Iterator[Result]:
    """A folder of pictures to JSON Lines, whole process."""
    files, output = pictures(setting), setting.folder / "answers.jsonl"
    model = setting.model("convnet", ".onnx")
    predict = [PTX, "predict", files, "--model", model, "--backend", "ort-cpu", "--output", output]
    name = f"{setting.files:,} PNG files to JSON Lines"
    ours = process(predict)
    yield compare(name, "one by one", ours, process(naive("folder", files, model, output)),
                  rounds=max(3, setting.rounds // 3), limit=0.35)  # fmt: skip
    loader = naive("loader", files.parent, setting.checkpoint("convnet"), output)
    yield compare(
        name, "ImageFolder + DataLoader + eager", ours, process(loader), rounds=3, limit=0.12
    )
    jpegs = photographs(setting)
    predict[2] = jpegs
    yield compare(
        f"{setting.photographs:,} photographs of 12 Mpx", "one by one", process(predict),
        process(naive("folder", jpegs, model, output)), rounds=1,
    )  # fmt: skip


def training(setting: Setting) -> Iterator[Result]:
    """An epoch of convnet, its second, on the CPU."""
    data = setting.data().train
    archive = setting.folder / "training.npz"
    np.savez(archive, images=data.inputs["image"], labels=data.targets)
    workspace = setting.folder / "training"

    def ours() -> float:
        command = [PTX, "train", "convnet", "--epochs", "2", "--device", "cpu", "--data", "mnist",
                   "--workspace", workspace]  # fmt: skip
        subprocess.run(list(map(str, command)), check=True, capture_output=True, env=OUTSIDE)
        last = (workspace / "convnet" / "metrics.csv").read_text().splitlines()[-1]
        return float(last.split(",")[5])

    for form, limit in (("slices", 0.75), ("loader", 0.40)):

        def theirs(form: str = form) -> float:
            command = list(map(str, naive("training", archive, form, 2)))
            done = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, text=True, env=OUTSIDE
            )
            return float(done.stdout)

        yield compare(f"an epoch of convnet, {len(data):,} rows", f"plain PyTorch, {form}", ours, theirs,
                      rounds=3, limit=limit)  # fmt: skip


def exporting(setting: Setting) -> Iterator[Result]:
    """An export with its proof, whole process."""
    output, checkpoint = setting.folder / "exported.onnx", setting.checkpoint("convnet")
    command = [PTX, "export", "convnet", "--checkpoint", checkpoint, "--output", output,
               "--workspace", setting.workspace]  # fmt: skip
    yield compare(
        "`ptx export convnet --format onnx`, proof included", "`torch.onnx.export`", process(command),
        process(naive("export", checkpoint, output)), rounds=3, limit=1.2,
    )  # fmt: skip


def cuda(setting: Setting) -> Iterator[Result]:
    """The predictor on CUDA, plain and captured, against the runtime under it; and a training."""
    from ptx.infer import BackendError

    for name in ("convnet", "lstm", "mlp"):
        path = setting.model(name, ".onnx")
        try:
            predictor = load(path, backend="ort-cuda")
        except BackendError as error:
            yield Missing(f"{name}, ort-cuda", str(error).replace("|", "/"))
            continue
        import onnxruntime

        with predictor:
            session = onnxruntime.InferenceSession(
                str(path), providers=[("CUDAExecutionProvider", {"use_tf32": "0"})]
            )
            inputs = sample_batch(predictor.card, BATCH)
            yield _throughput(
                setting, f"{name}, ort-cuda", "`session.run`", predictor, inputs,
                partial(session.run, None, inputs),
            )  # fmt: skip
        if name != "lstm":  # whose time axis is dynamic
            yield from _captured(setting, name)
    yield _fast_training(setting)


def _captured(setting: Setting, name: str) -> Iterator[Result]:
    from naive.captured import captured

    path = setting.model(name, ".onnx")
    with load(path, backend="ort-cuda", cuda_graphs=True) as predictor:
        single, many = (sample_batch(predictor.card, batch) for batch in (1, BATCH))
        yield compare(
            f"{name}, ort-cuda with graphs, batch 1", "a captured graph",
            calls(lambda: predictor.run(single), 200), calls(captured(str(path), single), 200),
            rounds=setting.rounds, gap=10 * MICROSECOND,
        )  # fmt: skip
        yield compare(
            f"{name}, ort-cuda with graphs, batch {BATCH}", "a captured graph",
            calls(lambda: predictor.run(many), 50), calls(captured(str(path), many), 50),
            rounds=setting.rounds, limit=1 / 0.95,
        )  # fmt: skip


def _fast_training(setting: Setting) -> Result:
    """The recipe that is to reach 99.0 % within three seconds on a device."""
    import torch

    name = "`ptx train convnet --recipe fast` on CUDA, its epochs"
    if not torch.cuda.is_available():
        return Missing(name, "PyTorch finds no CUDA device")
    workspace = setting.folder / "training-cuda"
    command = [PTX, "train", "convnet", "--recipe", "fast", "--device", "cuda", "--data", "mnist",
               "--workspace", workspace]  # fmt: skip
    subprocess.run(list(map(str, command)), check=True, capture_output=True, env=OUTSIDE)
    metrics = (workspace / "convnet" / "metrics.csv").read_text().splitlines()
    header = metrics[0].split(",")
    rows = [dict(zip(header, line.split(","), strict=True)) for line in metrics[1:]]
    seconds = sum(float(row["seconds"]) for row in rows)
    accuracy = float(rows[-1]["test_accuracy"])
    asked = 3.0
    return Row(f"{name}: {100 * accuracy:.2f} %", "the mark", seconds, asked, seconds / asked, 1.0)


SECTIONS: dict[str, Callable[[Setting], Iterator[Result]]] = {
    "cold-start": cold_start,
    "latency": latency,
    "folder": folder,
    "throughput": throughput,
    "training": training,
    "export": exporting,
    "cuda": cuda,
}


def _throughput(
    setting: Setting,
    name: str,
    reference: str,
    predictor: Predictor,
    inputs: dict[str, np.ndarray],
    raw: Callable[[], object],
) -> Row:
    return compare(
        f"{name}, batch {BATCH}", reference, calls(lambda: predictor.run(inputs), 20), calls(raw, 20),
        rounds=setting.rounds, limit=1 / 0.97,
    )  # fmt: skip


def _inference(network: Callable[..., object], tensors: Sequence[object]) -> Callable[[], object]:
    import torch

    def run() -> object:
        with torch.inference_mode():
            return network(*tensors)

    return run
