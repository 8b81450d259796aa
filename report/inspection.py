"""What a file and its manifest say, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ptx.infer import Artifact, Manifest, Signature
from ptx.infer.artifact.onnx_bytes import read_header
from ptx.infer.described.onnx_graph import read_graph
from ptx.infer.errors import pluralise
from ptx.infer.signature import describe_limits


def manifest_facts(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """All that a person looks for in a manifest, as (title, text)."""
    yield "model", manifest.model
    yield "task", manifest.task
    yield from signature_facts(manifest.signature)
    yield "preprocessing", join_settings(manifest.preprocessing)
    yield "labels", ", ".join(manifest.labels) or "none"
    if manifest.weights:
        yield "weights", f"rounded to {manifest.weights}"
    if found := manifest.quantization:
        yield "computes in", str(found)
    training = manifest.training
    if data := training.get("data"):
        yield "trained on", f"{data.get('name')} ({data.get('source')})"
    for key in ("recipe", "precision", "metrics", "assumed"):
        if isinstance(training.get(key), dict):
            yield key, join_settings(training[key])
    yield from _agreement(manifest)
    yield "proof covers", ", ".join(_list_covered(manifest)) or "nothing"
    yield "golden samples", _golden(manifest)
    yield "versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())


def _golden(manifest: Manifest) -> str:
    """`3, 1 of them random numbers`."""
    seeded = sum(sample.is_seeded for sample in manifest.golden)
    left_out = manifest.verification.get("examples_left_out", 0)
    return "".join(
        (
            str(len(manifest.golden)),
            f", {seeded} of them random numbers" if seeded else "",
            f"; {pluralise(left_out, 'example')} of the export left out, too large"
            if left_out
            else "",
        )
    )


def _list_covered(manifest: Manifest) -> Iterator[str]:
    """The parts of a prediction that the manifest's proof covers, each with what shows it."""
    if held := manifest.quantization:
        yield f"outputs (int8, by accuracy over {pluralise(held.predictions, 'answer')})"
    elif manifest.verification:
        yield f"outputs ({pluralise(manifest.verification['cases'], 'case')})"
    if manifest.end_to_end:
        count = sum(len(sample.values) for sample in manifest.end_to_end)
        yield f"preprocessing ({pluralise(count, 'raw input')})"
    answers = sum(len(sample.predictions) for sample in manifest.golden)
    answers += sum(len(sample.predictions) for sample in manifest.end_to_end)
    if answers:
        yield f"{'labels' if manifest.labels else 'values'} ({pluralise(answers, 'answer')})"
    if manifest.verification:
        yield "manifest (its digest)"
    if test := manifest.training.get("test"):
        figure = "accuracy" if "accuracy" in test else "error"
        yield f"{figure} ({pluralise(test['rows'], 'row')} of {test['data']})"


def _agreement(manifest: Manifest) -> Iterator[tuple[str, str]]:
    reference = manifest.verification.get("reference", "eager float64")
    for backend, outputs in (
        manifest.verification["backends"].items() if manifest.verification else ()
    ):
        for name, found in outputs.items():
            cases = pluralise(manifest.verification["cases"], "case")
            error, allowed = f"{found['error']:.1e}", f"{found['tolerance']:.1e}"
            text = f"{backend}, {name}: largest error {error} in {cases}, allowed {allowed}"
            yield "verification", f"{text}, against {reference}"


def signature_facts(signature: Signature) -> Iterator[tuple[str, str]]:
    """`input`, `image: float32 (batch, 1, 28, 28)`, and so on; `axis`, `time: 1 to 64`."""
    for title, specs in (("input", signature.inputs), ("output", signature.outputs)):
        for spec in specs:
            yield title, f"{spec.name}: {spec.dtype} {spec.describe()}"
    for axis, limits in signature.limits.items():
        yield "axis", f"{axis}: {describe_limits(limits)}"


def join_settings(values: Mapping[str, Any]) -> str:
    """`optimizer sgd, lr 0.01, batch size 100`."""
    return ", ".join(f"{key.replace('_', ' ')} {_short(value)}" for key, value in values.items())


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return f"({', '.join(map(_short, value))})"
    return str(value)


def file_facts(artifact: Artifact) -> dict[str, str | int | bool]:
    """What a file is, and of an ONNX file without a manifest what its graph says; runs nothing of it."""
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
    if artifact.format.describable:
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
        graph = read_graph(artifact.data, header, name=artifact.name)
        for title, tensors in (("input", graph.inputs), ("output", graph.outputs)):
            facts |= {f"{title} {tensor.name}": tensor.describe() for tensor in tensors}
    return facts
