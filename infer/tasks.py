"""Decoding: from a model's outputs to predictions, a label with its score, a value or boxes.

A manifest names the task of its model; TASKS says how that task's output is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ptx.infer.errors import ArtifactError, UsageError, did_you_mean
from ptx.infer.signature import Array, Axis, TensorSpec

TOLERANCE = 1e-2  # of a sum of probabilities: the rounding of a thousand float16 numbers

Ranking = tuple[tuple[str, float], ...]


class DecodedOutput(NamedTuple):
    """The decoded output of one sample.

    Attributes:
        top: The most probable labels with their scores, best first; of a segmentation all labels
            with their shares of the pixels, largest first.
        vector: float32 (size,), of an embedding.
        class_map: uint8 or uint16 (height, width), indices of labels, of a segmentation.
        boxes: float64 (boxes, 4 + labels), of the task boxes: see `ptx.infer.boxes.BoxFormat.read`.
    """

    label: str | None
    score: float | None  # probability of the label, in [0, 1]
    top: Ranking
    value: float | None  # only for a regression
    vector: Array | None = None
    class_map: Array | None = None
    boxes: Array | None = None


def softmax(logits: Array) -> Array:
    """Probabilities over the last axis, in float64."""
    shifted = np.subtract(logits, logits.max(axis=-1, keepdims=True), dtype=np.float64)
    exponentials = np.exp(shifted)
    result: Array = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return result


def classification(output: Array, labels: Sequence[str], top: int) -> list[DecodedOutput]:
    """`output`: logits (batch, labels)."""
    scores = softmax(output)
    return [
        _rank(row, row_scores, labels, top)
        for row, row_scores in zip(output.tolist(), scores.tolist(), strict=True)
    ]


def probabilities(output: Array, labels: Sequence[str], top: int) -> list[DecodedOutput]:
    """`output`: a probability for each label (batch, labels), as a softmax returns them.

    Raises:
        ArtifactError: a number is negative, or the sum of a row is not 1.
    """
    sums = output.sum(axis=1, dtype=np.float64)
    if output.min() < 0 or not (np.abs(sums - 1) < TOLERANCE).all():
        raise ArtifactError(
            f"the outputs are not probabilities: from {output.min():.3g} to {output.max():.3g}, and the"
            f" first row's sum is {sums[0]:.3g}; expected the task 'classification', which reads logits",
            code="E-OUTPUT",
        )
    scores = np.minimum(output, 1)
    return [
        _rank(row, row_scores, labels, top)
        for row, row_scores in zip(output.tolist(), scores.tolist(), strict=True)
    ]


def _rank(
    values: list[float], scores: list[float], labels: Sequence[str], top: int
) -> DecodedOutput:
    """The labels of the `top` largest values with their scores; equal values keep their order."""
    order = sorted(range(len(values)), key=values.__getitem__, reverse=True)[:top]
    ranking = tuple([(labels[index], scores[index]) for index in order])
    return DecodedOutput(ranking[0][0], ranking[0][1], ranking, None)


def binary(output: Array, labels: Sequence[str], top: int) -> list[DecodedOutput]:
    """`output`: the probability of the second label (batch, 1), as a sigmoid returns it.

    Raises:
        ArtifactError: a number is outside [0, 1].
    """
    if output.min() < -TOLERANCE or output.max() > 1 + TOLERANCE:
        raise ArtifactError(
            f"the outputs are not probabilities: from {output.min():.3g} to {output.max():.3g}; have"
            " forward end with a sigmoid, or return a logit for each label with the task"
            " 'classification'",
            code="E-OUTPUT",
        )
    decoded = []
    for probability in np.clip(output[:, 0].astype(np.float64), 0, 1).tolist():
        pair = ((labels[1], probability), (labels[0], 1.0 - probability))
        ranking = tuple(sorted(pair, key=lambda item: -item[1]))[:top]
        decoded.append(DecodedOutput(ranking[0][0], ranking[0][1], ranking, None))
    return decoded


def regression(output: Array, labels: Sequence[str], top: int) -> list[DecodedOutput]:
    """`output`: one number per sample (batch, 1)."""
    return [
        DecodedOutput(None, None, (), value) for value in output[:, 0].astype(np.float64).tolist()
    ]


def sequence_labeling(output: Array, labels: Sequence[str], top: int) -> list[DecodedOutput]:
    """`output`: logits (batch, time, labels); the label is the text of the best symbol of each step."""
    best = output.argmax(axis=-1)
    scores = softmax(output).max(axis=-1).prod(axis=-1).tolist()
    words = ["".join(labels[index] for index in row) for row in best.tolist()]
    return [
        DecodedOutput(word, score, ((word, score),), None)
        for word, score in zip(words, scores, strict=True)
    ]


def embedding(output: Array, labels: Sequence[str], top: int) -> list[DecodedOutput]:
    """`output`: a vector per sample (batch, size)."""
    return [DecodedOutput(None, None, (), None, vector=row) for row in output.astype(np.float32)]


def segmentation(output: Array, labels: Sequence[str], top: int) -> list[DecodedOutput]:
    """`output`: logits (batch, labels, height, width)."""
    maps = output.argmax(axis=1).astype(np.uint8 if len(labels) <= 256 else np.uint16)
    decoded = []
    for class_map in maps:
        counts = np.bincount(class_map.ravel(), minlength=len(labels))
        order = np.argsort(-counts, kind="stable")
        shares = tuple((labels[index], float(counts[index] / class_map.size)) for index in order)
        decoded.append(DecodedOutput(None, None, shares, None, class_map=class_map))
    return decoded


def boxes(output: Array, labels: Sequence[str], top: int) -> list[DecodedOutput]:
    """`output`: boxes and scores (batch, boxes, 4 + labels), from `ptx.infer.boxes.BoxFormat.read`."""
    return [DecodedOutput(None, None, (), None, boxes=row) for row in output]


def passthrough(output: Array, labels: Sequence[str], top: int) -> list[DecodedOutput]:
    """`output`: any array; it cannot be decoded."""
    raise UsageError(
        "the model's task is 'passthrough', so nothing reads its outputs: call run(), or load it with"
        " a spec that has another task"
    )


def _argmax(output: Array) -> Array:
    indices: Array = output.argmax(axis=-1)
    return indices


def _threshold(output: Array) -> Array:
    indices: Array = (output[..., 0] >= 0.5).astype(np.int64)
    return indices


def _per_class(axes: tuple[Axis, ...], labels: int) -> bool:
    return len(axes) == 1 and axes[-1] == labels


def _per_pixel(axes: tuple[Axis, ...], labels: int) -> bool:
    return len(axes) == 3 and axes[0] == labels > 1


def _per_step(axes: tuple[Axis, ...], labels: int) -> bool:
    return len(axes) == 2 and axes[-1] == labels


def _per_box(axes: tuple[Axis, ...], labels: int) -> bool:
    """A fixed number of boxes, each of 4 numbers and a score per label; one more is "no object"."""
    fixed = len(axes) == 2 and isinstance(axes[0], int)
    return fixed and labels > 0 and axes[1] in (4 + labels, 5 + labels)


class Task(NamedTuple):
    """How a model's first output is decoded; its batch axis has been moved to the front."""

    # whether an output with these sample axes, and this number of labels, can be decoded
    fits: Callable[[tuple[Axis, ...], int], bool]
    decode: Callable[[Array, Sequence[str], int], list[DecodedOutput]]
    classes: Callable[[Array], Array] | None  # class indices of a batch; None for a regression
    any_labels: bool = False  # whether the network can be built for any number of labels
    reads_logits: bool = False  # whether a temperature can calibrate its scores
    has_decoder: bool = True  # False: only `Predictor.run` works
    is_array: bool = False  # whether a prediction is an array rather than a label or a value
    reads_boxes: bool = False  # whether it reads boxes and scores, which may be two outputs


def decoded_outputs(task: str, outputs: Sequence[TensorSpec], labels: int) -> Sequence[TensorSpec]:
    """The outputs that a task of TASKS decodes, joined along their last axis: mostly the first one.

    Boxes may be in the first output and their scores in the second.
    """
    first = outputs[:1]
    if TASKS[task].reads_boxes and not TASKS[task].fits(_joined_axes(first), labels):
        return outputs[:2]
    return first


def _joined_axes(outputs: Sequence[TensorSpec]) -> tuple[Axis, ...]:
    """The axes of a sample of one output, or of boxes and scores; empty if these do not match."""
    if len(outputs) == 1:
        return outputs[0].sample_axes
    (*count, sides), (*others, scores) = (spec.sample_axes or ("",) for spec in outputs)
    if count != others or sides != 4 or not isinstance(scores, int):
        return ()
    return (*count, 4 + scores)


def why_incompatible(task: str, outputs: Sequence[TensorSpec], labels: int) -> str | None:
    """Why a task of TASKS cannot decode outputs of these dtypes; None if it can."""
    for output in decoded_outputs(task, outputs, labels) if TASKS[task].has_decoder else ():
        if not output.is_float:
            return (
                f"the output {output.name!r} is {output.dtype}, and the task {task!r} needs floats"
                " (logits, probabilities, a value): return those first in forward, or use the task"
                " 'passthrough'"
            )
    return None


def why_labels_misfit(task: str, outputs: Sequence[TensorSpec], labels: int) -> str | None:
    """Why the number of labels, the outputs' shapes and the task do not match; None if they do."""
    decoded = decoded_outputs(task, outputs, labels)
    if TASKS[task].fits(_joined_axes(decoded), labels):
        return None
    shapes = " and ".join(f"{output.name!r} {output.describe()}" for output in decoded)
    text = f"are {labels}, which does not match the output {shapes} for the task {task!r}"
    if TASKS[task].reads_boxes:
        text += (
            ", which needs boxes (batch, boxes, 4) as the first output and scores (batch, boxes,"
            f" {labels}) as the second, or both in one output (batch, boxes, {4 + labels}), with a fixed"
            " number of boxes; the scores may have one class more for 'no object'"
        )
    return text


TASKS = {
    "classification": Task(_per_class, classification, _argmax, any_labels=True, reads_logits=True),
    "probabilities": Task(_per_class, probabilities, _argmax),
    "binary": Task(lambda axes, labels: axes == (1,) and labels == 2, binary, _threshold),
    "regression": Task(lambda axes, labels: axes == (1,) and labels == 0, regression, None),
    "sequence-labeling": Task(_per_step, sequence_labeling, _argmax),
    "embedding": Task(
        lambda axes, labels: len(axes) == 1 and axes[0] != 0 and labels == 0,
        embedding,
        None,
        is_array=True,
    ),
    "segmentation": Task(_per_pixel, segmentation, None, is_array=True),
    "boxes": Task(_per_box, boxes, None, is_array=True, reads_boxes=True),
    "passthrough": Task(lambda axes, labels: labels == 0, passthrough, None, has_decoder=False),
}


def find_task(name: str) -> Task:
    """The task that a manifest names; ArtifactError suggests similar names if there is none."""
    if name not in TASKS:
        raise ArtifactError(
            f"the manifest's task is {name!r}; {did_you_mean(name, TASKS)}", code="E-MANIFEST"
        )
    return TASKS[name]


def require_task(name: str, outputs: Sequence[TensorSpec], labels: int) -> Task:
    """The task that a manifest names, checked against its outputs and its number of labels.

    Raises:
        ArtifactError: there is no such task, or it cannot decode such outputs.
    """
    task = find_task(name)
    reason = why_incompatible(name, outputs, labels)
    if reason is None and (misfit := why_labels_misfit(name, outputs, labels)):
        reason = f"its labels {misfit}"
    if reason is not None:
        raise ArtifactError(f"the manifest is not valid: {reason}", code="E-MANIFEST")
    return task
