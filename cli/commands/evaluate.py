"""ptx evaluate"""

from __future__ import annotations

from pathlib import Path

import click

from ptx import infer
from ptx.cli import options
from ptx.cli.comparison import answer_test_rows, print_evaluation
from ptx.cli.dataset import open_data
from ptx.cli.opening import open_model, resolve_model
from ptx.cli.workspace import Workspace


@click.command(
    epilog="\b\nExamples:\n  ptx evaluate convnet\n"
    "  ptx evaluate convnet --backend ort-cpu --data bundled",
)
@click.argument("model", shell_complete=options.complete_model)
@options.backend
@options.device
@options.precision
@options.trust
@options.data
@options.workspace
@options.as_json
@options.time_limit
@options.common
def evaluate(
    model: str,
    backend: str,
    device: str,
    precision: str,
    trust: bool,
    data: str | None,
    workspace: Path,
    as_json: bool,
) -> int:
    """Accuracy and confusion matrix of MODEL on the test rows of its data.

    The rows go through the whole predictor, and labels are held against the data's by name. A file that
    is not what was proved, or reaches less than the training did on the same rows, is an error.
    """
    from ptx.trainers.reached import require_proved

    space = Workspace(workspace)
    asked = infer.Options(device=device, precision=precision, trust=space.trust(trust))
    with open_model(resolve_model(space, model, backend), asked) as predictor:
        dataset = open_data(predictor.card.model, data, workspace, predictor.card)
        require_proved(predictor, dataset)
        found, holds, told = answer_test_rows(predictor, dataset)
        return print_evaluation(predictor, dataset.name, found, holds, told, as_json=as_json)
