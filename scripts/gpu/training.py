"""Every model trained on the device, beside the CPU; the fast recipe; what mixed precision pays."""

from __future__ import annotations

import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
from gpu_setting import Setting
from page import Cells, Page, SkippedError

from ptx.infer import load
from ptx.infer.artifact.artifact import read_artifact
from ptx.infer.backends.pytorch.precision import CUDA_PRECISION
from ptx.models import CATALOG, build
from ptx.trainers import TrainingResult, default_recipe, find_recipe, train
from ptx.trainers.evaluation import model_inputs
from ptx.trainers.recipe import LOSSES

SEEDS = (0, 1)  # of the CPU, for its spread
FAST_SEEDS = range(5)
MIXED = ("convnet", "neural-network", "lstm", "residual-net", "name-classifier")
STEPS = 200  # of a training in mixed precision
Batch = tuple[list[torch.Tensor], torch.Tensor]


def measure(page: Page, setting: Setting) -> None:
    page.section("Training", "model", "device read back", "precision", "epochs", "s per epoch",
                 "accuracy or loss", "CPU, two seeds")  # fmt: skip
    for model in setting.models:
        page.row(model, partial(_row, setting, model))
    if "convnet" not in setting.models:
        return
    page.section("`--recipe fast` of convnet", "seed", "device", "s of epochs", "accuracy")
    for seed in FAST_SEEDS:
        page.row(str(seed), partial(_fast, setting, seed))


def _row(setting: Setting, model: str) -> Cells:
    result = _train(setting, model, setting.device, 0)
    setting.trained(model, result.checkpoint)
    beside = [_train(setting, model, "cpu", seed) for seed in SEEDS]
    seconds = sum(row["seconds"] for row in result.history) / len(result.history)
    spread = " to ".join(sorted(_reached_text(one) for one in beside))
    card = read_artifact(result.checkpoint).require_card()
    told = (
        card.training["device"],
        ", ".join(f"{kind} {precision}" for kind, precision in card.training["precision"].items()),
    )
    return *told, len(result.history), f"{seconds:.2f}", _reached_text(result), spread


def _train(setting: Setting, model: str, device: str, seed: int) -> TrainingResult:
    whole = default_recipe(model)
    recipe = default_recipe(model, epochs=min(setting.epochs, whole.epochs))
    folder = setting.folder / f"{device}-{seed}" / model
    result = train(model, setting.dataset(model), recipe, folder=folder, device=device, seed=seed)
    if result.interrupted:
        raise KeyboardInterrupt
    return result


def _reached_text(result: TrainingResult) -> str:
    last = result.history[-1]
    accuracy = last.get("test_accuracy")
    return f"loss {last['test_loss']:.4f}" if accuracy is None else f"{100 * accuracy:.2f} %"


def _fast(setting: Setting, seed: int) -> Cells:
    if setting.device == "cpu":
        raise SkippedError("its mark of three seconds is for a CUDA device, and PyTorch finds none")
    folder: Path = setting.folder / "fast" / str(seed)
    recipe = find_recipe("convnet", "fast")
    result = train("convnet", setting.dataset("convnet"), recipe, folder=folder,
                   device=setting.device, seed=seed)  # fmt: skip
    seconds = sum(row["seconds"] for row in result.history)
    return setting.device, f"{seconds:.2f}", _reached_text(result)


def measure_mixed(page: Page, setting: Setting) -> None:
    page.section(f"Mixed precision, {STEPS} steps of the documented batch", "model", "float32, s",
                 "autocast bf16, s", "gain", "loss, float32", "loss, bf16")  # fmt: skip
    for model in (name for name in MIXED if name in setting.models):
        page.row(model, partial(_mixed_row, setting, model))


def _mixed_row(setting: Setting, model: str) -> Cells:
    batches = _batches(setting, model)
    with CUDA_PRECISION.hold_at("float32"):  # PyTorch's own choice is TF32 in convolutions
        (plain, loss), (mixed, mixed_loss) = (
            _steps(setting, model, batches, halved=halved) for halved in (False, True)
        )
    return (f"{plain:.2f}", f"{mixed:.2f}", f"{plain / mixed:.2f}", f"{loss:.4f}",
            f"{mixed_loss:.4f}")  # fmt: skip


def _batches(setting: Setting, model: str) -> list[Batch]:
    setting.prepare(model)
    dataset, size = setting.dataset(model), default_recipe(model).batch_size
    with load(setting.checkpoints[model], backend="eager", device="cpu") as predictor:
        found = []
        for rows, inputs in model_inputs(dataset.train, predictor.preprocessing):
            targets = torch.from_numpy(dataset.train.targets[rows]).to(setting.device)
            axes = [spec.batch_axis for spec in predictor.signature.inputs]
            tensors = [torch.from_numpy(array).to(setting.device) for array in inputs.values()]
            for start in range(0, len(rows) - size + 1, size):
                parts = [
                    tensor.narrow(axis, start, size)
                    for tensor, axis in zip(tensors, axes, strict=True)
                ]
                found.append((parts, targets[start : start + size]))
    return found


def _steps(
    setting: Setting, model: str, batches: list[Batch], *, halved: bool
) -> tuple[float, float]:
    torch.manual_seed(0)
    network = build(model, dict(CATALOG[model].config)).to(setting.device).train()
    compute = LOSSES[default_recipe(model).loss].compute
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    context = torch.autocast(setting.device, torch.bfloat16) if halved else nullcontext()
    started, losses = 0.0, []
    for step in range(STEPS + 20):
        if step == 20:  # warm now
            _synchronise(setting)
            started = time.perf_counter()
        inputs, targets = batches[step % len(batches)]
        with context:
            outputs = network(*inputs)
        loss = compute(outputs.float(), targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.detach())
    _synchronise(setting)
    return time.perf_counter() - started, float(torch.stack(losses[-20:]).mean())


def _synchronise(setting: Setting) -> None:
    if setting.device == "cuda":
        torch.cuda.synchronize()
