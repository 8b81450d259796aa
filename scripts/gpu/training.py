"""Every model trained on the device and on the CPU; the fast recipe."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gpu_setting import Setting
from page import Cells, Page, SkippedError

from ptx.infer.artifact.artifact import read_artifact
from ptx.trainers import TrainingResult, default_recipe, find_recipe, train

SEEDS = (0, 1)  # of the CPU, for its spread
FAST_SEEDS = range(5)


def measure(page: Page, setting: Setting) -> None:
    page.section(
        "Training",
        "model",
        "device read back",
        "precision",
        "epochs",
        "s per epoch",
        "accuracy or loss",
        "CPU, two seeds",
    )
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
    manifest = read_artifact(result.checkpoint).require_manifest()
    told = (
        manifest.training["device"],
        ", ".join(
            f"{kind} {precision}" for kind, precision in manifest.training["precision"].items()
        ),
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
    result = train(
        "convnet",
        setting.dataset("convnet"),
        recipe,
        folder=folder,
        device=setting.device,
        seed=seed,
    )
    seconds = sum(row["seconds"] for row in result.history)
    return setting.device, f"{seconds:.2f}", _reached_text(result)
