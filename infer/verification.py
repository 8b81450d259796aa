"""Does a file still compute what it promised? Needs the file alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ptx.infer.artifact.artifact import Artifact, Trust, read_artifact, require_trust
from ptx.infer.artifact.card import Card
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.backends import BACKENDS, Options, open_backend
from ptx.infer.errors import ArtifactError, pluralise
from ptx.infer.predictor import Predictor
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.replay import Check, replay
from ptx.infer.tasks import find_task


def verify(
    path: str | Path,
    *,
    backend: str = "auto",
    device: str = "auto",
    trust: Trust = False,
    run: bool = True,
) -> list[Check]:
    """Check the seal and replay the golden samples that the file carries, raw inputs among them.

    A changed file is still replayed, so that the checks say what the change did. `trust`: as in
    `ptx.infer.load`. `run`: False checks seal and card alone and runs nothing of the file.

    Raises:
        ArtifactError: the file cannot be read, has no card, or is a program that is not trusted.
        BackendError: the backend is not available here.
    """
    artifact = read_artifact(path)
    card = artifact.card
    if card is None and artifact.format.describable:
        raise ArtifactError(
            f"{artifact.name} is {artifact.format.noun} without a ptx card: it has no seal and no golden"
            " samples, so there is nothing to verify; `ptx inspect` shows what it takes and gives",
            code="E-CARD-MISSING",
        )
    if card is None:
        card = artifact.require_card()
    seal = (
        "the content is what was sealed"
        if artifact.sealed
        else "the content does not match its sha256 seal: a byte has changed since it was written"
    )
    checks = [Check("hash", artifact.sealed, seal)]
    if not artifact.is_checkpoint:  # which is proved when it is exported
        checks += check_samples(card), check_statement(card)
        if found := card.by_accuracy:
            checks.append(Check("accuracy", True, str(found)))
        checks.extend(missing_parts(card))
    if not run:
        return checks
    require_trust(artifact, trust)
    return [
        *checks,
        *_open_and_replay(artifact, card, backend, Options(device=device, trust=trust)),
    ]


def check_samples(card: Card) -> Check:
    """Whether the golden samples are there, and those of the proof."""
    noted = card.agreement.get("samples")
    carried = f"the card carries {pluralise(len(card.golden), 'golden sample')}"
    if noted is not None and noted != card.samples_sha256:
        return Check("samples", False, f"{carried}; they are not those of the proof")
    return Check("samples", bool(card.golden), carried)


def check_statement(card: Card) -> Check:
    """Whether labels, preprocessing and all else that an answer depends on are those of the proof."""
    noted = card.agreement.get("statement")
    if noted is None:
        return _lacking_check("card", "which labels and which preprocessing were proved")
    if noted != card.statement_sha256:
        return Check(
            "card",
            False,
            "what it says of labels, preprocessing, task, signature or weights is not what was proved",
        )
    return Check("card", True, "labels, preprocessing, task and signature are those of the proof")


def missing_parts(card: Card) -> Iterator[Check]:
    """What the proof of a card does not cover, for want of the samples that would."""
    try:
        task = find_task(card.task)
        preprocessing = open_preprocessing(card.preprocessing, card.signature)
    except ArtifactError:
        return  # the check "load" says so
    if not card.raw and preprocessing.examples():
        yield _lacking_check(
            "raw samples", "the way from a raw input to the arrays (preprocessing)"
        )
    answered = [bool(sample.answers) for sample in card.golden]
    answered += [bool(sample.answers) for sample in card.raw]
    if task.answers and not any(answered):
        yield _lacking_check("answers", "the way from the outputs to the answer (labels)")


def _lacking_check(name: str, what: str) -> Check:
    return Check(name, True, f"not in this file's proof: {what}; export it again", lacks=True)


def failures(predictor: Predictor, golden: Card) -> list[Check]:
    """What does not hold of a card's statement and of its golden samples, on an opened predictor.

    Args:
        golden: A card of the same weights that carries some; the predictor's own, or an export's.
    """
    checks = [check_statement(golden), *replay(predictor, golden)]
    if BACKENDS[predictor.backend.name].reads != CHECKPOINT:  # which is proved when it is exported
        checks.insert(0, check_samples(golden))
    return [check for check in checks if not check.holds]


def _open_and_replay(
    artifact: Artifact, card: Card, backend: str, options: Options
) -> Iterator[Check]:
    try:
        predictor = Predictor(card, lambda: open_backend(backend, artifact, options))
    except ArtifactError as error:
        yield Check("load", False, str(error))
        return
    with predictor:
        if artifact.is_checkpoint:
            yield Check("load", True, f"{predictor.backend.name} opens it")
        yield from replay(predictor, card)
