"""Good weights under a manifest that was written anew: no verb may answer as if it were proved.

The table of faults, with the digest of the statement written anew too, is `tests/faults/table.py`.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ptx.infer.artifact.artifact import read_artifact
from ptx.infer.artifact.manifest import Manifest

from .rewriting import rewrite_manifest, with_digests, without_answers

Ptx = Callable[..., Any]
Fault = Callable[[Manifest], dict[str, Any]]


def preprocessed(**settings: Any) -> Fault:
    return lambda manifest: {"preprocessing": {**manifest.preprocessing, **settings}}


def swapped(labels: tuple[str, ...]) -> tuple[str, ...]:
    return (*labels[:3], labels[8], *labels[4:8], labels[3], *labels[9:])


FAULTS: dict[str, Fault] = {
    "labels reversed": lambda manifest: {"labels": manifest.labels[::-1]},
    "two labels swapped": lambda manifest: {"labels": swapped(manifest.labels)},
    "another mean": preprocessed(mean=0.5),
    "another std": preprocessed(std=0.05),
    "another fit": preprocessed(resize_mode="letterbox"),
}

VERBS = ("verify", "compare", "evaluate")


@pytest.fixture
def injected(workspace: Path, tmp_path: Path) -> Callable[..., Path]:
    """`injected(fault, …)`: a workspace whose convnet.onnx bears the fault, written with its digest."""

    def inject(*faults: Fault) -> Path:
        folder = tmp_path / "convnet"
        folder.mkdir()
        for name in ("checkpoint.pt", "convnet.onnx"):
            shutil.copy(workspace / "convnet" / name, folder / name)
        manifest = read_artifact(folder / "convnet.onnx").require_manifest()
        for fault in faults:
            manifest = replace(manifest, **fault(manifest))
        fields = {name: getattr(manifest, name) for name in manifest.__dataclass_fields__}
        rewrite_manifest(folder / "convnet.onnx", folder / "convnet.onnx", **fields)
        return tmp_path

    return inject


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_manifest_that_says_another_thing_fails(
    ptx: Ptx, injected: Callable[..., Path], fault: Fault, verb: str
) -> None:
    backend = ["--backends" if verb == "compare" else "--backend", "ort-cpu"]
    told = ptx(verb, "convnet", *backend, "--workspace", injected(fault))
    assert told.code == 1, told.out + told.err


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_manifest_without_answers_and_with_new_digests_differs_from_the_checkpoint(
    ptx: Ptx, injected: Callable[..., Path], fault: Fault
) -> None:
    root = injected(without_answers, fault, with_digests)
    told = ptx("compare", "convnet", "--backends", "ort-cpu", "--workspace", root)
    assert told.code == 1
    assert re.search(
        r"convnet.onnx: (labels|preprocessing \w+): .*; the checkpoint says ", told.out
    )


@pytest.mark.parametrize("name", ["labels reversed", "two labels swapped"])
def test_a_manifest_without_answers_is_evaluated_by_its_labels(
    ptx: Ptx, injected: Callable[..., Path], name: str
) -> None:
    root = injected(without_answers, FAULTS[name], with_digests)
    told = ptx("evaluate", "convnet", "--backend", "ort-cpu", "--json", "--workspace", root)
    assert json.loads(told.out)["accuracy"] < (0.2 if name == "labels reversed" else 0.85)


def test_compare_says_where_the_manifest_differs_and_which_samples_fail(
    ptx: Ptx, injected: Callable[..., Path]
) -> None:
    root = injected(FAULTS["labels reversed"])
    told = ptx("compare", "convnet", "--backends", "ort-cpu", "--workspace", root).out
    assert "convnet.onnx: labels: " in told
    assert "ort-cpu: end-to-end sample 1, predictions: " in told


def test_without_its_raw_samples_a_file_falls_below_what_the_training_reached(
    ptx: Ptx, injected: Callable[..., Path]
) -> None:
    root = injected(
        preprocessed(mean=0.9, std=0.1),
        lambda manifest: {**without_answers(manifest), "training": manifest.training},
        with_digests,
    )
    told = ptx("evaluate", "convnet", "--backend", "ort-cpu", "--workspace", root)
    assert told.code == 1
    assert "worse than in training by more than rounding" in told.out


def test_the_good_file_holds_in_every_verb(ptx: Ptx, injected: Callable[..., Path]) -> None:
    root = injected()
    for verb in VERBS:
        backend = ["--backends" if verb == "compare" else "--backend", "ort-cpu"]
        told = ptx(verb, "convnet", *backend, "--workspace", root)
        assert told.code == 0, told.out + told.err


def test_a_manifest_whose_samples_were_removed_fails(
    ptx: Ptx, injected: Callable[..., Path]
) -> None:
    root = injected(without_answers)
    told = ptx("verify", "convnet", "--backend", "ort-cpu", "--json", "--workspace", root)
    lines = map(json.loads, told.out.splitlines())
    assert told.code == 1
    assert "samples" in [line["check"] for line in lines if not line["passes"]]


@pytest.mark.parametrize("verb", VERBS)
def test_a_manifest_without_the_digests_of_its_proof_is_invalid(
    ptx: Ptx, injected: Callable[..., Path], verb: str
) -> None:
    root = injected(
        lambda manifest: {
            "verification": {k: v for k, v in manifest.verification.items() if k != "fingerprint"}
        }
    )
    told = ptx(verb, "convnet", "--workspace", root)
    assert told.code == 4
    assert "E-MANIFEST" in told.err


def test_inspect_lists_what_the_proof_covers(ptx: Ptx, injected: Callable[..., Path]) -> None:
    told = ptx("inspect", "convnet", "--workspace", injected())
    for part in ("outputs", "preprocessing", "labels", "manifest", "accuracy"):
        assert re.search(rf"verified:.* {part} \(", told.out), part
