"""`ptx export --compute int8` and `--quantize-weights`: what they write and print."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import ptx.export as exporting
from ptx import infer, report, trainers
from ptx.cli.terminal import ProgressBar, print_note, print_summary, quiet_exporters
from ptx.cli.workspace import Workspace
from ptx.infer.errors import UsageError

MAX_DROP = 0.1  # points


def export_int8(
    space: Workspace,
    trained: exporting.TrainedModel,
    variant: exporting.ExportVariant,
    target: Path,
    opset: int | None,
    data: str | None,
) -> None:
    """Export a file that computes in int8; print its size, speed and accuracy."""
    from ptx.export.quantize.int8 import check_model

    check_model(trained)
    dataset = report.open_training_data(trained.manifest, data, cache=space.data, notify=print_note)
    if dataset is None:
        name = trained.manifest.training.get("data", {}).get("name", "")
        raise UsageError(
            f"--compute int8 needs the training data{name and f' ({name})'}, for calibration and to"
            " measure accuracy. It is not on this machine: use --data"
        )
    drop = MAX_DROP if variant.max_drop is None else variant.max_drop
    config = report.quantization_config(trained, dataset, max_drop=drop, for_size=variant.for_size)
    with ProgressBar("verifying onnx", "runs") as progress, quiet_exporters():
        done = exporting.export_int8(
            trained,
            target,
            config,
            opset=opset,
            announce=partial(space.note_export, target, "onnx"),
            progress=progress.reach,
        )
    assert done.quality is not None
    print_summary(
        f"{done.path}: {report.file_size(done.size)} instead of"
        f" {report.file_size(done.size + done.saved)}, {done.quality.speed},"
        f" {done.quality.single_rows:,} rows the same alone and in a batch"
    )
    print_summary(str(done.quality.accuracy))


def print_quantization_cost(
    space: Workspace, rows: report.EvaluationData, path: Path, data: str | None
) -> None:
    """What quantizing the weights changes on the test rows."""
    split = rows.split
    if split is None:
        manifest = rows.trained.manifest
        dataset = report.open_training_data(manifest, data, cache=space.data, notify=print_note)
        split = None if dataset is None else trainers.labelled_test_rows(manifest, dataset)
    if split is None:
        print_note(
            "the change in accuracy was not measured, because the training data is not on this machine:"
            " use --data"
        )
        return
    backend = exporting.EXPORTERS[infer.read_artifact(path).kind].backend
    with infer.load(path, backend=backend, trust=True) as predictor:  # this process made it
        cost = report.weight_quantization_cost(rows.trained, predictor, split)
    print_summary(f"quantization: {cost}")
