"""The backends of one model: which are opened, which are skipped, and with which options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ptx import report
from ptx.infer import BACKENDS, ArtifactError, Options
from ptx.infer.artifact.artifact import Artifact, read_artifact
from ptx.report.backends import FindArtifact, supported_options


@pytest.fixture
def onnx(artifact: Callable[[str, str], Path]) -> Path:
    return artifact("linear-model", "onnx")


@pytest.fixture
def only_onnx(onnx: Path) -> FindArtifact:
    """A model that has no file but one of ONNX."""

    def find(kind: str) -> Artifact:
        if kind == "onnx":
            return read_artifact(onnx)
        raise ArtifactError(f"there is no {kind} file", code="E-NO-ARTIFACT")

    return find


def weights(path: Path) -> str:
    return str(read_artifact(path).require_manifest().weights_sha256)


def test_without_names_what_is_not_available_is_skipped_with_its_reason(
    onnx: Path, only_onnx: FindArtifact
) -> None:
    opened, skipped = report.open_backends(only_onnx, weights(onnx), Options())
    names = [predictor.backend.name for predictor in opened]
    assert "ort-cpu" in names
    assert skipped["pt2"] == "there is no pt2 file"
    assert "javascript" not in skipped  # a page is exported only by name
    assert not set(names) & set(skipped)
    for predictor in opened:
        predictor.close()


def test_a_named_backend_is_not_skipped(onnx: Path, only_onnx: FindArtifact) -> None:
    with pytest.raises(ArtifactError) as missing:
        report.open_backends(only_onnx, weights(onnx), Options(), names=["pt2"])
    assert missing.value.code == "E-NO-ARTIFACT"


def test_a_file_of_other_weights_is_refused(only_onnx: FindArtifact) -> None:
    with pytest.raises(ArtifactError) as stale:
        report.open_backends(only_onnx, "0" * 64, Options(), names=["ort-cpu"])
    assert stale.value.code == "E-STALE"


def test_without_any_file_it_is_an_error_to_measure() -> None:
    def find(kind: str | None) -> Path:
        raise ArtifactError(f"no {kind or 'artifact'}", code="E-NO-ARTIFACT")

    with pytest.raises(ArtifactError, match="no artifact"):
        list(report.find_targets(find, Options(), trust=False))


def test_each_file_that_is_there_is_measured_by_the_backends_that_read_it(
    onnx: Path, only_onnx: FindArtifact
) -> None:
    def find(kind: str | None) -> Path:
        return onnx if kind is None else only_onnx(kind).path

    targets = list(report.find_targets(find, Options(), trust=False))
    readers = [name for name, entry in BACKENDS.items() if entry.artifact_format == "onnx"]
    assert [target.backend for target in targets] == readers


def test_options_are_those_that_a_backend_supports() -> None:
    given = Options(device="cuda", threads=3)
    assert supported_options("ort-cpu", given, named=False) == Options(threads=3)
    assert supported_options("eager", given, named=False) == Options(device="cuda")
    assert supported_options("eager", given, named=True) == given
