"""From a trained model to an artifact: convert, verify, write."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ptx.export.check.compare import count_equal_labels
from ptx.export.check.matrix import axis_lengths
from ptx.export.check.tolerance import FACTOR
from ptx.export.formats import EmbedManifest, check_format, find_exporter
from ptx.export.formats.conversion_errors import mapping_export_errors
from ptx.export.formats.html import Choice
from ptx.export.golden import assert_golden, check_manifest_size, with_golden
from ptx.export.source import TrainedModel, describe
from ptx.infer.artifact.artifact import parse_artifact
from ptx.infer.artifact.files import check_writable, write_atomic
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.artifact.onnx_bytes import read_header
from ptx.infer.backends import Options, open_backend
from ptx.infer.errors import AgreementError, ArtifactError, UsageError
from ptx.infer.predictor import Predictor
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.ranges import OPSETS
from ptx.infer.tasks import find_task

if TYPE_CHECKING:
    from ptx.export.quantize.quality import QualityReport


# Time limit of the search for an input at which the node of a failed check can be located.
_LOCATE_SECONDS = 2.0


@dataclass(frozen=True)
class VerifiedExport:
    """An artifact that was verified and written.

    Attributes:
        size: Bytes.
        sha256: The digest of the file.
        saved: The bytes by which quantization made the file smaller.
        choice: The page's runtime and why it was chosen; None if the user chose it or there is none.
        quality: For a file that computes in int8: what quantization changed.
    """

    path: Path
    format: str
    manifest: Manifest
    size: int
    sha256: str
    saved: int = 0
    choice: Choice | None = None
    quality: QualityReport | None = None

    @property
    def reference(self) -> str:
        """ "eager float64", or what replaces it."""
        return str(self.manifest.verification["reference"])

    @property
    def cases(self) -> int:
        """How many cases the test matrix has."""
        return int(self.manifest.verification["cases"])

    @property
    def rows(self) -> int:
        """For how many real samples the labels were compared."""
        return int(self.manifest.verification.get("labels", 0))

    @property
    def error(self) -> float:
        """The absolute error closest to its tolerance; 0 if the file computes in int8."""
        return self._worst["error"]

    @property
    def tolerance(self) -> float:
        """The tolerance of `error`."""
        return self._worst["tolerance"]

    @property
    def _worst(self) -> dict[str, float]:
        outputs = [
            errors
            for backend in self.manifest.verification["backends"].values()
            for errors in backend.values()
        ]
        return max(
            outputs,
            key=lambda errors: errors["error"] / (errors["tolerance"] or 1.0),
            default={"error": 0.0, "tolerance": 0.0},
        )


@dataclass(frozen=True)
class ExportCandidate:
    """A verified file that is still in memory.

    Attributes:
        content: The file without its manifest.
        embed: Makes the file from the content and the manifest.
        saved, choice, quality: As in `VerifiedExport`.
    """

    format: str
    content: bytes
    manifest: Manifest
    embed: EmbedManifest
    saved: int = 0
    choice: Choice | None = None
    quality: QualityReport | None = None

    def to_bytes(self) -> bytes:
        """The file."""
        return self.embed(self.content, self.manifest.to_json())

    def write(self, path: Path, announce: Callable[[str], None] | None) -> VerifiedExport:
        """Write the file atomically; `announce`: as in `export`.

        Raises:
            OutputError: the file cannot be written; a previous file is unchanged.
        """
        artifact = parse_artifact(self.to_bytes(), path=path)
        artifact.require_manifest()
        if announce is not None:
            announce(artifact.sha256)
        write_atomic(path, artifact.data)
        return VerifiedExport(
            path,
            self.format,
            self.manifest,
            size=len(artifact.data),
            sha256=artifact.sha256,
            saved=self.saved,
            choice=self.choice,
            quality=self.quality,
        )


def export(
    trained: TrainedModel | nn.Module,
    format_name: str,
    path: str | Path,
    *,
    opset: int | None = None,
    announce: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    **spec: Any,
) -> VerifiedExport:
    """Export to a format of `find_exporter`, and verify the file before it is written.

    Args:
        trained: From `read_model` or `describe`, or any network with the arguments of `describe`.
        opset: Only for ONNX.
        announce: Called with the file's SHA-256 just before it is written, so that the caller knows the
            digest of every file that exists.
        progress: Called with the number of finished runs of the check, and their total number.
        spec: Arguments of `describe`, if `trained` is a network.

    Raises:
        UsageError: there is no such format or opset.
        InputError: the arguments about the network are not valid.
        ArtifactError: the network cannot be converted, or its outputs are not finite, differ from run to
            run, or depend on the rest of the batch, so that no file could agree with it.
        AgreementError: the file would not compute what the network computes; nothing is written.
        OutputError: the file cannot be written; a previous file is unchanged.
        BackendError: the backend that verifies the file is not installed.
    """
    path = Path(path)
    check_format(format_name)
    if opset is not None:
        OPSETS.check("opset", opset)
    check_writable(path)
    if isinstance(trained, TrainedModel):
        manifest, runtime = trained.manifest, trained.runtime
        check_format(
            format_name, network=trained.network, weights=manifest.weights, runtime=runtime
        )
        if spec:
            raise UsageError(
                f"{', '.join(spec)} cannot be given for a trained model, whose manifest has it"
            )
    else:
        if isinstance(trained, nn.Module):
            check_format(format_name, network=trained)
        trained = describe(trained, **spec)
    candidate = verify_export(trained, format_name, path, opset=opset, progress=progress)
    return candidate.write(path, announce)


def verify_export(
    trained: TrainedModel,
    format_name: str,
    path: Path,
    *,
    opset: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ExportCandidate:
    """Convert to `format_name` and verify the file in memory; `path`: its name in messages.

    Raises:
        ArtifactError, AgreementError, BackendError: as `export` does.
    """
    exporter = find_exporter(format_name)
    if find_task(trained.manifest.task).is_array and not exporter.decodes_arrays:
        raise UsageError(
            f"--format {format_name} has no decoder for the task {trained.manifest.task!r}: use the task"
            " 'passthrough', or another format"
        )
    manifest = trained.manifest
    kind = manifest.preprocessing["kind"]
    if exporter.preprocessing_kinds is not None and kind not in exporter.preprocessing_kinds:
        raise UsageError(
            f"--format {format_name} has no preprocessing {kind!r}, such as a tokenizer: use another"
            " format"
        )
    preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
    if preprocessing.image_spec and not preprocessing.row_spec and not exporter.decodes_arrays:
        raise UsageError(
            f"--format {format_name} needs images of one size: state `size` in the preprocessing"
        )
    check = trained.equivalence_check
    check_manifest_size(trained.manifest)
    check.set_progress(progress)
    check.check_network()
    with mapping_export_errors(trained.manifest.model, format_name):
        unpacked = exporter.convert(trained.traced, opset=opset)
    content = unpacked
    if trained.manifest.weights:
        assert exporter.pack_weights is not None, "check_format refuses such a format"
        weights = {
            name: weight.numpy(force=True) for name, weight in trained.network.named_parameters()
        }
        content = exporter.pack_weights(unpacked, trained.manifest.weights, weights)
    manifest = replace(trained.limited_manifest, versions=_versions(format_name, content))
    manifest = with_golden(manifest, check, trained.examples, len(content))
    choice, embed = None, exporter.embed_manifest
    if exporter.choose_runtime and not trained.runtime:
        choice = exporter.choose_runtime(content, manifest.signature)
    if runtime := choice.runtime if choice else trained.runtime:
        embed = exporter.runtimes[runtime]()
    candidate = ExportCandidate(
        format_name, content, manifest, embed, saved=len(unpacked) - len(content), choice=choice
    )
    return replace(candidate, manifest=verify_candidate(candidate, trained, path))


def open_candidate(
    candidate: ExportCandidate, path: Path, *, threads: int | None = None
) -> Predictor:
    """A predictor over the file, on the backend that verifies its format.

    Raises:
        ArtifactError: the backend cannot open the file.
    """
    artifact = parse_artifact(candidate.to_bytes(), path=path)
    options = Options(device="cpu", threads=threads, trust=True)  # made in this process
    backend = find_exporter(candidate.format).backend
    return Predictor(artifact.require_manifest(), lambda: open_backend(backend, artifact, options))


def verify_candidate(candidate: ExportCandidate, trained: TrainedModel, path: Path) -> Manifest:
    """Run the file over the test matrix, the real samples and the golden samples.

    Returns:
        The manifest with the verification record.

    Raises:
        AgreementError: the file would not compute what the network computes.
    """
    check, manifest = trained.equivalence_check, candidate.manifest
    backend = find_exporter(candidate.format).backend
    try:
        opened = open_candidate(candidate, path)
    except ArtifactError as error:
        raise AgreementError(f"{backend} cannot open the exported file: {error}") from error
    with opened as predictor:
        try:
            errors = check.check(predictor.backend.run, backend)
        except AgreementError as error:
            if not (located := _locate(candidate, trained)):
                raise
            raise AgreementError(f"{error}; {located}", code=error.code) from error
        labels = count_equal_labels(predictor, check) if check.samples else 0
        assert_golden(predictor, predictor.manifest)
    lengths = {
        length
        for axis in manifest.signature.dynamic_axes[1:]
        for length in axis_lengths(manifest.signature, axis)
    }
    record: dict[str, Any] = {
        "reference": check.name,
        "factor": FACTOR,
        "batches": list(check.batches),
        "lengths": sorted(lengths),
        "cases": len(check.cases),
        "labels": labels,
        "fingerprint": manifest.fingerprint,
        "samples": manifest.samples_sha256,
        "backends": {backend: errors},
    }
    if check.ill_conditioned:
        record["ill_conditioned"] = dict(check.ill_conditioned)
    stored = {value for sample in manifest.end_to_end for value in sample.values}
    if left_out := sum(value not in stored for value in trained.examples):
        record["examples_omitted"] = left_out
    return replace(manifest, verification=record)


def _locate(candidate: ExportCandidate, trained: TrainedModel) -> str:
    """The node at which a file that failed its check differs, as text; empty if it is not found."""
    from ptx.export.diff.locate import RUN_IN_PARTS, Diagnosis

    if candidate.format not in RUN_IN_PARTS or trained.manifest.weights:
        return ""
    diagnosis = Diagnosis(trained)
    try:
        artifact = diagnosis.as_artifact(candidate.content, candidate.format)
        backend = find_exporter(candidate.format).backend
        return diagnosis.locate(artifact, backend, _LOCATE_SECONDS).summary
    except Exception:  # any library may fail: the message of the check must not be lost
        return ""


def _versions(format_name: str, content: bytes) -> dict[str, str]:
    versions = {"ptx": importlib.metadata.version("ptx-toolkit"), "torch": torch.__version__}
    if find_exporter(format_name).takes_opset:
        header = read_header(content, name="the exported file")
        versions["opset"] = str(header.opsets[""])
        for package in ("onnx", "onnxscript"):
            versions[package] = importlib.metadata.version(package)
    return versions
