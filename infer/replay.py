"""Replay: the golden samples of a manifest are run again and compared with their expected results."""

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

# Largest accepted difference of a pixel, of 255: sums of floats depend on the processor.
PIXEL_TOLERANCE = 2
MAX_SHOWN = 3  # predictions in the detail of a check
SCORE_ROUNDING = 1e-9  # accepted difference of a score in addition to the tolerance of the output


@dataclass(frozen=True)
class Check:
    """The result of one check: its name, whether it passed, and a detail in words."""

    name: str
    passed: bool
    detail: str


def replay(predictor: Predictor, golden: Manifest) -> Iterator[Check]:
    """Run the golden samples of a manifest that belongs to the same weights.

    An error of ptx while a sample is run becomes a failed check.
    """
    for index, sample in enumerate(golden.golden, 1):
        yield from _replay_arrays(predictor, sample, f"sample {index}")
    for index, end_to_end in enumerate(golden.end_to_end, 1):
        yield from _replay_end_to_end(predictor, end_to_end, f"end-to-end sample {index}")


def _replay_arrays(predictor: Predictor, sample: GoldenSample, name: str) -> Iterator[Check]:
    try:
        outputs = predictor.run(sample.inputs)
        yield from _check_outputs(predictor, outputs, sample, name)
    except PtxError as error:
        yield Check(name, False, str(error))


def _replay_end_to_end(predictor: Predictor, sample: EndToEndSample, name: str) -> Iterator[Check]:
    """Run preprocessing, model and decoding on raw inputs."""
    try:
        names = tuple(predictor.preprocessing.feature_names)
        if sample.names != names:
            detail = f"the columns are {', '.join(names)}; verified were {', '.join(sample.names)}"
            yield Check(f"{name}, columns", False, detail)
        samples = [predictor.preprocessing.transform(value) for value in sample.values]
        arrays = predictor.preprocessing.collate(samples)
        check = _check_preprocessing(predictor, samples, arrays, sample, f"{name}, preprocessing")
        yield check
        if check.passed and input_digest(arrays) != sample.sha256:
            # The pixels differ within PIXEL_TOLERANCE: the outputs belong to the stored pixels.
            arrays = predictor.preprocessing.collate(sample.read)
        yield from _check_outputs(predictor, predictor.run(arrays), sample, name)
    except PtxError as error:
        yield Check(name, False, str(error))


def _check_preprocessing(
    predictor: Predictor,
    samples: Sequence[Array],
    arrays: Mapping[str, Array],
    sample: EndToEndSample,
    name: str,
) -> Check:
    """Whether the input arrays are those that were verified, by their digest.

    The foreground of a digit is computed from sums of floats, which another processor may round
    differently. So pixels may differ by PIXEL_TOLERANCE if the stored pixels still give the verified
    input arrays bit for bit.
    """
    count = pluralise(len(samples), "raw input")
    if input_digest(arrays) == sample.sha256:
        return Check(name, True, f"{count} give the verified arrays, bit for bit")
    failed = Check(name, False, f"{count} give other arrays than those that were verified")
    difference = max(map(_max_pixel_difference, samples, sample.read), default=np.inf)
    if difference > PIXEL_TOLERANCE:
        return failed
    stored = predictor.preprocessing.collate(sample.read)
    if input_digest(stored) != sample.sha256:
        return failed
    return Check(name, True, f"{count} give the verified pixels within {difference} of 255")


def _max_pixel_difference(actual: Array, expected: Array) -> float:
    """The largest difference of two pixels; infinite if dtype or shape is not the same."""
    if actual.dtype != np.uint8 or expected.dtype != np.uint8 or actual.shape != expected.shape:
        return np.inf
    return int(np.abs(actual.astype(np.int16) - expected).max(initial=0))


def _check_outputs(
    predictor: Predictor,
    outputs: Mapping[str, Array],
    sample: GoldenSample | EndToEndSample,
    name: str,
) -> Iterator[Check]:
    for spec in predictor.signature.outputs:
        expected = sample.outputs.get(spec.name)
        actual, title = outputs[spec.name], f"{name}, {spec.name}"
        if expected is None or expected.shape != actual.shape or not actual.size:
            what = "no such output" if expected is None else f"shape {expected.shape}"
            yield Check(title, False, f"shape {actual.shape}; the manifest expects {what}")
        else:
            check = _check_elements(title, actual, expected, sample, spec)
            yield check
            if check.passed and isinstance(expected, SampledArray):
                yield _check_blocks(title, actual, expected)
    if sample.predictions:
        yield _check_predictions(predictor, outputs, sample, f"{name}, predictions")


def _check_elements(
    name: str,
    actual: Array,
    expected: Array | SampledArray,
    sample: GoldenSample | EndToEndSample,
    spec: TensorSpec,
) -> Check:
    """Compare the elements of an output that the manifest stores: all, or some of a large output."""
    shape, indices = actual.shape, None
    if isinstance(expected, SampledArray):
        actual, indices, expected = expected.take(actual), expected.indices, expected.values
    if spec.is_float:
        tolerance = np.asarray(sample.tolerance.get(spec.name, 0.0))
        tolerance = sample.columns.get(spec.name, tolerance)
        return _compare(name, actual, expected, tolerance, shape, indices)
    wrong = int(wrong_integers(actual, expected, sample.ties.get(spec.name)).sum())
    count = f"{actual.size:,}" if indices is None else f"{actual.size:,} stored elements"
    detail = f"{wrong:,} of {count} are not equal" if wrong else f"all {count} are equal"
    return Check(name, not wrong, detail)


def _check_blocks(name: str, actual: Array, expected: SampledArray) -> Check:
    """Compare the checksums of an output of which the manifest stores only some elements."""
    wrong = np.flatnonzero(expected.wrong_blocks(actual))
    count = expected.checksums.size
    detail = (
        f"{wrong.size} of {count} blocks have another checksum, the first is block {wrong[0] + 1}"
        if wrong.size
        else f"the checksums of all {count} blocks are correct"
    )
    return Check(f"{name}, checksums", not wrong.size, detail)


def _compare(
    name: str,
    actual: Array,
    expected: Array,
    tolerance: Array,
    shape: tuple[int, ...],
    indices: Array | None,
) -> Check:
    """Compare floats within a tolerance.

    Args:
        actual: The computed elements.
        expected: Their expected values, in the same shape.
        tolerance: The largest accepted error, broadcastable to the elements.
        shape: Shape of the entire output, to report the position of the largest error.
        indices: The positions of the elements in the flat output; None if these are all.
    """
    errors = np.abs(actual.astype(np.float64) - expected)
    tolerance = np.broadcast_to(tolerance.astype(np.float64), errors.shape)
    failed = np.flatnonzero(~(errors <= tolerance))  # a NaN fails
    worst = failed[errors.flat[failed].argmax()] if failed.size else errors.argmax()
    error, allowed = errors.flat[worst], tolerance.flat[worst]
    flat_index = worst if indices is None else indices[worst]
    position = ", ".join(str(index) for index in np.unravel_index(flat_index, shape))
    where = f" at ({position})" if failed.size and tolerance.min() < tolerance.max() else ""
    return Check(name, not failed.size, f"largest error {error:.2g}{where}, allowed {allowed:.2g}")


def _check_predictions(
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
            name, False, "the labels are not those that were verified, or are in another order"
        )
    if rows != len(sample.predictions) or not outputs[first.name].size:
        return Check(
            name, False, f"{rows} rows; the manifest expects {len(sample.predictions)} predictions"
        )
    # The score of a sequence is a product over its steps, and each factor has this tolerance.
    steps = outputs[first.name].size // (rows * outputs[first.name].shape[-1])
    tolerance = steps * sample.tolerance.get(first.name, 0.0) + SCORE_ROUNDING
    top = max(2, len(predictor.labels))
    predictions = predictor.decode_outputs(outputs, [None] * rows, top=top)
    for row, (actual, expected) in enumerate(zip(predictions, sample.predictions, strict=True), 1):
        if not _is_close(actual, expected, tolerance):
            detail = f"row {row} is {_show(actual)}; the manifest expects {_show(expected)}"
            return Check(name, False, detail)
    detail = ", ".join(map(_show, sample.predictions[:MAX_SHOWN]))
    more = len(sample.predictions) - MAX_SHOWN
    return Check(name, True, f"{detail} and {more} more" if more > 0 else detail)


def _is_close(actual: Prediction, expected: ExpectedPrediction, tolerance: float) -> bool:
    """Whether a prediction is the expected one; the label may differ if both scores are tied."""
    if expected.value is not None:
        return actual.value is not None and abs(actual.value - expected.value) <= tolerance
    scores = dict(actual.top)
    if expected.label not in scores or actual.score is None or expected.score is None:
        return False
    score = scores[expected.label]
    return abs(score - expected.score) <= tolerance and actual.score - score <= 2 * tolerance


def _show(prediction: Prediction | ExpectedPrediction) -> str:
    if prediction.value is not None:
        return f"{prediction.value:.6g}"
    label = f"{prediction.label!r}"
    return label if prediction.score is None else f"{label} {prediction.score:.2f}"


def wrong_integers(actual: Array, expected: Array, ties: Ties | None) -> Array:
    """bool, in the output's shape: where an integer output has an unexpected value.

    At the positions of `ties`, each of its values is accepted.
    """
    wrong: Array = actual != expected
    if ties is not None:
        tied = actual.reshape(-1)[ties.indices]
        flat = wrong.reshape(-1)  # a view: `wrong` is contiguous
        flat[ties.indices] &= ~(ties.values == tied).any(axis=0)
    return wrong
