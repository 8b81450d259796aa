"""A card written anew into a good ONNX file, and sealed: what a slip or a script may do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ptx.infer.artifact import onnx_bytes
from ptx.infer.artifact.artifact import read_artifact
from ptx.infer.artifact.card import Card


def rewrite_card(source: Path, target: Path, **changes: Any) -> Path:
    """`source` at `target` with other fields in its card; the seal holds."""
    import onnx

    artifact = read_artifact(source)
    card = replace(artifact.require_card(), **changes)
    model = onnx.ModelProto.FromString(artifact.data)
    del model.metadata_props[:]
    target.write_bytes(onnx_bytes.attach(model.SerializeToString(), card.to_json()))
    return target


def without_answers(card: Card) -> dict[str, Any]:
    """The fields of a card without raw samples, answers and test metrics, as a script may write them."""
    return {
        "raw": (),
        "golden": tuple(
            replace(sample, answers=(), columns={}, labels_sha256="") for sample in card.golden[:2]
        ),
        "training": {k: v for k, v in card.training.items() if k != "test"},
    }


def with_digests(card: Card) -> dict[str, Any]:
    """The digests of the proof, made anew for what the card says now."""
    digests = {"statement": card.statement_sha256, "samples": card.samples_sha256}
    return {"agreement": {**card.agreement, **digests}}
