"""From a model's outputs to what a person asked: a label with its score, or a value.

A manifest names its task; TASKS says how the first output is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ptx.infer.errors import ArtifactError, UsageError, did_you_mean
from ptx.infer.signature import Array, Axis, TensorSpec

TOLERANCE = 1e-2  # of the sum of probabilities of half precision over a thousand labels

Ranking = tuple[tuple[str, float], ...]


class DecodedOutput(NamedTuple):
    """What one sample's output says."""

    label: str | None
    score: float | None  # probability of the label, in [0, 1]
    top: Ranking  # the most probable labels with their scores, best first
    value: float | None  # of a regression


def softmax(logits: Array) -> Array:
    """Probabilities over the last axis, in float64."""
    shifted = np.subtract(logits, logits.max(axis=-1, keepdims=True), dtype=np.float64)
    exponentials = np.exp(shifted)
    shares: Array = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return shares


def classification(output: Array, labels: Sequence[str], top: int) -> list[DecodedOutput]:
    """`output`: logits (batch, labels)."""
    shares = softmax(output)
    return [
        _rank(row, share, labels, top)
        for row, share in zip(output.tolist(), shares.tolist(), strict=True)
    ]


def probabilities(output: Array, labels: Sequence[str], top: int) -> list[DecodedOutput]:
    """`output`: a probability for each label (batch, labels), as behind a softmax.

    Raises:
        ArtifactError: they are none.
    """
    sums = output.sum(axis=1, dtype=np.float64)
    if output.min() < 0 or not (np.abs(sums - 1) < TOLERANCE).all():
        raise ArtifactError(
            f"the outputs are no probabilities: from {output.min():.3g} to {output.max():.3g}, the first"
            f" row's sum is {sums[0]:.3g}; expected the task 'classification', which reads logits",
            code="E-OUTPUT",
        )
    shares = np.minimum(output, 1)
    return [
        _rank(row, share, labels, top)
        for row, share in zip(output.tolist(), shares.tolist(), strict=True)
    ]


def _rank(
    values: list[float], shares: list[float], labels: Sequence[str], top: int
) -> DecodedOutput:
    """The labels of the largest values with their shares; of equal values the first leads."""
    order = sorted(range(len(values)), key=values.__getitem__, reverse=True)[:top]
    ranking = tuple([(labels[index], shares[index]) for index in order])
    return DecodedOutput(ranking[0][0], ranking[0][1], ranking, None)


def binary(output: Array, labels: Sequence[str], top: int) -> list[DecodedOutput]:
    """`output`: the probability of the second label (batch, 1), as behind a sigmoid.

    Raises:
        ArtifactError: it is none.
    """
    if output.min() < -TOLERANCE or output.max() > 1 + TOLERANCE:
        raise ArtifactError(
            f"the outputs are no probabilities: from {output.min():.3g} to {output.max():.3g}; have"
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
    """`output`: a number for each sample (batch, 1)."""
    return [
        DecodedOutput(None, None, (), value) for value in output[:, 0].astype(np.float64).tolist()
    ]


def sequence_labeling(output: Array, labels: Sequence[str], top: int) -> list[DecodedOutput]:
    """`output`: logits (batch, time, labels); the label is the word of the best symbols."""
    best = output.argmax(axis=-1)
    scores = softmax(output).max(axis=-1).prod(axis=-1).tolist()
    words = ["".join(labels[index] for index in row) for row in best.tolist()]
    return [
        DecodedOutput(word, score, ((word, score),), None)
        for word, score in zip(words, scores, strict=True)
    ]


def passthrough(output: Array, labels: Sequence[str], top: int) -> list[DecodedOutput]:
    """`output`: anything; what it says is not known."""
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


def _per_step(axes: tuple[Axis, ...], labels: int) -> bool:
    return len(axes) == 2 and axes[-1] == labels


class Task(NamedTuple):
    """How a model's first output is read; its batch axis has been moved to the front."""

    fits: Callable[[tuple[Axis, ...], int], bool]  # an output's axes of one sample, and the labels
    decode: Callable[[Array, Sequence[str], int], list[DecodedOutput]]
    classes: Callable[[Array], Array] | None  # class indices of a batch; None for a regression
    any_labels: bool = False  # a network for it is made for as many labels as its data has
    reads_logits: bool = False  # whether a temperature can calibrate its scores
    has_decoder: bool = True  # False: nothing is read from the outputs, there is `run` alone


def why_incompatible(task: str, output: TensorSpec) -> str | None:
    """Why a task of TASKS reads no output of this type; None where it does."""
    if output.is_float or not TASKS[task].has_decoder:
        return None
    return (
        f"the output {output.name!r} is {output.dtype}, and the task {task!r} reads floats (logits,"
        " probabilities, a value): have forward return those first, or take the task 'passthrough'"
    )


TASKS = {
    "classification": Task(_per_class, classification, _argmax, any_labels=True, reads_logits=True),
    "probabilities": Task(_per_class, probabilities, _argmax),
    "binary": Task(lambda axes, labels: axes == (1,) and labels == 2, binary, _threshold),
    "regression": Task(lambda axes, labels: axes == (1,) and labels == 0, regression, None),
    "sequence-labeling": Task(_per_step, sequence_labeling, _argmax),
    "passthrough": Task(lambda axes, labels: labels == 0, passthrough, None, has_decoder=False),
}


def find_task(name: str) -> Task:
    """The task that a manifest names; ArtifactError with the nearest where there is none."""
    if name not in TASKS:
        raise ArtifactError(
            f"the manifest's task is {name!r}; {did_you_mean(name, TASKS)}", code="E-MANIFEST"
        )
    return TASKS[name]


def require_task(name: str, output: TensorSpec, labels: int) -> Task:
    """The task that a manifest names, which its first output and the number of its labels fit.

    Raises:
        ArtifactError: there is no such task, or they do not fit.
    """
    task = find_task(name)
    why = why_incompatible(name, output)
    if why is not None:
        raise ArtifactError(f"the manifest does not fit: {why}", code="E-MANIFEST")
    if not task.fits(output.sample_axes, labels):
        raise ArtifactError(
            f"the manifest's output {output.describe()} and {labels} labels do not make a {name}",
            code="E-MANIFEST",
        )
    return task
