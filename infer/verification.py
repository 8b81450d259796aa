"""Does a file still compute what it promised? Needs the file alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ptx.infer.artifact.artifact import Artifact, read_artifact
from ptx.infer.artifact.card import Card, GoldenSample
from ptx.infer.artifact.trust import Trust, require_trust
from ptx.infer.backends import Options, open_backend
from ptx.infer.errors import ArtifactError, PtxError, counted
from ptx.infer.predictor import Predictor
from ptx.infer.signature import Array


@dataclass(frozen=True)
class Check:
    """One thing that must hold, and whether it does."""

    name: str
    holds: bool
    detail: str


def verify(
    path: str | Path,
    *,
    backend: str = "auto",
    device: str = "auto",
    trust: Trust = False,
    run: bool = True,
) -> list[Check]:
    """Check the seal and replay the golden samples that the file carries.

    A changed file is still replayed, so that the checks say what the change did. `trust`: as in
    `ptx.infer.load`. `run`: False checks seal and card alone and runs nothing of the file.

    Raises:
        ArtifactError: the file cannot be read, has no card, or is a program that is not trusted.
        BackendError: the backend is not available here.
    """
    artifact = read_artifact(path)
    card = artifact.card
    if card is None and artifact.kind == "onnx":
        raise ArtifactError(
            f"{artifact.name} is an ONNX file without a ptx card: it has no seal and no golden samples,"
            " so there is nothing to verify; `ptx inspect` shows what it takes and gives",
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
    if artifact.kind != "checkpoint":  # which is proved when it is exported
        carried = f"the card carries {counted(len(card.golden), 'golden sample')}"
        checks.append(Check("samples", bool(card.golden), carried))
    if not run:
        return checks
    require_trust(artifact, trust)
    return [
        *checks,
        *_open_and_replay(artifact, card, backend, Options(device=device, trust=trust)),
    ]


def _open_and_replay(
    artifact: Artifact, card: Card, backend: str, options: Options
) -> Iterator[Check]:
    try:
        predictor = Predictor(card, lambda: open_backend(backend, artifact, options))
    except ArtifactError as error:
        yield Check("load", False, str(error))
        return
    with predictor:
        if artifact.kind == "checkpoint":
            yield Check("load", True, f"{predictor.backend.name} opens it")
        yield from replay(predictor, card)


def replay(predictor: Predictor, golden: Card) -> Iterator[Check]:
    """Run the golden samples that a card of the same weights carries."""
    for index, sample in enumerate(golden.golden, 1):
        yield from _replay_sample(predictor, sample, f"sample {index}")


def _replay_sample(predictor: Predictor, sample: GoldenSample, name: str) -> Iterator[Check]:
    try:
        outputs = predictor.run(sample.inputs)
    except PtxError as error:
        yield Check(name, False, str(error))
        return
    for spec in predictor.signature.outputs:
        expected = sample.outputs.get(spec.name)
        tolerance = sample.tolerance.get(spec.name, 0.0)
        yield _compare(f"{name}, {spec.name}", outputs[spec.name], expected, tolerance)


def _compare(name: str, got: Array, expected: Array | None, tolerance: float) -> Check:
    if expected is None or expected.shape != got.shape or not got.size:
        what = "nothing" if expected is None else f"shape {expected.shape}"
        return Check(name, False, f"shape {got.shape}; the card expects {what}")
    error = float(np.abs(got.astype(np.float64) - expected).max())
    holds = error <= tolerance  # NaN does not
    return Check(name, holds, f"largest error {error:.2g}, allowed {tolerance:.2g}")
