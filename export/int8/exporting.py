"""From a network to a file that computes in int8: proved in float32, quantised, and put to the gates.

No tolerance of float64 holds such a file. What holds it are its answers on test rows, that the answer to
a row does not depend on its batch, and its own outputs, which it must give again within one step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from ptx.export.exporting import Proved, prove, write
from ptx.export.formats import find_attach
from ptx.export.golden import hold_answers, own_samples
from ptx.export.int8.gates import Measured, count, hold, rows_that_differ, times_as_fast
from ptx.export.int8.known_rows import KnownRows, answer
from ptx.export.trained_model import TrainedModel
from ptx.infer.artifact.artifact import parse_artifact
from ptx.infer.artifact.by_accuracy import BY_ACCURACY
from ptx.infer.artifact.card import Card
from ptx.infer.artifact.files import check_writable
from ptx.infer.backends import Options, open_backend
from ptx.infer.errors import InputError, UsageError
from ptx.infer.predictor import Predictor
from ptx.infer.ranges import DROP
from ptx.infer.signature import Array, Signature

FORM, FORMAT = "int8", "onnx"


@dataclass(frozen=True)
class Trial:
    """What a file in int8 is made and tried with.

    Attributes:
        calibration: Rows that the model was trained on: they give the ranges.
        test: Rows that it was not trained on: they are counted.
        max_drop: Points of accuracy that may be lost on them.
        for_size: Take a file that is slow, if it is smaller.
    """

    calibration: KnownRows
    test: KnownRows
    max_drop: float = 0.1
    for_size: bool = False


@dataclass(frozen=True)
class Int8Exported:
    """A file that was written, and what its gates found; `plain`: bytes of the one in float32."""

    path: Path
    size: int
    plain: int
    sha256: str
    found: Measured


def export_int8(
    trained: TrainedModel,
    path: Path,
    trial: Trial,
    *,
    opset: int | None = None,
    announce: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Int8Exported:
    """Export a classification to ONNX in int8; written only if it passes all gates.

    `opset`, `announce` and `progress`: as of `export`.

    Raises:
        UsageError: a model that does not compute in int8, or no such opset.
        InputError: E-DATA: rows that say nothing of this model.
        ArtifactError: the network cannot be converted or proved, or overflows.
        AgreementError: E-INT8: a gate does not hold, and nothing is written.
        OutputError: the file cannot be written.
    """
    tried = try_int8(trained, path, trial, opset=opset, progress=progress)
    hold(trained.card.model, tried.found)
    with _open(tried.content, tried.proved.card, path) as ours:
        card = _make_card(ours, tried)
    plain_size = len(find_attach(FORMAT)(tried.proved.content, tried.proved.card.to_json()))
    _check_again(tried.content, card, path)
    sealed = write(tried.content, card, find_attach(FORMAT), path, announce)
    return Int8Exported(path, len(sealed.data), plain_size, sealed.sha256, tried.found)


@dataclass(frozen=True)
class Tried:
    """A network in int8, measured and not yet held.

    Attributes:
        content: Without card and seal.
        proved: The same network in float32.
        steps: One step of each float output.
    """

    content: bytes
    proved: Proved
    steps: dict[str, float]
    found: Measured


def try_int8(
    trained: TrainedModel,
    path: Path,
    trial: Trial,
    *,
    opset: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tried:
    """Prove a network in float32, quantise it and measure what the gates ask; writes nothing.

    Raises:
        UsageError, InputError, ArtifactError, OutputError: as `export_int8` does.
    """
    from ptx.export.int8.static_qdq import check_calibration, quantise

    DROP.check("max_drop", trial.max_drop)
    check_model(trained)
    _check_test(trial.test, trial.max_drop)
    check_writable(path)
    proved = prove(trained, FORMAT, path, opset=opset, progress=progress)
    with ExitStack() as stack:
        plain = stack.enter_context(_open(proved.content, proved.card, path))
        steps = check_calibration(plain, trial.calibration)
        content = quantise(proved.content, trained.card.signature, trial.calibration)
        ours = stack.enter_context(_open(content, proved.card, path))
        found = _measure(ours, plain, trial, (content, proved.content))
    return Tried(content, proved, steps, found)


def _measure(
    ours: Predictor, plain: Predictor, trial: Trial, contents: tuple[bytes, bytes]
) -> Measured:
    before, after = (answer(one, trial.test) for one in (plain, ours))
    inputs, _ = next(trial.test.batches())
    alone, differ = rows_that_differ(ours, trial.test)
    return Measured(
        count(before, after, data=trial.test.name, max_drop=trial.max_drop),
        alone=alone,
        differ=differ,
        faster=_time(contents, plain.card, inputs),
        size=len(contents[0]),
        plain=len(contents[1]),
        for_size=trial.for_size,
    )


def _time(
    contents: tuple[bytes, bytes], card: Card, inputs: Mapping[str, Array]
) -> dict[int, float]:
    """How many times as fast the first file is, each with one thread."""
    with ExitStack() as stack:
        ours, plain = (
            stack.enter_context(_open(content, card, Path("speed.onnx"), threads=1))
            for content in contents
        )
        return times_as_fast(ours, plain, inputs)


def check_model(trained: TrainedModel) -> None:
    """Refuse what int8 is not for, before any work.

    Raises:
        UsageError: its weights are rounded already, it has no labels, or it is not float32.
    """
    card = trained.card
    if card.weights:
        raise UsageError(
            f"the weights are rounded to {card.weights} already, and --compute int8 rounds them itself:"
            " give one of the two"
        )
    if not card.labels:
        raise UsageError(
            f"{card.model} has no labels, so there is no accuracy that a file in int8 could be held to:"
            " take --quantize-weights int8"
        )
    if card.signature.outputs[0].dtype != "float32" or not _is_float32(trained):
        raise UsageError(
            f"{card.model} computes in {trained.proof.reference.precision.name}: --compute int8 is for"
            " networks of float32"
        )


def _is_float32(trained: TrainedModel) -> bool:
    return trained.proof.reference.precision.name == "float32"


def _check_test(test: KnownRows, max_drop: float) -> None:
    """Refuse so few test rows that one of them weighs more than the whole drop."""
    if test.count * max_drop < 100:
        raise InputError(
            f"{test.name} has {test.count:,} test rows, so one is {100 / max(test.count, 1):.2g} points,"
            f" more than the drop of {max_drop:g} that is allowed: give more rows with --data, or allow"
            " more with --max-accuracy-drop",
            code="E-DATA",
        )


def _open(content: bytes, card: Card, path: Path, *, threads: int | None = None) -> Predictor:
    artifact = parse_artifact(find_attach(FORMAT)(content, card.to_json()), path=path)
    options = Options(device="cpu", threads=threads, trust=True)  # it was made in this process
    return Predictor(card, lambda: open_backend("ort-cpu", artifact, options))


def _make_card(ours: Predictor, tried: Tried) -> Card:
    """The card of the plain file with the outputs of this one, and what it is held by."""
    plain = tried.proved.card
    draft = replace(
        plain,
        compute=FORM,
        versions={**plain.versions, "onnxruntime": _runtime_version()},
        **own_samples(ours, plain, _fill(tried.steps, plain.signature)),
    )
    return replace(
        draft,
        agreement={
            "reference": BY_ACCURACY,
            "cases": tried.proved.outcome.cases,
            "statement": draft.statement_sha256,
            "samples": draft.samples_sha256,
            "backends": {},
            "by_accuracy": tried.found.accuracy.to_data(),
        },
    )


def _fill(steps: dict[str, float], signature: Signature) -> dict[str, float]:
    """One step of each output; none is less than that of the first, which others are computed from."""
    first = steps[signature.outputs[0].name]
    return {name: max(step, first) for name, step in steps.items()}


def _check_again(content: bytes, card: Card, path: Path) -> None:
    """The file as it will stand there, opened anew: it gives its golden samples again."""
    with _open(content, card, path) as predictor:
        hold_answers(predictor, card)


def _runtime_version() -> str:
    import onnxruntime

    version: str = onnxruntime.__version__
    return version
