"""What `ptx compare` holds beside the backends' numbers: cards, golden samples, recorded accuracy."""

from __future__ import annotations

from collections.abc import Iterator

from ptx import export, infer, report, trainers
from ptx.cli.progress import Progress
from ptx.cli.terminal import note
from ptx.cli.workspace import Workspace
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.errors import pluralise


def card_problems(
    space: Workspace, model: str, trained: export.TrainedModel, predictors: list[infer.Predictor]
) -> list[str]:
    """Where a file's card differs from the checkpoint's, and what a backend's proof no longer gives."""
    from ptx.export.card_comparison import compare_cards

    cards = dict(_cards(space, model, trained.card))
    differences = [str(difference) for difference in compare_cards(trained.card, cards)]
    return differences or list(_find_unproved(predictors))


def _cards(space: Workspace, model: str, expected: infer.Card) -> Iterator[tuple[str, infer.Card]]:
    """The cards of the model's artifacts, by file name; those of other weights are left out."""
    for kind, path in space.files(model).items():
        if kind == CHECKPOINT:
            continue
        card = infer.read_artifact(path).require_card()
        if card.weights_sha256 == expected.weights_sha256:
            yield path.name, card
        else:
            note(f"{path} was exported from other weights: its card is left out")


def _find_unproved(predictors: list[infer.Predictor]) -> Iterator[str]:
    """The golden samples that a backend does not answer; an artifact's do for the checkpoint too."""
    from ptx.infer.verification import failures

    proved = [p.card for p in predictors if p.card.golden]
    for predictor in predictors:
        golden = predictor.card if predictor.card.golden else next(iter(proved), None)
        for check in failures(predictor, golden) if golden else ():
            yield f"{predictor.backend.name}: {check.name}: {check.detail}"


def reached_problem(predictor: infer.Predictor, data: trainers.Dataset) -> tuple[str, bool]:
    """The accuracy on the test rows beside the card's record, and whether it is no worse."""
    from ptx.trainers.reached import against_record

    with Progress("evaluating", "rows", len(data.test)) as progress:
        found = trainers.evaluate(
            predictor, data.test, names=data.labels, progress=progress.advance
        )
    holds, told = against_record(predictor.card, found, data)
    figure = (
        f"root mean squared error {found.error:.4g}"
        if found.accuracy is None
        else f"accuracy {report.percent(found.accuracy)}"
    )
    return f"{figure} of {pluralise(found.rows, 'row')} of {data.name}; {told}", holds
