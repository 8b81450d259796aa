"""A manifest written anew into a good ONNX file, and written with its digest: what a slip or a script
may do.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ptx.infer.artifact import onnx_bytes
from ptx.infer.artifact.artifact import read_artifact
from ptx.infer.artifact.manifest import Manifest


def rewrite_manifest(source: Path, target: Path, **changes: Any) -> Path:
    """`source` at `target` with other fields in its manifest and a valid content digest."""
    import onnx

    artifact = read_artifact(source)
    manifest = replace(artifact.require_manifest(), **changes)
    model = onnx.ModelProto.FromString(artifact.data)
    del model.metadata_props[:]
    target.write_bytes(onnx_bytes.embed_manifest(model.SerializeToString(), manifest.to_json()))
    return target


def without_answers(manifest: Manifest) -> dict[str, Any]:
    """The fields of a manifest without end-to-end samples, answers and test metrics, as a script may
    write them.
    """
    return {
        "end_to_end": (),
        "golden": tuple(
            replace(sample, predictions=(), columns={}, labels_sha256="")
            for sample in manifest.golden[:2]
        ),
        "training": {k: v for k, v in manifest.training.items() if k != "test"},
    }


def with_digests(manifest: Manifest) -> dict[str, Any]:
    """The digests of the verification record, made anew for what the manifest says now."""
    digests = {"fingerprint": manifest.fingerprint, "samples": manifest.samples_sha256}
    return {"verification": {**manifest.verification, **digests}}
