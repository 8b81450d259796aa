"""The golden samples that a file is given: a few inputs, raw ones too, with what float64 answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from ptx.export.grid import ALONE, first_rows
from ptx.export.proof import Proof
from ptx.export.tolerance import along_output
from ptx.infer.artifact.card import Card
from ptx.infer.artifact.golden import (
    Answer,
    GoldenSample,
    Raw,
    RawSample,
    input_digest,
    labels_digest,
)
from ptx.infer.checks import check_inputs
from ptx.infer.errors import AgreementError, ArtifactError, InputError
from ptx.infer.predictor import Predictor
from ptx.infer.preprocessing import Preprocessing, open_preprocessing
from ptx.infer.replay import replay
from ptx.infer.signature import BATCH, Array, Signature
from ptx.infer.streaming import batch_key
from ptx.infer.tasks import TASKS

Sample = TypeVar("Sample", GoldenSample, RawSample)

GOLDEN_ROWS = (3, 1)  # of real samples in each golden sample
# Of what is read from raw inputs, to be kept beside their digest, and of random inputs, at most.
READ_BYTES = 32 * 2**10


def with_golden(card: Card, proof: Proof, examples: Sequence[Raw]) -> Card:
    """The card with golden samples: input arrays, and raw inputs where its preprocessing takes any.

    Args:
        examples: Raw inputs; made-up ones that show another preprocessing are added to them.

    Raises:
        InputError: an example cannot be read.
        ArtifactError: the outputs are not what the card's task reads.
    """
    preprocessing = open_preprocessing(card.preprocessing, card.signature)
    read = [*_read_examples(preprocessing, examples), *_read_made_up(card, preprocessing, examples)]
    batches: dict[object, list[tuple[Raw, Array]]] = {}
    for value, sample in read:
        batches.setdefault(batch_key(preprocessing, sample), []).append((value, sample))
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


def _read_made_up(
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
    exact = proof.reference.exact(inputs)
    return RawSample(
        values=tuple(value for value, _ in batch),
        sha256=input_digest(inputs),
        read=tuple(samples) if sum(s.nbytes for s in samples) <= READ_BYTES else (),
        outputs=exact,
        answers=find_answers(card, exact),
        names=tuple(preprocessing.columns),
        labels_sha256=labels_digest(card.labels) if card.labels else "",
        level=proof.reference.level(inputs, exact),
        **_tolerances(proof.signature, proof.allowed_on(inputs)),
    )


def _tolerances(signature: Signature, allowed: Mapping[str, Array]) -> dict[str, Any]:
    """The fields `tolerance` and `columns` of a sample; columns where they are not held alike."""
    columns = {
        spec.name: along_output(spec, allowed[spec.name]).astype(np.float32)
        for spec in signature.outputs
        if allowed[spec.name].min() < allowed[spec.name].max()
    }
    return {
        "tolerance": {name: float(errors.max()) for name, errors in allowed.items()},
        "columns": columns,
    }


def find_answers(card: Card, exact: Mapping[str, Array]) -> tuple[Answer, ...]:
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
    """A few inputs with their float64 outputs: real ones, and random ones, which leave nothing out.

    A weight that only ever meets the black border of a picture shows in random pixels alone.
    """
    chosen: list[tuple[str, Mapping[str, Array]]] = []
    for rows in GOLDEN_ROWS:
        real = first_rows(proof.signature, proof.samples, rows)
        fill = "random" if real is None else "real"
        chosen.append((fill, _longest_random(proof, rows) if real is None else real))
    random = _longest_random(proof, ALONE)
    if all(fill == "real" for fill, _ in chosen) and _size(random) <= READ_BYTES:
        chosen.append(("random", random))
    return tuple(_golden_sample(card, proof, fill, inputs) for fill, inputs in chosen)


def _golden_sample(
    card: Card, proof: Proof, fill: str, inputs: Mapping[str, Array]
) -> GoldenSample:
    allowed = {spec.name: proof.allowed[fill, spec.name] for spec in proof.signature.outputs}
    exact = proof.reference.exact(inputs)
    return GoldenSample(
        inputs=dict(inputs),
        outputs=exact,
        answers=find_answers(card, exact),
        labels_sha256=labels_digest(card.labels) if card.labels else "",
        level=proof.reference.level(inputs, exact),
        **_tolerances(proof.signature, allowed),
    )


def _size(arrays: Mapping[str, Array]) -> int:
    return sum(array.nbytes for array in arrays.values())


def _longest_random(proof: Proof, rows: int) -> dict[str, Array]:
    fitting = [
        case.inputs for case in proof.cases if case.fill == "random" and case.sizes[BATCH] == rows
    ]
    return fitting[-1]


def own_samples(predictor: Predictor, card: Card, steps: Mapping[str, float]) -> dict[str, Any]:
    """The fields `golden` and `raw` of the card of a file that computes in int8.

    The inputs stay, the outputs are what it gives itself.

    Args:
        steps: By output, how far it may be off: one of the 255 steps of its range.
    """
    preprocessing = predictor.preprocessing
    raw = []
    for sample in card.raw:
        inputs = preprocessing.collate([preprocessing.read(value) for value in sample.values])
        raw.append(_with_own(predictor, card, sample, inputs, steps))
    golden = [_with_own(predictor, card, sample, sample.inputs, steps) for sample in card.golden]
    return {"golden": tuple(golden), "raw": tuple(raw)}


def _with_own(
    predictor: Predictor,
    card: Card,
    sample: Sample,
    inputs: Mapping[str, Array],
    steps: Mapping[str, float],
) -> Sample:
    outputs = {
        name: array.astype(np.float64) if array.dtype.kind == "f" else array
        for name, array in predictor.run(inputs).items()
    }
    return replace(
        sample,
        outputs=outputs,
        tolerance={name: float(steps.get(name, 0.0)) for name in outputs},
        columns={},
        level={},
        answers=find_answers(card, outputs),
    )
