"""The golden samples of a file: a few inputs, raw and preprocessed, with their float64 outputs.

They take a small part of the file. Random inputs are stored as a seed, large outputs as some elements
with checksums. Raw values and real inputs are stored as they are if they fit: the largest raw values are
left out first, and random inputs replace real ones.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from ptx.export.check.equivalence import EquivalenceCheck
from ptx.export.check.matrix import INVARIANCE_BATCH, first_rows, sample_size, seeded_inputs
from ptx.export.check.tolerance import along_output, column_axes
from ptx.infer.artifact.golden import (
    EndToEndSample,
    ExpectedPrediction,
    GoldenSample,
    RawInput,
    Ties,
    end_to_end_to_data,
    golden_to_data,
    input_digest,
    labels_digest,
    value_to_data,
)
from ptx.infer.artifact.manifest import SIZE_LIMIT, Manifest
from ptx.infer.artifact.sampled import SampledArray, block_edges, checksums
from ptx.infer.artifact.seeded import SEEDED_LIMIT, SeededArray
from ptx.infer.checks import check_inputs
from ptx.infer.errors import AgreementError, ArtifactError, InputError
from ptx.infer.predictor import Predictor
from ptx.infer.preprocessing import Preprocessing, batch_key, open_preprocessing
from ptx.infer.replay import replay
from ptx.infer.signature import BATCH, Array, TensorSpec
from ptx.infer.tasks import TASKS

Sample = TypeVar("Sample", GoldenSample, EndToEndSample)

GOLDEN_ROWS = (3, 1)  # rows of real inputs in each golden sample
# Preprocessed raw inputs of at most this many bytes are stored, larger ones only as a digest.
MAX_PREPROCESSED_BYTES = 32 * 2**10
# Bytes of JSON for all golden samples: a twentieth of the file, within these limits. More would make
# opening the file slow.
MIN_BYTES, FILE_FRACTION, MAX_BYTES = 64_000, 20, 2**20
OUTPUTS_FRACTION = 6  # the outputs of one sample take at most a sixth of them
ELEMENT_BYTES = 32  # JSON of an element: index, value, tolerance, and its part of a checksum
MIN_ELEMENTS = 32  # stored elements of a sampled output
ELEMENTS_PER_BLOCK = 4  # stored elements for each checksum


def golden_budget(file_size: int) -> int:
    """The maximum bytes of JSON for the golden samples of a file."""
    return max(MIN_BYTES, min(file_size // FILE_FRACTION, MAX_BYTES))


def check_manifest_size(manifest: Manifest) -> None:
    """Check that the model's manifest will not be too large, before minutes of work.

    Raises:
        ArtifactError: E-EXPORT: the manifest without golden samples is too large, or one row of inputs.
    """
    widest = max(spec.numpy_dtype.itemsize for spec in manifest.signature.inputs)
    if (size := sample_size(manifest.signature) * widest) > SEEDED_LIMIT:
        raise ArtifactError(
            f"the inputs of one row have {size / 2**30:.1f} GiB; expected at most"
            f" {SEEDED_LIMIT / 2**30:.0f} GiB: give smaller sizes in the signature",
            code="E-EXPORT",
        )
    _check_size(manifest, SIZE_LIMIT - 2 * MAX_BYTES)


def _check_size(manifest: Manifest, limit: int) -> None:
    if (size := len(manifest.to_json().encode())) > limit:
        raise ArtifactError(
            f"the file's manifest has {size:,} bytes; expected at most {limit:,}: shorten the labels,"
            " the configuration or the record of the training",
            code="E-EXPORT",
        )


def with_golden(
    manifest: Manifest, check: EquivalenceCheck, examples: Sequence[RawInput], file_size: int
) -> Manifest:
    """The manifest with golden samples: arrays, and raw inputs if the preprocessing takes any.

    Args:
        examples: Raw inputs. Synthetic ones, which reveal a wrong preprocessing, are added.
        file_size: Bytes of the file's content, by which the size of the samples is limited.

    Raises:
        InputError: an example cannot be read.
        ArtifactError: the task cannot decode the outputs; E-EXPORT: the manifest is too large.
    """
    budget = golden_budget(file_size)
    maker = _SampleMaker(manifest, check, budget // OUTPUTS_FRACTION)
    max_rows = maker.max_random_rows()
    random = maker.random(max_rows)
    # The sample of one row comes last: space for its outputs is reserved.
    left = budget - _json_size(golden_to_data(random)) - maker.limit
    raw = []
    for batch in _batches(manifest, examples):
        sample = maker.raw(batch, left)
        if sample is not None and (size := _json_size(end_to_end_to_data(sample))) <= left:
            raw.append(sample)
            left -= size
    golden = []
    for rows in GOLDEN_ROWS:
        left += maker.limit if rows == 1 else 0
        if (real := maker.real(rows, left)) is not None:
            golden.append(real)
            left -= _json_size(golden_to_data(real))
        elif rows <= max_rows:
            golden.append(random if rows == max_rows else maker.random(rows))
    if all(sample is not random for sample in golden):
        golden.append(random)
    result = replace(manifest, golden=tuple(golden), end_to_end=tuple(raw))
    _check_size(result, SIZE_LIMIT - MAX_BYTES)
    return result


def assert_golden(predictor: Predictor, manifest: Manifest) -> None:
    """Replay the golden samples of the manifest.

    Raises:
        AgreementError: a check fails; the message names the first one.
    """
    for check in replay(predictor, manifest):
        if not check.passed:
            raise AgreementError(
                f"{predictor.backend.name} fails a golden sample: {check.name}: {check.detail}"
            )


def _transform_examples(
    preprocessing: Preprocessing, examples: Sequence[RawInput]
) -> list[tuple[RawInput, Array]]:
    transformed = []
    for index, value in enumerate(examples):
        try:
            transformed.append((value, preprocessing.transform(value)))
        except InputError as error:
            raise InputError(f"example {index}: {error}", code=error.code) from error
    return transformed


def _transform_synthetic(
    manifest: Manifest, preprocessing: Preprocessing, examples: Sequence[RawInput]
) -> list[tuple[RawInput, Array]]:
    """The synthetic values that the signature accepts: a network may accept only a few codes."""
    transformed = []
    for value in preprocessing.probe_inputs():
        try:
            sample = preprocessing.transform(value)
            check_inputs(manifest.signature, preprocessing.collate([sample]))
        except InputError:
            continue  # prediction would reject it, too
        if value not in examples:
            transformed.append((value, sample))
    return transformed


def _batches(
    manifest: Manifest, examples: Sequence[RawInput]
) -> list[list[tuple[RawInput, Array]]]:
    """The raw values with their samples, grouped into batches of equal shape."""
    preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
    transformed = [
        *_transform_examples(preprocessing, examples),
        *_transform_synthetic(manifest, preprocessing, examples),
    ]
    batches: dict[object, list[tuple[RawInput, Array]]] = {}
    for value, sample in transformed:
        batches.setdefault(batch_key(preprocessing, sample), []).append((value, sample))
    return list(batches.values())


def _json_size(data: Any) -> int:
    return len(json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode())


def _base64_size(arrays: Sequence[Array]) -> int:
    return sum(array.nbytes for array in arrays) * 4 // 3


@dataclass(frozen=True)
class _SampleMaker:
    """Makes the golden samples of one file. `limit`: bytes of JSON for the outputs of one sample."""

    manifest: Manifest
    check: EquivalenceCheck
    limit: int

    def max_random_rows(self) -> int:
        """INVARIANCE_BATCH, or 1 if that many random rows would be too large."""
        sizes = _longest_random(self.check, INVARIANCE_BATCH)
        shapes = [(spec.shape(sizes), spec.numpy_dtype) for spec in self.check.signature.inputs]
        size = sum(math.prod(shape) * dtype.itemsize for shape, dtype in shapes)
        return INVARIANCE_BATCH if size <= SEEDED_LIMIT else 1

    def random(self, rows: int) -> GoldenSample:
        """Random inputs made from a seed, which affect every weight.

        A weight that only sees the black border of an image has no effect on real samples.
        """
        sizes = _longest_random(self.check, rows)
        return self._golden(seeded_inputs(self.check.signature, sizes), "random")

    def real(self, rows: int, left: int) -> GoldenSample | None:
        """The first real samples; None if there are too few, or they take more than `left` bytes."""
        inputs = first_rows(self.check.signature, self.check.samples, rows)
        if inputs is None or _base64_size([*inputs.values()]) > left:
            return None
        sample = self._golden(inputs, "real")
        return sample if _json_size(golden_to_data(sample)) <= left else None

    def _golden(self, arrays: Mapping[str, Array | SeededArray], pattern: str) -> GoldenSample:
        sample = GoldenSample(arrays, {}, {})
        input_tolerances = self.check.tolerances_on(sample.inputs)
        tolerances = {
            name: np.maximum(self.check.column_tolerances[pattern, name], columns)
            for name, columns in input_tolerances.items()
        }
        return replace(sample, **self._expected(sample.inputs, tolerances))

    def raw(self, batch: Sequence[tuple[RawInput, Array]], left: int) -> EndToEndSample | None:
        """The raw values that fit, with their samples; None if none does."""
        available = left - self.limit
        sizes = [_json_size(value_to_data(value)) for value, _ in batch]
        indices = sorted(range(len(batch)), key=sizes.__getitem__)
        while indices and sum(sizes[index] for index in indices) > available:
            indices.pop()  # the largest
        if not indices:
            return None
        available -= sum(sizes[index] for index in indices)
        values, samples = zip(*(batch[index] for index in sorted(indices)), strict=True)
        preprocessing = open_preprocessing(self.manifest.preprocessing, self.manifest.signature)
        inputs, _ = check_inputs(self.manifest.signature, preprocessing.collate(samples))
        fits = (
            sum(s.nbytes for s in samples) <= MAX_PREPROCESSED_BYTES
            and _base64_size(samples) <= available
        )
        return EndToEndSample(
            values=values,
            sha256=input_digest(inputs),
            read=samples if fits else (),
            names=tuple(preprocessing.feature_names),
            **self._expected(inputs, self.check.tolerances_on(inputs)),
        )

    @property
    def _outputs(self) -> tuple[TensorSpec, ...]:
        return self.check.signature.outputs

    def _expected(
        self, inputs: Mapping[str, Array], tolerances: Mapping[str, Array]
    ) -> dict[str, Any]:
        """The fields that golden and end-to-end samples share. `tolerances`: by output, per column."""
        exact = self.check.exact(inputs)
        ties = self.check.reference.ties(inputs, exact)
        outputs: dict[str, Array | SampledArray] = dict(exact)
        columns = {
            spec.name: along_output(spec, tolerances[spec.name])
            for spec in self._outputs
            if tolerances[spec.name].min() < tolerances[spec.name].max()
        }
        size = self.limit // len(self._outputs)
        count = max(MIN_ELEMENTS, size // ELEMENT_BYTES)
        for spec in self._outputs:
            name, array = spec.name, exact[spec.name]
            if _base64_size([array]) <= size or array.size <= 2 * count:
                continue
            errors = np.broadcast_to(along_output(spec, tolerances[name]), array.shape)
            if name in ties:
                errors = _tie_errors(array, ties[name])
            indices = _choose_indices(spec, array, count)
            outputs[name] = _sampled(array, indices, len(indices) // ELEMENTS_PER_BLOCK, errors)
            if name in columns:
                columns[name] = errors[np.unravel_index(indices, array.shape)]
            if name in ties and (selected := _select_ties(ties.pop(name), indices)) is not None:
                ties[name] = selected
        return {
            "outputs": outputs,
            "tolerance": {name: float(errors.max()) for name, errors in tolerances.items()},
            "columns": {name: errors.astype(np.float32) for name, errors in columns.items()},
            "predictions": decode_predictions(self.manifest, exact),
            "labels_sha256": labels_digest(self.manifest.labels) if self.manifest.labels else "",
            "ties": ties,
        }


def _longest_random(check: EquivalenceCheck, rows: int) -> dict[str, int]:
    """The sizes of the largest random test case with this number of rows."""
    fitting = [
        case.sizes for case in check.cases if case.pattern == "random" and case.sizes[BATCH] == rows
    ]
    return fitting[-1]


def _sampled(array: Array, indices: Array, blocks: int, errors: Array) -> SampledArray:
    """An output with only some elements stored. `errors`: the tolerance of each element."""
    sums, _ = checksums(array, blocks)
    edges, flat = block_edges(array.size, blocks), errors.reshape(-1)
    slack = [flat[start:stop].sum() for start, stop in pairwise(edges)]
    values = array.reshape(-1)[indices]
    return SampledArray(array.shape, indices, values, sums, np.array(slack, np.float64))


def _tie_errors(exact: Array, ties: Ties) -> Array:
    """The allowed error of each integer: 0 except at ties, where rounding decides."""
    errors = np.zeros(exact.shape)
    differences = ties.values.astype(np.float64) - exact.reshape(-1)[ties.indices]
    errors.reshape(-1)[ties.indices] = np.abs(differences).max(axis=0)
    return errors


def _select_ties(ties: Ties, indices: Array) -> Ties | None:
    """The ties among those elements; None if there are none."""
    selected = np.isin(ties.indices, indices)
    if not selected.any():
        return None
    return Ties(np.searchsorted(indices, ties.indices[selected]), ties.values[:, selected])


def _choose_indices(spec: TensorSpec, array: Array, count: int) -> Array:
    """int64 (at most `count`,): flat indices of elements from all parts of an output, ascending.

    The largest and smallest of each column, up to half of `count`; elements at the ends of the axes,
    where padding errors show; and one element of each part of the flat array.
    """
    generator = np.random.default_rng(0)
    extremes = np.concatenate(
        [_by_column(spec, array, np.argmax), _by_column(spec, array, np.argmin)]
    )
    if extremes.size > count // 2:
        extremes = generator.permutation(extremes)[: count // 2 - 2]
    ends = [array.argmax(), array.argmin()]
    edge = generator.integers(0, array.shape, (count // 4, array.ndim))
    axis = generator.integers(0, array.ndim, len(edge))
    last = np.array(array.shape)[axis] - 1
    edge[np.arange(len(edge)), axis] = np.where(generator.integers(0, 2, len(edge)), last, 0)
    starts = np.array(block_edges(array.size, count - count // 2 - count // 4))
    spread = generator.integers(starts[:-1], starts[1:])
    on_edges = np.ravel_multi_index(tuple(edge.T), array.shape)
    return np.unique(np.concatenate([extremes, ends, on_edges, spread]).astype(np.int64))


def _by_column(spec: TensorSpec, array: Array, find: Any) -> Array:
    """The flat index of what `find` (argmax, argmin) finds in each column."""
    column = column_axes(spec)
    order = (*(axis for axis in range(array.ndim) if axis not in column), *column)
    moved = array.transpose(order)
    columns = math.prod(array.shape[axis] for axis in column)
    rows = find(moved.reshape(-1, columns), axis=0)
    positions = np.unravel_index(rows * columns + np.arange(columns), moved.shape)
    by_axis = [positions[order.index(axis)] for axis in range(array.ndim)]
    flat: Array = np.ravel_multi_index(tuple(by_axis), array.shape)
    return flat


def decode_predictions(
    manifest: Manifest, exact: Mapping[str, Array]
) -> tuple[ExpectedPrediction, ...]:
    """The predictions that the task decodes from the outputs; none if it decodes nothing."""
    task = TASKS[manifest.task]
    if not task.has_decoder or task.is_array:
        return ()
    first = manifest.signature.outputs[0]
    rows = np.moveaxis(exact[first.name], first.batch_axis, 0)
    try:
        decoded = task.decode(rows, manifest.labels, 1)
    except ArtifactError as error:
        raise ArtifactError(f"the network in float64: {error}", code=error.code) from error
    return tuple(ExpectedPrediction(each.label, each.score, each.value) for each in decoded)


def requantized_samples(predictor: Predictor, steps: Mapping[str, float]) -> dict[str, Any]:
    """The fields `golden` and `end_to_end` of a manifest whose file computes in int8.

    The inputs are those of the predictor's manifest, the outputs are the file's own.

    Args:
        steps: By output, the tolerance: one of the 255 steps of its range.
    """
    manifest, preprocessing = predictor.manifest, predictor.preprocessing
    golden = [_requantize(predictor, sample, sample.inputs, steps) for sample in manifest.golden]
    raw = []
    for sample in manifest.end_to_end:
        inputs = preprocessing.collate([preprocessing.transform(value) for value in sample.values])
        raw.append(_requantize(predictor, sample, inputs, steps))
    return {"golden": tuple(golden), "end_to_end": tuple(raw)}


def _requantize(
    predictor: Predictor, sample: Sample, inputs: Mapping[str, Array], steps: Mapping[str, float]
) -> Sample:
    arrays = {
        name: array.astype(np.float64) if array.dtype.kind == "f" else array
        for name, array in predictor.run(inputs).items()
    }
    tolerance = {name: float(steps.get(name, 0.0)) for name in arrays}
    outputs: dict[str, Array | SampledArray] = dict(arrays)
    for name, before in sample.outputs.items():
        if isinstance(before, SampledArray):
            errors = np.full(before.shape, tolerance[name])
            outputs[name] = _sampled(arrays[name], before.indices, before.checksums.size, errors)
    return replace(
        sample,
        outputs=outputs,
        tolerance=tolerance,
        columns={},
        ties={},
        predictions=decode_predictions(predictor.manifest, arrays),
    )
