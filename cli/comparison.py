"""What `ptx compare` and `ptx evaluate` hold against what is known; what they and `benchmark` say."""

from __future__ import annotations

import json
from pathlib import Path

from ptx import export, infer, models, report, trainers
from ptx.cli.dataset import open_data
from ptx.cli.forms import IN_INT8
from ptx.cli.inputs import find_inputs
from ptx.cli.streams import echo, writes_unicode
from ptx.cli.terminal import Progress, colour_verdict, columns, print_note, verdict
from ptx.cli.workspace import Workspace
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.errors import pluralise


def find_problems(
    space: Workspace, trained: export.TrainedModel, predictors: list[infer.Predictor]
) -> list[str]:
    """In what the files are not what was proved; a card of other weights is left out."""
    from ptx.export.card_comparison import card_problems

    cards: dict[str, infer.Card] = {}
    for kind, path in space.files(trained.card.model).items():
        if kind == CHECKPOINT:
            continue
        card = infer.read_artifact(path).require_card()
        if card.weights_sha256 == trained.card.weights_sha256:
            cards[path.name] = card
        else:
            print_note(f"{path} was exported from other weights: its card is left out")
    return card_problems(trained.limited_card, cards, predictors)


def find_compared_rows(
    inputs: tuple[str, ...],
    data: str | None,
    workspace: Path,
    trained: export.TrainedModel,
    predictor: infer.Predictor,
) -> tuple[report.Rows, trainers.Dataset | None]:
    """The INPUTs, what the checkpoint carries, or test rows and the data set that they are of."""
    model = trained.card.model
    if inputs:
        values = find_inputs(inputs, predictor.preprocessing)
        return report.value_rows(values, predictor), None
    if data is None and models.lookup(model) is None:
        rows = report.carried_rows(trained)
        if rows.random:
            print_note("the inputs are random numbers: give INPUTs to compare over real ones")
        return rows, None
    dataset = open_data(model, data, workspace, trained.card)
    return report.split_rows(dataset, predictor), dataset


def answer_test_rows(
    predictor: infer.Predictor, dataset: trainers.Dataset
) -> tuple[trainers.Evaluation, bool, str]:
    """The test rows answered, with a bar; whether that is no less than the card's record, in words."""
    from ptx.trainers.reached import against_record

    with Progress("evaluating", "rows", len(dataset.test)) as progress:
        found = trainers.evaluate(
            predictor, dataset.test, names=dataset.labels, progress=progress.advance
        )
    holds, told = against_record(predictor.card, found, dataset)
    return found, holds, told


def reach_record(
    compared: report.ModelComparison,
    predictor: infer.Predictor,
    dataset: trainers.Dataset | None,
    space: Workspace,
) -> tuple[str, bool]:
    """The accuracy on the test rows beside the card's record, and whether it is no worse.

    Of one backend: the others agree with it, label by label, or have failed. What computes in int8 is
    held by its accuracy alone.
    """
    if dataset is None or not compared.holds:
        return "", True
    found, holds, told = answer_test_rows(predictor, dataset)
    line = f"{found.figure} of {pluralise(found.rows, 'row')} of {dataset.name}; {told}"
    path = space.artifact(compared.model, "onnx", IN_INT8)
    if not path.is_file():
        return line, holds
    int8, held = _reach_int8(path, predictor.card, dataset)
    return f"{line}\n{int8}", holds and held


def _reach_int8(path: Path, card: infer.Card, dataset: trainers.Dataset) -> tuple[str, bool]:
    """The same of a file that computes in int8: against what the plain one reached at its export."""
    from ptx.infer.artifact.by_accuracy import BY_ACCURACY
    from ptx.infer.verification import failures

    with infer.load(path, backend="ort-cpu") as predictor:
        if predictor.card.weights_sha256 != card.weights_sha256:
            return f"{path.name} was exported from other weights: it is left out", True
        if failed := failures(predictor, predictor.card):
            return f"{path.name}: {failed[0].name}: {failed[0].detail}", False
        found, holds, told = answer_test_rows(predictor, dataset)
    return f"{path.name}: {BY_ACCURACY}: {found.figure}; {told}", holds


def print_problems(model: str, problems: list[str], *, as_json: bool) -> int:
    """Say in what the files are not what was proved; their numbers would say nothing then."""
    if as_json:
        echo(json.dumps({"model": model, "holds": False, "problems": problems}))
    else:
        echo("\n".join(problems))
        following = f"ptx export {model} --format all"
        verdict(f"{model}: the files are not what was proved", following, holds=False)
    return 1


def save_comparison(compared: report.ModelComparison, output: Path) -> None:
    """Write the file of --output, where any input could be compared."""
    if compared.found.rows:
        compared.save(output)
        print_note(f"{output}: {pluralise(len(compared.found.results), 'backend')}")


def print_comparison(
    compared: report.ModelComparison, reached: str, *, holds: bool, as_json: bool
) -> int:
    """Table, differences and verdict, or JSON; the exit code."""
    model, found, holds = compared.model, compared.found, compared.holds and holds
    if not found.rows:
        print_note("no input could be compared")
        return 4
    if as_json:
        echo(json.dumps({**compared.data(), "reached": reached, "holds": holds}))
        return 0 if holds else 1
    echo(compared.table(colour_verdict, columns()))
    for line in (*compared.differences(), reached):
        if line:
            echo(line)
    agree = f"{sum(r.holds for r in found.results)} of {len(found.results)} backends agree"
    following = f"ptx report {model}" if holds else f"ptx export {model} --format all"
    if models.lookup(model) is None:
        following = f"ptx predict photo.jpg --model {model}" if holds else "export it again"
    verdict(f"{model}: {agree}", following, holds=holds)
    return 0 if holds else 1


def print_benchmark(found: report.Benchmark, *, as_json: bool) -> None:
    """A table, or a line of JSON for each measurement."""
    if as_json:
        for line in found.lines():
            echo(json.dumps(line))
    else:
        echo(found.table(colour_verdict, columns()))


def print_evaluation(
    predictor: infer.Predictor,
    data: str,
    found: trainers.Evaluation,
    holds: bool,
    told: str,
    *,
    as_json: bool,
) -> int:
    """Confusion matrix and verdict, or JSON; the exit code."""
    card, backend = predictor.card, predictor.backend.name
    matrix = None if found.confusion is None else found.confusion.tolist()
    if as_json:
        record = {
            "model": card.model,
            "backend": backend,
            "data": data,
            "rows": found.rows,
            "accuracy": found.accuracy,
            "rmse": found.error,
            "labels": list(card.labels),
            "confusion": matrix,
            "holds": holds,
            "record": told,
        }
        echo(json.dumps(record, ensure_ascii=not writes_unicode()))
        return 0 if holds else 1
    if matrix is not None:
        echo(report.confusion_text(card.labels, matrix))
    rows = pluralise(found.rows, "row")
    verdict(
        f"{card.model} on {backend}: {found.figure} of {rows}; {told}",
        f"ptx report {card.model}" if holds else f"ptx compare {card.model}",
        holds=holds,
    )
    return 0 if holds else 1
