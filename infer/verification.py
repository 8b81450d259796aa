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
from ptx.infer.replay import Check, replay


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
        if found := card.quantization:
            checks.append(Check("accuracy", True, str(found)))
    if not run:
        return checks
    require_trust(artifact, trust)
    return [
        *checks,
        *_open_and_replay(artifact, card, backend, Options(device=device, trust=trust)),
    ]


def check_samples(card: Card) -> Check:
    """Whether the golden samples are there, and those of the proof."""
    carried = f"the card carries {pluralise(len(card.golden), 'golden sample')}"
    if card.agreement.get("samples") != card.samples_sha256:
        return Check("samples", False, f"{carried}; they are not those of the proof")
    return Check("samples", bool(card.golden), carried)


def check_statement(card: Card) -> Check:
    """Whether labels, preprocessing and all else that an answer depends on are those of the proof."""
    if card.agreement.get("statement") != card.statement_sha256:
        return Check(
            "card",
            False,
            "what it says of labels, preprocessing, task, signature or weights is not what was proved",
        )
    return Check("card", True, "labels, preprocessing, task and signature are those of the proof")


def failures(predictor: Predictor, golden: Card) -> list[Check]:
    """What does not hold of a card's statement and of its golden samples, on an opened predictor.

    Args:
        golden: A card of the same weights that carries some; the predictor's own, or an export's.
    """
    checks = list(replay(predictor, golden))
    # A checkpoint's own card has neither golden samples nor a record of a verification.
    if golden.agreement or BACKENDS[predictor.backend.name].reads != CHECKPOINT:
        checks = [check_samples(golden), check_statement(golden), *checks]
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
