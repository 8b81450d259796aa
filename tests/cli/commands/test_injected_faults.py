"""Unchanged weights with a rewritten manifest: no command may accept it as if it were verified.

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

RUN_COMMANDS = ("verify", "compare", "evaluate")


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


@pytest.mark.parametrize("command", RUN_COMMANDS)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_changed_manifest_fails(
    ptx: Ptx, injected: Callable[..., Path], fault: Fault, command: str
) -> None:
    backend = ["--backends" if command == "compare" else "--backend", "ort-cpu"]
    result = ptx(command, "convnet", *backend, "--workspace", injected(fault))
    assert result.code == 1, result.out + result.err


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_manifest_without_golden_outputs_and_with_new_digests_differs_from_the_checkpoint(
    ptx: Ptx, injected: Callable[..., Path], fault: Fault
) -> None:
    root = injected(without_answers, fault, with_digests)
    result = ptx("compare", "convnet", "--backends", "ort-cpu", "--workspace", root)
    assert result.code == 1
    assert re.search(
        r"convnet.onnx: (labels|preprocessing \w+): .*; the checkpoint says ", result.out
    )


@pytest.mark.parametrize("name", ["labels reversed", "two labels swapped"])
def test_a_manifest_without_golden_outputs_is_evaluated_by_its_labels(
    ptx: Ptx, injected: Callable[..., Path], name: str
) -> None:
    root = injected(without_answers, FAULTS[name], with_digests)
    result = ptx("evaluate", "convnet", "--backend", "ort-cpu", "--json", "--workspace", root)
    assert json.loads(result.out)["accuracy"] < (0.2 if name == "labels reversed" else 0.85)


def test_compare_says_where_the_manifest_differs_and_which_samples_fail(
    ptx: Ptx, injected: Callable[..., Path]
) -> None:
    root = injected(FAULTS["labels reversed"])
    result = ptx("compare", "convnet", "--backends", "ort-cpu", "--workspace", root).out
    assert "convnet.onnx: labels: " in result
    assert "ort-cpu: end-to-end sample 1, predictions: " in result


def test_without_its_end_to_end_samples_a_file_is_less_accurate_than_in_training(
    ptx: Ptx, injected: Callable[..., Path]
) -> None:
    root = injected(
        preprocessed(mean=0.9, std=0.1),
        lambda manifest: {**without_answers(manifest), "training": manifest.training},
        with_digests,
    )
    result = ptx("evaluate", "convnet", "--backend", "ort-cpu", "--workspace", root)
    assert result.code == 1
    assert "worse than in training by more than rounding" in result.out


def test_the_unchanged_file_passes_in_every_command(
    ptx: Ptx, injected: Callable[..., Path]
) -> None:
    root = injected()
    for command in RUN_COMMANDS:
        backend = ["--backends" if command == "compare" else "--backend", "ort-cpu"]
        result = ptx(command, "convnet", *backend, "--workspace", root)
        assert result.code == 0, result.out + result.err


def test_a_manifest_whose_samples_were_removed_fails(
    ptx: Ptx, injected: Callable[..., Path]
) -> None:
    root = injected(without_answers)
    result = ptx("verify", "convnet", "--backend", "ort-cpu", "--json", "--workspace", root)
    lines = map(json.loads, result.out.splitlines())
    assert result.code == 1
    assert "samples" in [line["check"] for line in lines if not line["passes"]]


@pytest.mark.parametrize("command", RUN_COMMANDS)
def test_a_manifest_without_its_fingerprint_is_invalid(
    ptx: Ptx, injected: Callable[..., Path], command: str
) -> None:
    root = injected(
        lambda manifest: {
            "verification": {k: v for k, v in manifest.verification.items() if k != "fingerprint"}
        }
    )
    result = ptx(command, "convnet", "--workspace", root)
    assert result.code == 4
    assert "E-MANIFEST" in result.err


def test_inspect_lists_what_was_verified(ptx: Ptx, injected: Callable[..., Path]) -> None:
    result = ptx("inspect", "convnet", "--workspace", injected())
    for part in ("outputs", "preprocessing", "labels", "manifest", "accuracy"):
        assert re.search(rf"verified:.* {part} \(", result.out), part
