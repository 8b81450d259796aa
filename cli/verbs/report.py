"""ptx report"""

from __future__ import annotations

from contextlib import ExitStack
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ptx.cli import options
from ptx.cli.time_limit import time_limit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ptx.cli.report_page import Findings
    from ptx.cli.workspace import Workspace
    from ptx.export import TrainedModel
    from ptx.infer import Predictor
    from ptx.trainers.data import Dataset

BENCHMARK = "benchmark.csv"  # that `ptx benchmark` writes beside the artifacts
SHOWN = 12  # wrong answers, and sample predictions
PREFERRED = ("ort-cuda", "ort-cpu")  # what answers the test rows, where it is there


@click.command(
    epilog="\b\nExamples:\n  ptx report linear-model\n"
    "  ptx report convnet --data bundled --output convnet.html",
    short_help="One HTML page on a model: curves, errors, backends.",
)
@click.argument("model", shell_complete=options.complete_name)
@options.device
@options.trust
@options.data
@click.option("--output", type=click.Path(path_type=Path),
              help="Instead of report.html in the model's folder.")  # fmt: skip
@options.workspace
@time_limit
@options.common
def report(
    model: str, device: str, trust: bool, data: str | None, output: Path | None, workspace: Path
) -> None:
    """Write one HTML page on MODEL, a name of the catalog: training curves, confusion matrix, the most
    confidently wrong inputs, agreement and speed of the backends, provenance, sample predictions.

    The page is one file: it opens without a network and prints.
    """
    from ptx.cli.report_page import report_page
    from ptx.cli.terminal import file_size, verdict
    from ptx.cli.workspace import Workspace, require_model
    from ptx.infer.artifact.files import check_writable, write_atomic

    space = Workspace(workspace)
    space.find(require_model(model), "checkpoint")
    target = output or space.folder(model) / "report.html"
    check_writable(target)
    page = report_page(_find(model, device, trust, data, workspace)).encode()
    write_atomic(target, page)
    verdict(f"{target}: {file_size(len(page))}", f"open {target} in a browser")


def _find(model: str, device: str, trust: bool, data: str | None, workspace: Path) -> Findings:
    """Open the model's backends and its test rows, and run what the page shows."""
    from ptx.cli.dataset import open_data
    from ptx.cli.opening import open_backends
    from ptx.cli.workspace import Workspace
    from ptx.export import read_model
    from ptx.infer.backends import Options

    space = Workspace(workspace)
    source = read_model(space.find(model, "checkpoint"))
    asked = Options(device=device, trust=space.trust(trust))
    predictors, left_out = open_backends(space, model, source.card.weights_sha256, asked)
    with ExitStack() as stack:
        for predictor in predictors:
            stack.enter_context(predictor)
        dataset = open_data(model, data, workspace, source.card)
        return _run(model, space, source, dataset, predictors, left_out)


def _run(
    model: str,
    space: Workspace,
    source: TrainedModel,
    dataset: Dataset,
    predictors: list[Predictor],
    left_out: list[tuple[str, str]],
) -> Findings:
    import numpy as np

    from ptx.cli.progress import ProgressLine
    from ptx.cli.report_page import Findings
    from ptx.export import compare
    from ptx.models import known_models
    from ptx.trainers import evaluate
    from ptx.trainers.evaluation import answer_rows, model_inputs, most_wrong

    predictor = _preferred(predictors)
    with ProgressLine("evaluating", "rows", len(dataset.test)) as progress:
        evaluation = evaluate(
            predictor, dataset.test, names=dataset.labels, progress=progress.advance
        )
    with ProgressLine("comparing", "inputs", len(dataset.test)) as progress:
        comparison = compare(
            source.reference,
            predictors,
            model_inputs(dataset.test, predictor.preprocessing, dataset.labels),
            progress=progress.advance,
        )
    entry = known_models()[model]
    few = np.unique(np.linspace(0, len(dataset.test) - 1, SHOWN).astype(np.int64))
    speeds, benchmark = _speeds(space.folder(model) / BENCHMARK, model)
    return Findings(
        card=predictor.card,
        summary=f"{entry.summary}; {entry.source}",
        data=dataset.name,
        backend=predictor.backend.name,
        history=_history(space.checkpoint(model)),
        evaluation=evaluation,
        wrong=most_wrong(predictor, dataset.test, evaluation, SHOWN, dataset.labels),
        samples=answer_rows(predictor, dataset.test, few, dataset.labels),
        comparison=comparison,
        left_out=left_out,
        speeds=speeds,
        benchmark=benchmark,
        files=space.files(model),
    )


def _preferred(predictors: list[Predictor]) -> Predictor:
    for name in PREFERRED:
        for predictor in predictors:
            if predictor.backend.name == name:
                return predictor
    return predictors[0]


def _history(checkpoint: Path) -> list[dict[str, float]]:
    from ptx.infer.artifact.artifact import read_artifact
    from ptx.infer.backends.pytorch.device import loading
    from ptx.models import checkpoint as checkpoints

    artifact = read_artifact(checkpoint)
    with loading(artifact):
        return checkpoints.loads(artifact.data).history


def _speeds(path: Path, model: str) -> tuple[list[Mapping[str, str]], str]:
    """The measured speeds, and what the page says where there are none."""
    from ptx.cli.benchmark_file import read_speeds

    command = f"<code>ptx benchmark {escape(model)}</code> measures it; then make this page again."
    if not path.is_file():
        return [], f"Not measured yet. {command}"
    try:
        rows = read_speeds(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        return [], f"{path.name} cannot be used: {escape(str(error))}. {command}"
    return list(rows), f"{path.name} holds no rows. {command}"
