"""Every model through every backend on both devices, against eager float64."""

from __future__ import annotations

from functools import cached_property, partial
from typing import Any

from gpu_setting import Setting
from page import Cells, Page

from ptx.export import EXPORTERS, compare, read_model
from ptx.export.check.equivalence import EquivalenceCheck
from ptx.infer import BACKENDS, load
from ptx.trainers.data import Split
from ptx.trainers.evaluation import model_inputs

ROWS = 1024  # of the test split
STRICT = 1e-4  # the largest error that float32 may have


def _kinds() -> list[tuple[str, str, str, str]]:
    """(kind of file, backend, device, precision)."""
    torch_kinds = [("checkpoint", "eager")]
    torch_kinds += [(k, f.backend) for k, f in EXPORTERS.items() if f.backend != "ort-cpu"]
    runs = [
        ("onnx", "ort-cpu", "cpu", "float32"),
        ("onnx", "ort-cuda", "cuda", "float32"),
        ("onnx", "ort-cuda", "cuda", "tf32"),
    ]
    for kind, backend in torch_kinds:
        runs += [
            (kind, backend, "cpu", "float32"),
            (kind, backend, "cuda", "float32"),
            (kind, backend, "cuda", "tf32"),
        ]
    return [run for run in runs if run[2] in BACKENDS[run[1]].devices]


class _Model:
    """One model's proof and test rows."""

    def __init__(self, setting: Setting, name: str) -> None:
        self._setting, self.name = setting, name

    @cached_property
    def equivalence_check(self) -> EquivalenceCheck:
        trained = read_model(self._setting.checkpoints[self.name])
        return EquivalenceCheck(trained.network, trained.manifest.signature, {})

    @cached_property
    def rows(self) -> Split:
        import numpy as np

        split = self._setting.dataset(self.name).test
        return split.take(np.arange(min(ROWS, len(split))))

    def measure(self, kind: str, **options: Any) -> Cells:
        path = self._setting.paths(self.name)[kind]
        with load(path, trust=True, **options) as predictor:  # exported by this check
            found = compare(
                self.equivalence_check,
                [predictor],
                model_inputs(self.rows, predictor.preprocessing),
            )
            (result,) = found.results
            if result.failure:
                raise RuntimeError(result.failure)
            strict = options["precision"] != "float32" or result.error < STRICT
            verdict = "agrees" if found.passed and strict else "differs"
            if options["precision"] == "float32" and verdict == "differs":
                verdict = "**differs**"
            errors = (f"{result.error:.1e}", f"{result.tolerance:.1e}", result.differ)
            asked = (options["backend"], predictor.backend.device, options["precision"])
            return *asked, *errors, verdict


def prepare(page: Page, setting: Setting) -> None:
    """Train the first models for an epoch; their exports then run beside the rows."""
    for name in setting.first_models:
        page.note(f"one epoch of {name}")
        page.step(f"the training of {name}", partial(setting.prepare, name))


def measure(page: Page, setting: Setting) -> None:
    """Of the first models."""
    _table(page, setting, setting.first_models, "Agreement with eager float64")


def measure_others(page: Page, setting: Setting) -> None:
    """Of the others."""
    others = [name for name in setting.models if name not in setting.first_models]
    if others:
        _table(page, setting, others, "Agreement with eager float64 of the other models")


def _table(page: Page, setting: Setting, models: list[str], title: str) -> None:
    page.section(
        title,
        "model",
        "backend",
        "device read back",
        "precision",
        "largest error",
        "allowed",
        "labels that differ",
        "",
    )
    for name in models:
        model = _Model(setting, name)
        for kind, backend, device, precision in _kinds():
            wanted = f"{name}, {backend}, {device}, {precision}"
            page.row(
                wanted,
                partial(model.measure, kind, backend=backend, device=device, precision=precision),
            )
