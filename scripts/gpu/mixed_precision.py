"""What autocast to bfloat16 would gain in training: ptx has no such option, unless this pays."""

from __future__ import annotations

import time
from contextlib import nullcontext
from functools import partial

import torch
from gpu_setting import Setting
from page import Cells, Page

from ptx.infer import load
from ptx.models import CATALOG, build
from ptx.trainers import default_recipe
from ptx.trainers.evaluation import model_inputs
from ptx.trainers.recipe import LOSSES

MODELS = ("convnet", "neural-network", "lstm", "residual-net", "name-classifier")
STEPS = 200
Batch = tuple[list[torch.Tensor], torch.Tensor]


def measure(page: Page, setting: Setting) -> None:
    """The table."""
    page.section(f"Mixed precision, {STEPS} steps of the documented batch", "model", "float32, s",
                 "autocast bf16, s", "gain", "loss, float32", "loss, bf16")  # fmt: skip
    for model in (name for name in MODELS if name in setting.models):
        page.row(model, partial(_row, setting, model))


def _row(setting: Setting, model: str) -> Cells:
    batches = _batches(setting, model)
    (plain, loss), (mixed, mixed_loss) = (
        _steps(setting, model, batches, halved=halved) for halved in (False, True)
    )
    return (f"{plain:.2f}", f"{mixed:.2f}", f"{plain / mixed:.2f}", f"{loss:.4f}",
            f"{mixed_loss:.4f}")  # fmt: skip


def _batches(setting: Setting, model: str) -> list[Batch]:
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
