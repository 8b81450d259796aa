"""The contents of a file and its manifest as (title, text) pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ptx.infer import Artifact, Manifest, Signature
from ptx.infer.artifact.onnx_bytes import read_header
from ptx.infer.errors import pluralise
from ptx.infer.external.onnx_graph import read_graph

_LONGEST_SETTING = 1000  # characters; a tokenizer has a hundred thousand


def manifest_facts(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """The contents of a manifest, as (title, text)."""
    yield "model", manifest.model
    yield "task", manifest.task
    yield from signature_facts(manifest.signature)
    yield "preprocessing", join_settings(manifest.preprocessing)
    yield "labels", ", ".join(manifest.labels) or "none"
    if manifest.boxes:
        yield "boxes", join_settings(manifest.boxes)
    if manifest.weights:
        yield "weights", f"quantized to {manifest.weights}"
    if comparison := manifest.quantization:
        yield "computes in", str(comparison)
    training = manifest.training
    if data := training.get("data"):
        yield "trained on", f"{data.get('name')} ({data.get('source')})"
    for key in ("recipe", "precision", "metrics", "assumed", "selected"):
        if isinstance(training.get(key), dict):
            yield key, join_settings(training[key])
    yield from _verification(manifest)
    yield "verified", ", ".join(_verified_parts(manifest)) or "nothing"
    yield "golden samples", _golden(manifest)
    yield "versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())


def _golden(manifest: Manifest) -> str:
    """Such as `3, 1 of them random numbers`."""
    seeded = sum(sample.is_seeded for sample in manifest.golden)
    omitted = manifest.verification.get("examples_omitted", 0)
    return "".join(
        (
            str(len(manifest.golden)),
            f", {seeded} of them random numbers" if seeded else "",
            f"; {pluralise(omitted, 'example')} omitted, too large" if omitted else "",
        )
    )


def _verified_parts(manifest: Manifest) -> Iterator[str]:
    """The parts of a prediction that were verified, each with the evidence."""
    if comparison := manifest.quantization:
        yield f"outputs (int8, by accuracy over {pluralise(comparison.predictions, 'prediction')})"
    elif manifest.verification:
        yield f"outputs ({pluralise(manifest.verification['cases'], 'case')})"
    if manifest.end_to_end:
        count = sum(len(sample.values) for sample in manifest.end_to_end)
        yield f"preprocessing ({pluralise(count, 'raw input')})"
    predictions = sum(len(sample.predictions) for sample in manifest.golden)
    predictions += sum(len(sample.predictions) for sample in manifest.end_to_end)
    if predictions:
        yield f"{'labels' if manifest.labels else 'values'} ({pluralise(predictions, 'prediction')})"
    if manifest.verification:
        yield "manifest (its digest)"
    if test := manifest.training.get("test"):
        metric = "accuracy" if "accuracy" in test else "error"
        yield f"{metric} ({pluralise(test['rows'], 'row')} of {test['data']})"


def _verification(manifest: Manifest) -> Iterator[tuple[str, str]]:
    reference = manifest.verification.get("reference", "eager float64")
    for backend, outputs in (
        manifest.verification["backends"].items() if manifest.verification else ()
    ):
        for name, record in outputs.items():
            cases = pluralise(manifest.verification["cases"], "case")
            error, allowed = f"{record['error']:.1e}", f"{record['tolerance']:.1e}"
            text = f"{backend}, {name}: largest error {error} in {cases}, allowed {allowed}"
            yield "verification", f"{text}, compared with {reference}"


def signature_facts(signature: Signature) -> Iterator[tuple[str, str]]:
    """Such as (`input`, `image: float32 (batch, 1, 28, 28)`) and (`axis`, `time: 1 to 64`)."""
    for title, specs in (("input", signature.inputs), ("output", signature.outputs)):
        for spec in specs:
            yield title, f"{spec.name}: {spec.dtype} {spec.describe()}"
    for axis, limits in signature.limits.items():
        yield "axis", f"{axis}: {limits}"


def join_settings(values: Mapping[str, Any]) -> str:
    """Such as `optimizer sgd, lr 0.01, batch size 100`."""
    return ", ".join(f"{key.replace('_', ' ')} {_short(value)}" for key, value in values.items())


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return f"({', '.join(map(_short, value))})"
    text = str(value)
    return text if len(text) <= _LONGEST_SETTING else f"of {len(text):,} characters"


def file_facts(artifact: Artifact) -> dict[str, str | int | bool]:
    """Facts about a file, and about the graph of an ONNX file without a manifest. Runs no code."""
    facts: dict[str, str | int | bool] = {
        "file": str(artifact.path),
        "kind": artifact.kind,
        "bytes": len(artifact.data),
        "sha256": artifact.sha256,
        "content_digest": "valid"
        if artifact.digest_ok
        else "broken"
        if artifact.manifest
        else "none",
    }
    if artifact.format.accepts_spec:
        facts |= _onnx_facts(artifact)
    return facts


def _onnx_facts(artifact: Artifact) -> dict[str, str | int | bool]:
    header = read_header(artifact.data, name=artifact.name)
    opsets = (f"{domain or 'ai.onnx'} {version}" for domain, version in header.opsets.items())
    facts: dict[str, str | int | bool] = {
        "opset": ", ".join(opsets),
        "ir version": header.ir_version,
    }
    if artifact.manifest is None:
        facts["producer"] = header.producer
        for name, content in artifact.external_data.items():
            facts[f"weights in {name}"] = f"{len(content):,} bytes"
        graph = read_graph(artifact.data, header, name=artifact.name)
        for title, tensors in (("input", graph.inputs), ("output", graph.outputs)):
            facts |= {f"{title} {tensor.name}": tensor.describe() for tensor in tensors}
    return facts
