"""The golden samples of a manifest, run again by a predictor: arrays, and raw inputs from end to end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ptx.infer.artifact.golden import (
    EndToEndSample,
    ExpectedPrediction,
    GoldenSample,
    Ties,
    input_digest,
    labels_digest,
)
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.artifact.sampled import SampledArray
from ptx.infer.errors import PtxError, pluralise
from ptx.infer.prediction import Prediction
from ptx.infer.predictor import Predictor
from ptx.infer.signature import Array, TensorSpec

PIXEL_TOLERANCE = (
    2  # of 255 that a pixel may be off where another processor rounds a picture's ink otherwise
)
TOLD = 3  # answers that a line shows
ANSWER_ROUNDING = 1e-9  # of a score, beyond what the outputs' tolerance lets it be


@dataclass(frozen=True)
class Check:
    """One thing that was checked: its name, whether it passes, and what was found."""

    name: str
    passed: bool
    detail: str


def replay(predictor: Predictor, golden: Manifest) -> Iterator[Check]:
    """Run the golden samples that a manifest of the same weights carries."""
    for index, sample in enumerate(golden.golden, 1):
        yield from _replay_arrays(predictor, sample, f"sample {index}")
    for index, raw in enumerate(golden.end_to_end, 1):
        yield from _replay_end_to_end(predictor, raw, f"end-to-end sample {index}")


def _replay_arrays(predictor: Predictor, sample: GoldenSample, name: str) -> Iterator[Check]:
    try:
        outputs = predictor.run(sample.inputs)
        yield from _check_outputs(predictor, outputs, sample, name)
    except PtxError as error:
        yield Check(name, False, str(error))


def _replay_end_to_end(predictor: Predictor, sample: EndToEndSample, name: str) -> Iterator[Check]:
    """Preprocessing, model and labels, each on what the one before it gives."""
    try:
        names = tuple(predictor.preprocessing.feature_names)
        if sample.names != names:
            detail = f"the numbers are {', '.join(names)}; at the proof {', '.join(sample.names)}"
            yield Check(f"{name}, columns", False, detail)
        read = [predictor.preprocessing.transform(value) for value in sample.values]
        prepared = predictor.preprocessing.collate(read)
        check = _check_reading(predictor, read, prepared, sample, f"{name}, preprocessing")
        yield check
        if check.passed and input_digest(prepared) != sample.sha256:
            prepared = predictor.preprocessing.collate(sample.read)  # within LEVELS of it
        yield from _check_outputs(predictor, predictor.run(prepared), sample, name)
    except PtxError as error:
        yield Check(name, False, str(error))


def _check_reading(
    predictor: Predictor,
    read: Sequence[Array],
    prepared: Mapping[str, Array],
    sample: EndToEndSample,
    name: str,
) -> Check:
    """Whether the input arrays are those that were verified, by their digest.

    To fit ink takes sums of floats, which another processor may round otherwise: pixels may then be off
    by LEVELS, and what is made of the verified pixels must still be the same bit for bit.
    """
    count = pluralise(len(read), "raw input")
    if input_digest(prepared) == sample.sha256:
        return Check(name, True, f"{count} give the verified arrays, bit for bit")
    wrong = Check(name, False, f"{count} become other arrays than at the proof")
    off = max(map(_max_pixel_difference, read, sample.read), default=np.inf)
    if off > PIXEL_TOLERANCE:
        return wrong
    kept = predictor.preprocessing.collate(sample.read)
    if input_digest(kept) != sample.sha256:
        return wrong
    return Check(name, True, f"{count} give the verified pixels within {off} of 255")


def _max_pixel_difference(got: Array, expected: Array) -> float:
    """How far pixels are apart at most; infinitely where they are none or of another shape."""
    if got.dtype != np.uint8 or expected.dtype != np.uint8 or got.shape != expected.shape:
        return np.inf
    return int(np.abs(got.astype(np.int16) - expected).max(initial=0))


def _check_outputs(
    predictor: Predictor,
    outputs: Mapping[str, Array],
    sample: GoldenSample | EndToEndSample,
    name: str,
) -> Iterator[Check]:
    for spec in predictor.signature.outputs:
        expected = sample.outputs.get(spec.name)
        got, title = outputs[spec.name], f"{name}, {spec.name}"
        if expected is None or expected.shape != got.shape or not got.size:
            what = "nothing" if expected is None else f"shape {expected.shape}"
            yield Check(title, False, f"shape {got.shape}; the manifest expects {what}")
        else:
            check = _check_elements(title, got, expected, sample, spec)
            yield check
            if check.passed and isinstance(expected, SampledArray):
                yield _check_blocks(title, got, expected)
    if sample.predictions:
        yield _check_answers(predictor, outputs, sample, f"{name}, predictions")


def _check_elements(
    name: str,
    got: Array,
    expected: Array | SampledArray,
    sample: GoldenSample | EndToEndSample,
    spec: TensorSpec,
) -> Check:
    """The elements of an output, all of them or those that the manifest has."""
    shape, indices = got.shape, None
    if isinstance(expected, SampledArray):
        got, indices, expected = expected.take(got), expected.indices, expected.values
    if spec.is_float:
        tolerance = np.asarray(sample.tolerance.get(spec.name, 0.0))
        allowed = sample.columns.get(spec.name, tolerance)
        return _compare(name, got, expected, allowed, shape, indices)
    wrong = int(wrong_integers(got, expected, sample.ties.get(spec.name)).sum())
    count = f"{got.size:,}" if indices is None else f"{got.size:,} that the manifest has"
    detail = f"{wrong:,} of {count} are not equal" if wrong else f"all {count} are equal"
    return Check(name, not wrong, detail)


def _check_blocks(name: str, got: Array, expected: SampledArray) -> Check:
    """All elements of an output of which the manifest has some, by the checksums."""
    wrong = np.flatnonzero(expected.wrong_blocks(got))
    count = expected.checksums.size
    detail = (
        f"{wrong.size} of {count} blocks have another checksum, the first is block {wrong[0] + 1}"
        if wrong.size
        else f"the checksums of all {count} blocks hold"
    )
    return Check(f"{name}, checksums", not wrong.size, detail)


def _compare(
    name: str,
    got: Array,
    expected: Array,
    allowed: Array,
    shape: tuple[int, ...],
    indices: Array | None,
) -> Check:
    """Hold floats to their tolerance.

    Args:
        allowed: The largest error of the entire output, or of each column of it.
        shape: Shape of the entire output, to name the place of the largest error.
        indices: Of the elements in it; None where these are all.
    """
    errors = np.abs(got.astype(np.float64) - expected)
    allowed = np.broadcast_to(allowed.astype(np.float64), errors.shape)
    beyond = np.flatnonzero(~(errors <= allowed))  # NaN is
    place = beyond[errors.flat[beyond].argmax()] if beyond.size else errors.argmax()
    error, tolerance = errors.flat[place], allowed.flat[place]
    at = place if indices is None else indices[place]
    column = ", ".join(str(index) for index in np.unravel_index(at, shape))
    where = f" at ({column})" if beyond.size and allowed.min() < allowed.max() else ""
    return Check(
        name, not beyond.size, f"largest error {error:.2g}{where}, allowed {tolerance:.2g}"
    )


def _check_answers(
    predictor: Predictor,
    outputs: Mapping[str, Array],
    sample: GoldenSample | EndToEndSample,
    name: str,
) -> Check:
    """Whether the prediction of each row is the stored one: the label with its score, or the value."""
    first = predictor.signature.outputs[0]
    rows = outputs[first.name].shape[first.batch_axis]
    if sample.labels_sha256 != (labels_digest(predictor.labels) if predictor.labels else ""):
        return Check(
            name, False, "the labels are not those that were verified, or stand in another order"
        )
    if rows != len(sample.predictions) or not outputs[first.name].size:
        return Check(
            name, False, f"{rows} rows; the manifest expects {len(sample.predictions)} answers"
        )
    # Of a word of several symbols the score is a product, of which each factor may be off.
    steps = outputs[first.name].size // (rows * outputs[first.name].shape[-1])
    allowed = steps * sample.tolerance.get(first.name, 0.0) + ANSWER_ROUNDING
    given = predictor.decode_outputs(outputs, [None] * rows, top=max(2, len(predictor.labels)))
    for index, (got, expected) in enumerate(zip(given, sample.predictions, strict=True), 1):
        if not _is_answer(got, expected, allowed):
            detail = (
                f"row {index} is {_answer_text(got)}; the manifest expects {_answer_text(expected)}"
            )
            return Check(name, False, detail)
    detail = ", ".join(map(_answer_text, sample.predictions[:TOLD]))
    more = len(sample.predictions) - TOLD
    return Check(name, True, f"{detail} and {more} more" if more > 0 else detail)


def _is_answer(got: Prediction, expected: ExpectedPrediction, allowed: float) -> bool:
    """Also where two labels are as good as level, and rounding puts the other one first."""
    if expected.value is not None:
        return got.value is not None and abs(got.value - expected.value) <= allowed
    scores = dict(got.top)
    if expected.label not in scores or got.score is None or expected.score is None:
        return False
    score = scores[expected.label]
    return abs(score - expected.score) <= allowed and got.score - score <= 2 * allowed


def _answer_text(answer: Prediction | ExpectedPrediction) -> str:
    if answer.value is not None:
        return f"{answer.value:.6g}"
    return f"{answer.label!r}" if answer.score is None else f"{answer.label!r} {answer.score:.2f}"


def wrong_integers(got: Array, expected: Array, ties: Ties | None) -> Array:
    """Where an integer output is not what was expected: bool, in its shape.

    At the places of `ties` one of its values may stand as well.
    """
    wrong: Array = got != expected
    if ties is not None:
        found = got.reshape(-1)[ties.indices]
        flat = wrong.reshape(-1)  # a view: `wrong` is contiguous
        flat[ties.indices] &= ~(ties.values == found).any(axis=0)
    return wrong
