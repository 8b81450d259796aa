"""What `ptx compare` compares the backends over: the INPUTs, what a checkpoint carries, or test rows."""

from __future__ import annotations

from pathlib import Path

from ptx import export, infer, models, report, trainers
from ptx.cli.output.terminal import note
from ptx.cli.values.dataset import open_data
from ptx.cli.values.inputs import find_inputs


def find_compared_rows(
    model: str,
    inputs: tuple[str, ...],
    data: str | None,
    workspace: Path,
    trained: export.TrainedModel,
    predictor: infer.Predictor,
) -> tuple[report.Rows, trainers.Dataset | None]:
    """The rows, and the data set whose test rows they are."""
    if inputs:
        values = find_inputs(inputs, predictor.preprocessing)
        return report.value_rows(values, predictor), None
    if data is None and models.lookup(model) is None:
        rows = report.carried_rows(trained)
        if rows.random:
            note("the inputs are random numbers: give INPUTs to compare over real ones")
        return rows, None
    dataset = open_data(model, data, workspace, trained.card)
    return report.split_rows(dataset, predictor), dataset
