"""The golden samples that a file is given: a few inputs, raw ones too, with what float64 answers.

They take a small part of the file. Random inputs are stored as a seed, large outputs as some elements
with checksums. Raw values and real inputs are stored as they are where they fit: of raw values the
largest are left out first, and for real inputs random ones stand in.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from ptx.export.grid import ALONE, first_rows, sample_size, seeded_inputs
from ptx.export.proof import Proof
from ptx.export.tolerance import along_output, column_axes
from ptx.infer.artifact.card import SIZE_LIMIT, Card
from ptx.infer.artifact.golden import (
    Answer,
    GoldenSample,
    Level,
    Raw,
    RawSample,
    golden_to_data,
    input_digest,
    labels_digest,
    raw_to_data,
    value_to_data,
)
from ptx.infer.artifact.sampled import SampledArray, block_edges, checksums
from ptx.infer.artifact.seeded import SEEDED_LIMIT, SeededArray
from ptx.infer.checks import check_inputs
from ptx.infer.errors import AgreementError, ArtifactError, InputError
from ptx.infer.predictor import Predictor
from ptx.infer.preprocessing import Preprocessing, batch_key, open_preprocessing
from ptx.infer.replay import replay
from ptx.infer.signature import BATCH, Array, TensorSpec
from ptx.infer.tasks import TASKS

Sample = TypeVar("Sample", GoldenSample, RawSample)

GOLDEN_ROWS = (3, 1)  # of real samples in each golden sample
READ_BYTES = 32 * 2**10  # of what is read from raw inputs, to be kept beside their digest, at most
# Bytes of JSON that all golden samples take: a twentieth of the file, within these limits. More than
# the upper one would slow down each opening of the file.
LEAST_BYTES, SHARE, MOST_BYTES = 64_000, 20, 2**20
OUTPUTS_SHARE = 6  # the outputs of one sample take at most this part of them
ELEMENT_BYTES = 32  # of JSON: an index, a value, a tolerance, and its part of a checksum
LEAST_ELEMENTS = 32  # of a sampled output
ELEMENTS_PER_BLOCK = 4  # how many elements are stored for each checksum


def golden_budget(file_size: int) -> int:
    """How many bytes of JSON the golden samples take at most in a file of so many bytes."""
    return max(LEAST_BYTES, min(file_size // SHARE, MOST_BYTES))


def check_room(card: Card) -> None:
    """Refuse a model that no card can carry, before it is proved for minutes.

    Raises:
        ArtifactError: E-EXPORT: its card is too large without golden samples, or one row of its inputs.
    """
    widest = max(spec.numpy_dtype.itemsize for spec in card.signature.inputs)
    if (size := sample_size(card.signature) * widest) > SEEDED_LIMIT:
        raise ArtifactError(
            f"the inputs of one row have {size / 2**30:.1f} GiB; expected at most"
            f" {SEEDED_LIMIT / 2**30:.0f} GiB: state smaller inputs",
            code="E-EXPORT",
        )
    _check_size(card, SIZE_LIMIT - 2 * MOST_BYTES)


def _check_size(card: Card, limit: int) -> None:
    if (size := len(card.to_json().encode())) > limit:
        raise ArtifactError(
            f"the file's manifest has {size:,} bytes; expected at most {limit:,}: shorten the labels,"
            " the configuration or the record of the training",
            code="E-EXPORT",
        )


def with_golden(card: Card, proof: Proof, examples: Sequence[Raw], file_size: int) -> Card:
    """The card with golden samples: input arrays, and raw inputs where its preprocessing takes any.

    Args:
        examples: Raw inputs; made-up ones that show another preprocessing are added to them.
        file_size: Bytes of the file's content, of which the samples take a small part.

    Raises:
        InputError: an example cannot be read.
        ArtifactError: the outputs are not what the card's task reads; E-EXPORT: the card is too large.
    """
    budget = golden_budget(file_size)
    maker = _Maker(card, proof, budget // OUTPUTS_SHARE)
    most = maker.most_random_rows()
    random = maker.random(most)
    # The sample of one row comes last: room for its outputs is kept.
    left = budget - _json_size(golden_to_data(random)) - maker.limit
    raw = []
    for batch in _batches(card, examples):
        sample = maker.raw(batch, left)
        if sample is not None and (size := _json_size(raw_to_data(sample))) <= left:
            raw.append(sample)
            left -= size
    golden = []
    for rows in GOLDEN_ROWS:
        left += maker.limit if rows == 1 else 0
        if (real := maker.real(rows, left)) is not None:
            golden.append(real)
            left -= _json_size(golden_to_data(real))
        elif rows <= most:
            golden.append(random if rows == most else maker.random(rows))
    if all(sample is not random for sample in golden):
        golden.append(random)
    made = replace(card, golden=tuple(golden), raw=tuple(raw))
    _check_size(made, SIZE_LIMIT - MOST_BYTES)
    return made


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


def _batches(card: Card, examples: Sequence[Raw]) -> list[list[tuple[Raw, Array]]]:
    """The raw values with what is read from each, those together that go into one batch."""
    preprocessing = open_preprocessing(card.preprocessing, card.signature)
    read = [*_read_examples(preprocessing, examples), *_read_made_up(card, preprocessing, examples)]
    batches: dict[object, list[tuple[Raw, Array]]] = {}
    for value, sample in read:
        batches.setdefault(batch_key(preprocessing, sample), []).append((value, sample))
    return list(batches.values())


def _json_size(data: Any) -> int:
    return len(json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode())


def _base64_size(arrays: Sequence[Array]) -> int:
    return sum(array.nbytes for array in arrays) * 4 // 3


@dataclass(frozen=True)
class _Maker:
    """Makes the golden samples of one file; `limit`: bytes of JSON for the outputs of one sample."""

    card: Card
    proof: Proof
    limit: int

    def most_random_rows(self) -> int:
        """ALONE, or 1 where so many rows are too large to be made."""
        sizes = _longest_random(self.proof, ALONE)
        shapes = [(spec.shape(sizes), spec.numpy_dtype) for spec in self.proof.signature.inputs]
        size = sum(math.prod(shape) * dtype.itemsize for shape, dtype in shapes)
        return ALONE if size <= SEEDED_LIMIT else 1

    def random(self, rows: int) -> GoldenSample:
        """Random inputs of a seed, which leave nothing out.

        A weight that only ever meets the black border of a picture shows in random pixels alone.
        """
        sizes = _longest_random(self.proof, rows)
        return self._golden(seeded_inputs(self.proof.signature, sizes), "random")

    def real(self, rows: int, left: int) -> GoldenSample | None:
        """The first real samples; None where there are fewer, or they take more than is left."""
        inputs = first_rows(self.proof.signature, self.proof.samples, rows)
        if inputs is None or _base64_size([*inputs.values()]) > left:
            return None
        sample = self._golden(inputs, "real")
        return sample if _json_size(golden_to_data(sample)) <= left else None

    def _golden(self, arrays: Mapping[str, Array | SeededArray], fill: str) -> GoldenSample:
        made = GoldenSample(arrays, {}, {})
        allowed = {spec.name: self.proof.allowed[fill, spec.name] for spec in self._outputs}
        return replace(made, **self._expected(made.inputs, allowed))

    def raw(self, batch: Sequence[tuple[Raw, Array]], left: int) -> RawSample | None:
        """The raw values that fit, with what is read from them; None where none does."""
        room = left - self.limit
        sizes = [_json_size(value_to_data(value)) for value, _ in batch]
        chosen = sorted(range(len(batch)), key=sizes.__getitem__)
        while chosen and sum(sizes[index] for index in chosen) > room:
            chosen.pop()  # the largest
        if not chosen:
            return None
        room -= sum(sizes[index] for index in chosen)
        values, samples = zip(*(batch[index] for index in sorted(chosen)), strict=True)
        preprocessing = open_preprocessing(self.card.preprocessing, self.card.signature)
        inputs, _ = check_inputs(self.card.signature, preprocessing.collate(samples))
        kept = sum(s.nbytes for s in samples) <= READ_BYTES and _base64_size(samples) <= room
        return RawSample(
            values=values,
            sha256=input_digest(inputs),
            read=samples if kept else (),
            names=tuple(preprocessing.columns),
            **self._expected(inputs, self.proof.allowed_on(inputs)),
        )

    @property
    def _outputs(self) -> tuple[TensorSpec, ...]:
        return self.proof.signature.outputs

    def _expected(
        self, inputs: Mapping[str, Array], allowed: Mapping[str, Array]
    ) -> dict[str, Any]:
        """The fields that both kinds of samples have; `allowed`: by output, of each column."""
        exact = self.proof.exact(inputs)
        level = self.proof.reference.level(inputs, exact)
        outputs: dict[str, Array | SampledArray] = dict(exact)
        columns = {
            spec.name: along_output(spec, allowed[spec.name])
            for spec in self._outputs
            if allowed[spec.name].min() < allowed[spec.name].max()
        }
        size = self.limit // len(self._outputs)
        count = max(LEAST_ELEMENTS, size // ELEMENT_BYTES)
        for spec in self._outputs:
            name, array = spec.name, exact[spec.name]
            if _base64_size([array]) <= size or array.size <= 2 * count:
                continue
            errors = np.broadcast_to(along_output(spec, allowed[name]), array.shape)
            if name in level:
                errors = _tie_errors(array, level[name])
            indices = _choose_indices(spec, array, count)
            outputs[name] = _sampled(array, indices, len(indices) // ELEMENTS_PER_BLOCK, errors)
            if name in columns:
                columns[name] = errors[np.unravel_index(indices, array.shape)]
            if name in level and (kept := _level_among(level.pop(name), indices)) is not None:
                level[name] = kept
        return {
            "outputs": outputs,
            "tolerance": {name: float(errors.max()) for name, errors in allowed.items()},
            "columns": {name: errors.astype(np.float32) for name, errors in columns.items()},
            "answers": find_answers(self.card, exact),
            "labels_sha256": labels_digest(self.card.labels) if self.card.labels else "",
            "level": level,
        }


def _longest_random(proof: Proof, rows: int) -> dict[str, int]:
    """The sizes of the largest random case of so many rows."""
    fitting = [
        case.sizes for case in proof.cases if case.fill == "random" and case.sizes[BATCH] == rows
    ]
    return fitting[-1]


def _sampled(array: Array, indices: Array, blocks: int, errors: Array) -> SampledArray:
    """An output of which some elements are stored; `errors`: by how much each element may be off."""
    sums, _ = checksums(array, blocks)
    edges, flat = block_edges(array.size, blocks), errors.reshape(-1)
    slack = [flat[start:stop].sum() for start, stop in pairwise(edges)]
    values = array.reshape(-1)[indices]
    return SampledArray(array.shape, indices, values, sums, np.array(slack, np.float64))


def _tie_errors(exact: Array, level: Level) -> Array:
    """By how much each integer may be off: 0 but where rounding decides."""
    errors = np.zeros(exact.shape)
    differences = level.values.astype(np.float64) - exact.reshape(-1)[level.places]
    errors.reshape(-1)[level.places] = np.abs(differences).max(axis=0)
    return errors


def _level_among(level: Level, indices: Array) -> Level | None:
    """What is level among those elements; None where nothing is."""
    among = np.isin(level.places, indices)
    if not among.any():
        return None
    return Level(np.searchsorted(indices, level.places[among]), level.values[:, among])


def _choose_indices(spec: TensorSpec, array: Array, count: int) -> Array:
    """int64 (at most `count`,): elements of all parts of an output, ascending in the flat array.

    The largest and the smallest of each column, up to half of them; elements on the edges of the axes,
    where padding shows; and one of each part of the flat array.
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
    """The index in the flat array of what `find` finds in each column."""
    kept = column_axes(spec)
    order = (*(axis for axis in range(array.ndim) if axis not in kept), *kept)
    moved = array.transpose(order)
    columns = math.prod(array.shape[axis] for axis in kept)
    rows = find(moved.reshape(-1, columns), axis=0)
    places = np.unravel_index(rows * columns + np.arange(columns), moved.shape)
    by_axis = [places[order.index(axis)] for axis in range(array.ndim)]
    found: Array = np.ravel_multi_index(tuple(by_axis), array.shape)
    return found


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
    answered = {
        name: array.astype(np.float64) if array.dtype.kind == "f" else array
        for name, array in predictor.run(inputs).items()
    }
    tolerance = {name: float(steps.get(name, 0.0)) for name in answered}
    outputs: dict[str, Array | SampledArray] = dict(answered)
    for name, before in sample.outputs.items():
        if isinstance(before, SampledArray):
            errors = np.full(before.shape, tolerance[name])
            outputs[name] = _sampled(answered[name], before.indices, before.checksums.size, errors)
    return replace(
        sample,
        outputs=outputs,
        tolerance=tolerance,
        columns={},
        level={},
        answers=find_answers(card, answered),
    )
