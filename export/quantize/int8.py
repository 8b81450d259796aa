"""From a trained model to an ONNX file that computes in int8.

The float32 file is verified first, then quantized. The float64 tolerance does not apply to the result:
it is accepted if its predictions on test rows meet the criteria of `ptx.export.quantize.quality`. Its
golden samples have its own outputs, with a tolerance of one quantization step.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from ptx.export.golden import assert_golden, requantized_samples
from ptx.export.pipeline import ExportCandidate, VerifiedExport, open_candidate, verify_export
from ptx.export.quantize.quality import (
    LabelledDataset,
    QualityReport,
    compare_predictions,
    count_batch_variant_rows,
    enforce,
    measure_speedup,
    predict,
)
from ptx.export.source import TrainedModel
from ptx.infer.artifact.accuracy import BY_ACCURACY
from ptx.infer.artifact.files import check_writable
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.errors import InputError, UsageError
from ptx.infer.predictor import Predictor
from ptx.infer.ranges import DROP

COMPUTE, FORMAT = "int8", "onnx"


@dataclass(frozen=True)
class QuantizationConfig:
    """How a file that computes in int8 is made and accepted.

    Attributes:
        calibration: Training rows, from which the ranges are taken.
        test: Rows that the model was not trained on, for the accuracy.
        max_drop: Points of accuracy that may be lost on them.
        for_size: Accept a file that is not faster if it is smaller.
    """

    calibration: LabelledDataset
    test: LabelledDataset
    max_drop: float = 0.1
    for_size: bool = False


def export_int8(
    trained: TrainedModel,
    path: Path,
    config: QuantizationConfig,
    *,
    opset: int | None = None,
    announce: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> VerifiedExport:
    """Export a classifier to ONNX in int8; the file is written only if it meets all acceptance criteria.

    `opset`, `announce` and `progress`: as in `export`.

    Raises:
        UsageError: the model cannot compute in int8, or there is no such opset.
        InputError: E-DATA: there are too few rows, or they are for another model.
        ArtifactError: the network cannot be converted or verified, or overflows.
        AgreementError: E-INT8: an acceptance criterion is not met; nothing is written.
        OutputError: the file cannot be written.
    """
    DROP.check("max_drop", config.max_drop)
    check_model(trained)
    _check_test(config.test, config.max_drop)
    check_writable(path)
    float32 = verify_export(trained, FORMAT, path, opset=opset, progress=progress)
    candidate, steps = quantize_candidate(float32, config, path)
    assert candidate.quality is not None
    enforce(trained.manifest.model, candidate.quality)
    with open_candidate(candidate, path) as predictor:
        manifest = _make_manifest(predictor, candidate.quality, steps)
    candidate = replace(candidate, manifest=manifest)
    with open_candidate(candidate, path) as predictor:
        assert_golden(predictor, predictor.manifest)
    saved = len(float32.to_bytes()) - len(candidate.to_bytes())
    return replace(candidate, saved=saved).write(path, announce)


def quantize_candidate(
    float32: ExportCandidate, config: QuantizationConfig, path: Path
) -> tuple[ExportCandidate, dict[str, float]]:
    """Quantize a verified float32 file and measure what that changes.

    Returns:
        The int8 file, still with the manifest of the float32 file; and one quantization step of each
        float output.

    Raises:
        InputError, ArtifactError: as `export_int8` does.
    """
    from ptx.export.quantize.qdq import check_calibration, quantize

    with ExitStack() as stack:
        before = stack.enter_context(open_candidate(float32, path))
        steps = check_calibration(before, config.calibration)
        content = quantize(float32.content, float32.manifest.signature, config.calibration)
        candidate = replace(float32, content=content)
        after = stack.enter_context(open_candidate(candidate, path))
        accuracy = compare_predictions(
            predict(before, config.test),
            predict(after, config.test),
            data=config.test.name,
            max_drop=float(config.max_drop),
        )
        single_rows, variant_rows = count_batch_variant_rows(after, config.test)
        quantized, plain = (
            stack.enter_context(open_candidate(file, path, threads=1))
            for file in (candidate, float32)
        )
        inputs, _ = next(config.test.batches())
        quality = QualityReport(
            accuracy,
            single_rows=single_rows,
            batch_variant_rows=variant_rows,
            speedup=measure_speedup(quantized, plain, inputs),
            size=len(content),
            float32_size=len(float32.content),
            for_size=config.for_size,
        )
    return replace(candidate, quality=quality), steps


def check_model(trained: TrainedModel) -> None:
    """Check that a model can compute in int8, before any work.

    Raises:
        UsageError: its weights are quantized already, it has no labels, or it is not float32.
    """
    manifest = trained.manifest
    if manifest.weights:
        raise UsageError(
            f"the weights are quantized to {manifest.weights} already, and --compute int8 quantizes them"
            " itself: give one of the two"
        )
    if not manifest.labels:
        raise UsageError(
            f"{manifest.model} has no labels, so the accuracy of an int8 file cannot be"
            " measured: use --quantize-weights int8"
        )
    precision = trained.equivalence_check.reference.precision.name
    if manifest.signature.outputs[0].dtype != "float32" or precision != "float32":
        raise UsageError(
            f"{manifest.model} computes in {precision}: --compute int8 is for networks of float32"
        )


def _check_test(test: LabelledDataset, max_drop: float) -> None:
    """Check that there are enough test rows to measure a drop of `max_drop`."""
    if test.count * max_drop < 100:
        raise InputError(
            f"{test.name} has {test.count:,} test rows, so one is {100 / max(test.count, 1):.2g} points,"
            f" more than the drop of {max_drop:g} that is allowed: give more rows with --data, or allow"
            " more with --max-accuracy-drop",
            code="E-DATA",
        )


def _make_manifest(
    predictor: Predictor, quality: QualityReport, steps: dict[str, float]
) -> Manifest:
    """The float32 file's manifest with the outputs of the int8 file and its verification record."""
    float32 = predictor.manifest
    # Other float outputs are computed from the first one, so no step is smaller than its step.
    first = steps[float32.signature.outputs[0].name]
    tolerances = {name: max(step, first) for name, step in steps.items()}
    manifest = replace(
        float32,
        compute=COMPUTE,
        versions={**float32.versions, "onnxruntime": _runtime_version()},
        **requantized_samples(predictor, tolerances),
    )
    return replace(
        manifest,
        verification={
            "reference": BY_ACCURACY,
            "cases": float32.verification["cases"],
            "fingerprint": manifest.fingerprint,
            "samples": manifest.samples_sha256,
            "backends": {},
            "quantization": quality.accuracy.to_data(),
        },
    )


def _runtime_version() -> str:
    import onnxruntime

    version: str = onnxruntime.__version__
    return version
