"""The golden samples that a file is given: a few inputs, raw ones too, with what float64 answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ptx.export.grid import first_rows
from ptx.export.proof import Proof
from ptx.export.tolerance import FACTOR, distance
from ptx.infer.artifact.card import Card
from ptx.infer.artifact.golden import Answer, GoldenSample, Raw, RawSample, input_digest
from ptx.infer.checks import check_inputs
from ptx.infer.errors import AgreementError, ArtifactError, InputError
from ptx.infer.predictor import Predictor
from ptx.infer.preprocessing import Preprocessing, open_preprocessing
from ptx.infer.replay import replay
from ptx.infer.signature import BATCH, Array
from ptx.infer.tasks import TASKS

GOLDEN_ROWS = (3, 1)  # of real samples in each golden sample
READ_BYTES = 32 * 2**10  # of what is read from raw inputs, at most, to be kept beside their digest


def with_golden(card: Card, proof: Proof, examples: Sequence[Raw]) -> Card:
    """The card with golden samples: input arrays, and raw inputs where its preprocessing takes any.

    `examples`: raw inputs; made-up ones that show another preprocessing are added to them.

    Raises:
        InputError: an example cannot be read.
        ArtifactError: the outputs are not what the card's task reads.
    """
    preprocessing = open_preprocessing(card.preprocessing, card.signature)
    read = [
        *_read_examples(preprocessing, examples),
        *_read_own_examples(card, preprocessing, examples),
    ]
    batches: dict[object, list[tuple[Raw, Array]]] = {}
    for value, sample in read:
        batches.setdefault(preprocessing.shape_key(sample), []).append((value, sample))
    raw = [_raw_sample(card, proof, preprocessing, batch) for batch in batches.values()]
    return replace(card, golden=_golden(card, proof), raw=tuple(raw))


def hold_answers(predictor: Predictor, golden: Card) -> None:
    """Run the golden samples through the whole predictor.

    Raises:
        AgreementError: the first that does not come out, and what it was.
    """
    for check in replay(predictor, golden):
        if not check.holds:
            raise AgreementError(
                f"{predictor.backend.name} does not answer as the network does: {check.name}:"
                f" {check.detail}"
            )


def _read_examples(
    preprocessing: Preprocessing, examples: Sequence[Raw]
) -> list[tuple[Raw, Array]]:
    read = []
    for index, value in enumerate(examples):
        try:
            read.append((value, preprocessing.read(value)))
        except InputError as error:
            raise InputError(f"example {index}: {error}", code=error.code) from error
    return read


def _read_own_examples(
    card: Card, preprocessing: Preprocessing, examples: Sequence[Raw]
) -> list[tuple[Raw, Array]]:
    """Those of the made-up values that the signature takes: a network may know a few codes alone."""
    read = []
    for value in preprocessing.examples():
        try:
            sample = preprocessing.read(value)
            check_inputs(card.signature, preprocessing.collate([sample]))
        except InputError:
            continue  # it would be refused at prediction in the same way
        if value not in examples:
            read.append((value, sample))
    return read


def _raw_sample(
    card: Card,
    proof: Proof,
    preprocessing: Preprocessing,
    batch: Sequence[tuple[Raw, Array]],
) -> RawSample:
    samples = [sample for _, sample in batch]
    inputs, _ = check_inputs(card.signature, preprocessing.collate(samples))
    exact = proof.exact(inputs)
    return RawSample(
        values=tuple(value for value, _ in batch),
        sha256=input_digest(inputs),
        read=tuple(samples) if sum(s.nbytes for s in samples) <= READ_BYTES else (),
        outputs=exact,
        tolerance=_own_tolerance(proof, inputs, exact),
        answers=_answers(card, exact),
        level=proof.level(inputs, exact),
    )


def _own_tolerance(
    proof: Proof, inputs: Mapping[str, Array], exact: Mapping[str, Array]
) -> dict[str, float]:
    """What the eager network itself shows on these inputs, times FACTOR, up to the ceiling."""
    eager = proof.eager(inputs)
    tolerance = {}
    for spec in proof.signature.outputs:
        tolerance[spec.name] = 0.0
        if spec.is_float:
            expected, precision = exact[spec.name], proof.precision(spec)
            magnitude = float(np.abs(expected).max(initial=0.0))
            error = float(distance(eager[spec.name], expected).max(initial=0.0))
            own = max(error, precision.rounding * magnitude)
            tolerance[spec.name] = min(FACTOR * own, precision.ceiling * magnitude)
    return tolerance


def _answers(card: Card, exact: Mapping[str, Array]) -> tuple[Answer, ...]:
    """What the card's task says of the outputs; nothing where it reads none."""
    task = TASKS[card.task]
    if not task.answers:
        return ()
    first = card.signature.outputs[0]
    rows = np.moveaxis(exact[first.name], first.batch_axis, 0)
    try:
        decided = task.decide(rows, card.labels, 1)
    except ArtifactError as error:
        raise ArtifactError(f"the network in float64: {error}", code=error.code) from error
    return tuple(Answer(each.label, each.score, each.value) for each in decided)


def _golden(card: Card, proof: Proof) -> tuple[GoldenSample, ...]:
    """A few inputs with their float64 outputs; random ones where real samples are too few."""
    signature = proof.signature
    golden = []
    for rows in GOLDEN_ROWS:
        fill, inputs = "real", first_rows(signature, proof.samples, rows)
        if inputs is None:
            fill, inputs = "random", _longest_random(proof, rows)
        tolerance = {spec.name: proof.tolerances[fill, spec.name] for spec in signature.outputs}
        exact = proof.exact(inputs)
        level = proof.level(inputs, exact)
        golden.append(GoldenSample(inputs, exact, tolerance, _answers(card, exact), level))
    return tuple(golden)


def _longest_random(proof: Proof, rows: int) -> dict[str, Array]:
    fitting = [
        case.inputs for case in proof.cases if case.fill == "random" and case.sizes[BATCH] == rows
    ]
    return fitting[-1]
