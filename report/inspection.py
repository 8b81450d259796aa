"""What a file and its card say, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ptx.infer import Artifact, Card, Signature
from ptx.infer.artifact.onnx_bytes import read_header
from ptx.infer.described.onnx_graph import read_graph
from ptx.infer.errors import pluralise
from ptx.infer.signature import describe_limits


def card_facts(card: Card) -> Iterator[tuple[str, str]]:
    """All that a person looks for in a card, as (title, text)."""
    yield "model", card.model
    yield "task", card.task
    yield from signature_facts(card.signature)
    yield "preprocessing", join_settings(card.preprocessing)
    yield "labels", ", ".join(card.labels) or "none"
    if card.weights:
        yield "weights", f"rounded to {card.weights}"
    if found := card.quantization:
        yield "computes in", str(found)
    training = card.training
    if data := training.get("data"):
        yield "trained on", f"{data.get('name')} ({data.get('source')})"
    for key in ("recipe", "precision", "metrics", "assumed"):
        if isinstance(training.get(key), dict):
            yield key, join_settings(training[key])
    yield from _agreement(card)
    yield "proof covers", ", ".join(_list_covered(card)) or "nothing"
    yield "golden samples", _golden(card)
    yield "versions", ", ".join(f"{name} {version}" for name, version in card.versions.items())


def _golden(card: Card) -> str:
    """`3, 1 of them random numbers`."""
    seeded = sum(sample.is_seeded for sample in card.golden)
    left_out = card.agreement.get("examples_left_out", 0)
    return "".join(
        (
            str(len(card.golden)),
            f", {seeded} of them random numbers" if seeded else "",
            f"; {pluralise(left_out, 'example')} of the export left out, too large"
            if left_out
            else "",
        )
    )


def _list_covered(card: Card) -> Iterator[str]:
    """The parts of a prediction that the card's proof covers, each with what shows it."""
    if held := card.quantization:
        yield f"outputs (int8, by accuracy over {pluralise(held.predictions, 'answer')})"
    elif card.agreement:
        yield f"outputs ({pluralise(card.agreement['cases'], 'case')})"
    if card.raw:
        count = sum(len(sample.values) for sample in card.raw)
        yield f"preprocessing ({pluralise(count, 'raw input')})"
    answers = sum(len(sample.answers) for sample in card.golden)
    answers += sum(len(sample.answers) for sample in card.raw)
    if answers:
        yield f"{'labels' if card.labels else 'values'} ({pluralise(answers, 'answer')})"
    if card.agreement:
        yield "card (its digest)"
    if test := card.training.get("test"):
        figure = "accuracy" if "accuracy" in test else "error"
        yield f"{figure} ({pluralise(test['rows'], 'row')} of {test['data']})"


def _agreement(card: Card) -> Iterator[tuple[str, str]]:
    reference = card.agreement.get("reference", "eager float64")
    for backend, outputs in card.agreement["backends"].items() if card.agreement else ():
        for name, found in outputs.items():
            cases = pluralise(card.agreement["cases"], "case")
            error, allowed = f"{found['error']:.1e}", f"{found['tolerance']:.1e}"
            text = f"{backend}, {name}: largest error {error} in {cases}, allowed {allowed}"
            yield "agreement", f"{text}, against {reference}"


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
    """What a file is, and of an ONNX file without a card what its graph says; runs nothing of it."""
    facts: dict[str, str | int | bool] = {
        "file": str(artifact.path),
        "kind": artifact.kind,
        "bytes": len(artifact.data),
        "sha256": artifact.sha256,
        "seal": "holds" if artifact.sealed else "broken" if artifact.card else "none",
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
    if artifact.card is None:
        facts["producer"] = header.producer
        graph = read_graph(artifact.data, header, name=artifact.name)
        for title, tensors in (("input", graph.inputs), ("output", graph.outputs)):
            facts |= {f"{title} {tensor.name}": tensor.describe() for tensor in tensors}
    return facts
