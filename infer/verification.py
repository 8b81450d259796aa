"""Verify a model file with nothing but the file: content digest, manifest, golden samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ptx.infer.artifact.artifact import Artifact, Trust, read_artifact, require_trust
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.backends import Factory, Options, find_backend, open_backend
from ptx.infer.errors import ArtifactError, PtxError, UsageError, pluralise
from ptx.infer.loading import open_predictor, read_model_spec
from ptx.infer.predictor import Predictor
from ptx.infer.replay import Check, replay


def verify(
    path: str | Path,
    *,
    backend: str = "auto",
    device: str = "auto",
    trust: Trust = False,
    run: bool = True,
    network: Factory | None = None,
    spec: str | Path | Mapping[str, Any] | None = None,
    signer: str | Path | None = None,
    signature: str | Path | None = None,
) -> list[Check]:
    """Check the content digest and the manifest, and replay the golden samples.

    A changed file is replayed too, so that the checks show what the change did. An ONNX file without a
    manifest fails, since it has neither a digest nor golden samples; other checks say whether its spec
    fits and whether a backend opens it.

    Args:
        path: The model file.
        backend: As in `ptx.infer.load`.
        device: As in `ptx.infer.load`.
        trust: As in `ptx.infer.load`.
        run: False: only content digest and manifest are checked, and nothing in the file is run.
        network: As in `ptx.infer.load`.
        spec: As in `ptx.infer.load`, for an ONNX file without a manifest.
        signer: A PEM file, with which the signature of the file is checked before anything else: the
            public key of the signer, or the root certificate of its authority. See `ptx.infer.sign`.
        signature: The signature; by default the file's path with `.sig` added.

    Raises:
        ArtifactError: the file cannot be read, is a checkpoint or program without a manifest, or is a
            program that is not trusted. With a signer: the file is not signed, was changed, or was
            signed by someone else (E-SIGN-...).
        BackendError: the backend is not available here.
        UsageError: there is a spec, and the file has a manifest or is of another format; or there is a
            signature and no signer.
        InputError: E-SPEC: the spec is not valid.
    """
    artifact = read_artifact(path)
    checks = _check_signature(artifact, signer, signature)
    options = Options(device=device, trust=trust, network=network)
    manifest = artifact.manifest
    if manifest is None and artifact.format.accepts_spec:
        return [*checks, *_check_external(artifact, backend, options, spec, run=run)]
    if spec is not None:
        raise UsageError(
            f"{artifact.name} takes no model spec; only an ONNX file without a manifest does"
        )
    if manifest is None:
        manifest = artifact.require_manifest()
    digest_text = (
        "the content is what was written"
        if artifact.digest_ok
        else "the content does not match its content digest: a byte has changed since it was written"
    )
    checks.append(Check("content digest", artifact.digest_ok, digest_text))
    if not artifact.is_checkpoint:  # a checkpoint has no verification record
        checks += check_samples(manifest), check_fingerprint(manifest)
        if quantization := manifest.quantization:
            checks.append(Check("accuracy", True, str(quantization)))
    if not run:
        return checks
    require_trust(artifact, trust)
    return [*checks, *_open_and_replay(artifact, manifest, backend, options)]


def _check_signature(
    artifact: Artifact, signer: str | Path | None, signature: str | Path | None
) -> list[Check]:
    if signer is not None:
        from ptx.infer.signing import check_signature

        return [check_signature(artifact, signer, signature)]
    if signature is not None:
        raise UsageError("a signature needs --signer (library: signer=…), who is to have made it")
    return []


def _check_external(
    artifact: Artifact,
    backend: str,
    options: Options,
    spec: str | Path | Mapping[str, Any] | None,
    *,
    run: bool,
) -> Iterator[Check]:
    """What can be checked of an ONNX file without a manifest."""
    from ptx.infer.external.adapter import adapt_artifact
    from ptx.infer.external.spec import ModelSpec

    model_spec = read_model_spec(spec, {}) or ModelSpec()
    yield Check("content digest", False, "there is none: ptx did not write the file")
    yield Check("samples", False, "there are no golden samples: `ptx export --adopt` adds them")
    try:
        signature = adapt_artifact(artifact, model_spec).manifest.signature
    except PtxError as error:
        yield Check("spec", False, str(error))
        return
    inputs, outputs = (
        ", ".join(f"{one.name} {one.dtype} {one.describe()}" for one in specs)
        for specs in (signature.inputs, signature.outputs)
    )
    origin = "the graph" if spec is None else "the spec"
    yield Check("spec", True, f"{origin} says: {inputs or 'no input'} to {outputs}")
    if not run:
        return
    try:
        predictor = open_predictor(
            artifact, backend=backend, options=options, model_spec=model_spec
        )
    except ArtifactError as error:
        yield Check("load", False, str(error))
        return
    with predictor:
        opened = predictor.backend
        yield Check("load", True, f"{opened.name} opens it on {opened.device}")


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
    if golden.verification or find_backend(predictor.backend.name).artifact_format != CHECKPOINT:
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
