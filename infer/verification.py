"""Verify a model file with nothing but the file: content digest, manifest, golden samples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ptx.infer.artifact.artifact import Artifact, Trust, read_artifact, require_trust
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.backends import BACKENDS, Options, open_backend
from ptx.infer.errors import ArtifactError, pluralise
from ptx.infer.predictor import Predictor
from ptx.infer.replay import Check, replay


def verify(
    path: str | Path,
    *,
    backend: str = "auto",
    device: str = "auto",
    trust: Trust = False,
    run: bool = True,
) -> list[Check]:
    """Check the content digest and the manifest, and replay the golden samples.

    A changed file is replayed too, so that the checks show what the change did.

    Args:
        path: The model file.
        backend: As in `ptx.infer.load`.
        device: As in `ptx.infer.load`.
        trust: As in `ptx.infer.load`.
        run: False: only content digest and manifest are checked, and nothing in the file is run.

    Raises:
        ArtifactError: the file cannot be read, has no manifest, or is a program that is not trusted.
        BackendError: the backend is not available here.
    """
    artifact = read_artifact(path)
    manifest = artifact.manifest
    if manifest is None and artifact.format.accepts_spec:
        raise ArtifactError(
            f"{artifact.name} is {artifact.format.noun} without a ptx manifest: it has no content"
            " digest and no golden samples, so there is nothing to verify; `ptx export --adopt` makes"
            " an artifact of it",
            code="E-MANIFEST-MISSING",
        )
    if manifest is None:
        manifest = artifact.require_manifest()
    digest_text = (
        "the content is what was written"
        if artifact.digest_ok
        else "the content does not match its content digest: a byte has changed since it was written"
    )
    checks = [Check("content digest", artifact.digest_ok, digest_text)]
    if not artifact.is_checkpoint:  # a checkpoint has no verification record
        checks += check_samples(manifest), check_fingerprint(manifest)
        if quantization := manifest.quantization:
            checks.append(Check("accuracy", True, str(quantization)))
    if not run:
        return checks
    require_trust(artifact, trust)
    return [
        *checks,
        *_open_and_replay(artifact, manifest, backend, Options(device=device, trust=trust)),
    ]


def check_samples(manifest: Manifest) -> Check:
    """Whether the manifest has golden samples, and they are those that were verified."""
    detail = f"the manifest contains {pluralise(len(manifest.golden), 'golden sample')}"
    if manifest.verification.get("samples") != manifest.samples_sha256:
        return Check("samples", False, f"{detail}; they are not those that were verified")
    return Check("samples", bool(manifest.golden), detail)


def check_fingerprint(manifest: Manifest) -> Check:
    """Whether labels, preprocessing and the other settings are those that were verified."""
    if manifest.verification.get("fingerprint") != manifest.fingerprint:
        return Check(
            "manifest",
            False,
            "labels, preprocessing, task, signature or weights are not those that were verified",
        )
    return Check(
        "manifest", True, "labels, preprocessing, task and signature are those that were verified"
    )


def failures(predictor: Predictor, golden: Manifest) -> list[Check]:
    """The failed checks of a manifest and of its golden samples on an opened predictor.

    Args:
        golden: A manifest with golden samples for the same weights: the predictor's, or an export's.
    """
    checks = list(replay(predictor, golden))
    # A checkpoint's manifest has neither golden samples nor a verification record.
    if golden.verification or BACKENDS[predictor.backend.name].artifact_format != CHECKPOINT:
        checks = [check_samples(golden), check_fingerprint(golden), *checks]
    return [check for check in checks if not check.passed]


def _open_and_replay(
    artifact: Artifact, manifest: Manifest, backend: str, options: Options
) -> Iterator[Check]:
    try:
        predictor = Predictor(manifest, lambda: open_backend(backend, artifact, options))
    except ArtifactError as error:
        yield Check("load", False, str(error))
        return
    with predictor:
        if artifact.is_checkpoint:
            yield Check("load", True, f"{predictor.backend.name} opens it")
        yield from replay(predictor, manifest)
