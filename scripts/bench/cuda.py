"""Rows of a CUDA device: the predictor, plain and captured, against the runtime under it; a training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from pairing import Goal, Missing, Pair, Pending, Result, Row, calls
from predicting import BATCH, MICROSECOND, batches
from setting import Setting, train_epochs

from ptx.infer import BackendError, load
from ptx.report.measurement import sample_batch

_MARK = 3.0  # seconds


def cuda(setting: Setting) -> Iterator[Pending]:
    for name in ("convnet", "lstm", "mlp"):
        path = setting.model(name, ".onnx")
        try:
            predictor = load(path, backend="ort-cuda")
        except BackendError as error:
            yield Missing(f"{name}, ort-cuda", str(error))
            continue
        from naive.captured import open_session

        with predictor:
            session = open_session(str(path))
            raw = partial(session.run, None, sample_batch(predictor.card, BATCH))
            yield batches(setting, f"{name}, ort-cuda", "`session.run`", predictor, raw,
                          Goal(1 / 0.97))  # fmt: skip
        if name != "lstm":  # whose time axis is dynamic
            yield from _captured(setting, name)
    yield _FastTraining(setting)


def _captured(setting: Setting, name: str) -> Iterator[Pending]:
    from naive.captured import captured

    path = setting.model(name, ".onnx")
    with load(path, backend="ort-cuda") as predictor:
        for batch, count, goal in (
            (1, 200, Goal(gap=10 * MICROSECOND)),
            (BATCH, 50, Goal(1 / 0.95)),
        ):
            inputs = sample_batch(predictor.card, batch)
            yield Pair(
                f"{name}, ort-cuda, batch {batch}", "a captured graph (strong)",
                calls(partial(predictor.run, inputs), count),
                calls(captured(str(path), inputs), count), setting.effort.rounds, goal,
            )  # fmt: skip


@dataclass(frozen=True)
class _FastTraining:
    """The recipe that is to reach 99.0 % within three seconds on a device; its row says the accuracy."""

    setting: Setting

    def __str__(self) -> str:
        return "`ptx train convnet --recipe fast` on CUDA, its epochs"

    def take(self) -> Iterator[Result]:
        import torch

        if not torch.cuda.is_available():
            yield Missing(str(self), "PyTorch finds no CUDA device")
            return
        workspace = self.setting.folder / "training-cuda"
        epochs = train_epochs(workspace, "--recipe", "fast", "--device", "cuda")
        seconds = sum(float(epoch["seconds"]) for epoch in epochs)
        name = f"{self}: {100 * float(epochs[-1]['test_accuracy']):.2f} %"
        yield Row(name, "the mark", seconds, _MARK, seconds / _MARK, Goal(1.0))
