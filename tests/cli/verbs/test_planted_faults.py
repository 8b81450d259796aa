"""Good weights under a card that was written anew: no verb may answer as if it were proved."""

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
from ptx.infer.artifact.card import Card

from .resealing import as_before, rewrite_card

Ptx = Callable[..., Any]
Fault = Callable[[Card], dict[str, Any]]


def preprocessed(**settings: Any) -> Fault:
    return lambda card: {"preprocessing": {**card.preprocessing, **settings}}


def swapped(labels: tuple[str, ...]) -> tuple[str, ...]:
    return (*labels[:3], labels[8], *labels[4:8], labels[3], *labels[9:])


FAULTS: dict[str, Fault] = {
    "labels reversed": lambda card: {"labels": card.labels[::-1]},
    "two labels swapped": lambda card: {"labels": swapped(card.labels)},
    "another mean": preprocessed(mean=0.5),
    "another std": preprocessed(std=0.05),
    "another fit": preprocessed(fit="square"),
}

VERBS = ("verify", "compare", "evaluate")


@pytest.fixture
def planted(workspace: Path, tmp_path: Path) -> Callable[..., Path]:
    """`planted(fault, …)`: a workspace whose convnet.onnx bears the fault, sealed."""

    def plant(*faults: Fault) -> Path:
        folder = tmp_path / "convnet"
        folder.mkdir()
        for name in ("checkpoint.pt", "convnet.onnx"):
            shutil.copy(workspace / "convnet" / name, folder / name)
        card = read_artifact(folder / "convnet.onnx").require_card()
        for fault in faults:
            card = replace(card, **fault(card))
        fields = {name: getattr(card, name) for name in card.__dataclass_fields__}
        rewrite_card(folder / "convnet.onnx", folder / "convnet.onnx", **fields)
        return tmp_path

    return plant


def with_new_digest(card: Card) -> dict[str, Any]:
    """The digest of the statement is written anew too: the samples alone can tell."""
    return {"agreement": {**card.agreement, "statement": card.statement_sha256}}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_card_that_says_another_thing_fails(
    ptx: Ptx, planted: Callable[..., Path], fault: Fault, verb: str
) -> None:
    backend = ["--backends" if verb == "compare" else "--backend", "ort-cpu"]
    told = ptx(verb, "convnet", *backend, "--workspace", planted(fault))
    assert told.code == 1, told.out + told.err


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_it_fails_with_a_digest_written_anew_too(
    ptx: Ptx, planted: Callable[..., Path], fault: Fault, verb: str
) -> None:
    backend = ["--backends" if verb == "compare" else "--backend", "ort-cpu"]
    told = ptx(verb, "convnet", *backend, "--workspace", planted(fault, with_new_digest))
    assert told.code == 1, told.out + told.err


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_under_a_card_of_before_the_checkpoint_tells(
    ptx: Ptx, planted: Callable[..., Path], fault: Fault
) -> None:
    root = planted(as_before, fault)
    told = ptx("compare", "convnet", "--backends", "ort-cpu", "--workspace", root)
    assert told.code == 1
    assert re.search(
        r"convnet.onnx: (labels|preprocessing \w+): .*; the checkpoint says ", told.out
    )


@pytest.mark.parametrize("name", ["labels reversed", "two labels swapped"])
def test_under_a_card_of_before_the_accuracy_is_that_of_the_names(
    ptx: Ptx, planted: Callable[..., Path], name: str
) -> None:
    root = planted(as_before, FAULTS[name])
    told = ptx("evaluate", "convnet", "--backend", "ort-cpu", "--json", "--workspace", root)
    assert json.loads(told.out)["accuracy"] < (0.2 if name == "labels reversed" else 0.85)


def test_without_its_samples_a_file_falls_below_what_the_training_reached(
    ptx: Ptx, planted: Callable[..., Path]
) -> None:
    root = planted(
        preprocessed(mean=0.9, std=0.1),
        lambda card: {"raw": (), "golden": (), "agreement": as_before(card)["agreement"]},
    )
    told = ptx("evaluate", "convnet", "--backend", "ort-cpu", "--workspace", root)
    assert told.code == 1
    assert "falls below that by more than rounding" in told.out


def test_the_good_file_holds_in_every_verb(ptx: Ptx, planted: Callable[..., Path]) -> None:
    root = planted()
    for verb in VERBS:
        backend = ["--backends" if verb == "compare" else "--backend", "ort-cpu"]
        told = ptx(verb, "convnet", *backend, "--workspace", root)
        assert told.code == 0, told.out + told.err


def test_a_card_of_before_holds_and_says_what_it_lacks(
    ptx: Ptx, planted: Callable[..., Path]
) -> None:
    root = planted(as_before)
    for verb in VERBS:
        backend = ["--backends" if verb == "compare" else "--backend", "ort-cpu"]
        assert ptx(verb, "convnet", *backend, "--workspace", root).code == 0
    told = ptx("verify", "convnet", "--json", "--workspace", root)
    lacking = [line["check"] for line in map(json.loads, told.out.splitlines()) if "lacks" in line]
    assert lacking == ["card", "raw samples", "answers"]
    assert (
        "proof covers:   outputs (17 cases)\n" in ptx("inspect", "convnet", "--workspace", root).out
    )


def test_inspect_lists_what_the_proof_covers(ptx: Ptx, planted: Callable[..., Path]) -> None:
    told = ptx("inspect", "convnet", "--workspace", planted())
    for part in ("outputs", "preprocessing", "labels", "card", "accuracy"):
        assert re.search(rf"proof covers:.* {part} \(", told.out), part


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("name-classifier", {"unknown": 2}),
        ("name-classifier", {"padding": 3}),
        ("softmax-regression", {"size": [14, 56]}),
        ("char-rnn", {"alphabet": ["o", "l", "h", "e"]}),
        ("linear-model", {"mean": [1.0], "std": [1.0]}),
        ("linear-model", {"mean": [0.0], "std": [2.0]}),
    ],
    ids=str,
)
def test_other_preprocessings_fail_too(
    ptx: Ptx,
    checkpoint: Callable[[str], Path],
    artifact: Callable[[str, str], Path],
    tmp_path: Path,
    model: str,
    settings: dict[str, Any],
    verb: str,
) -> None:
    folder = tmp_path / model
    folder.mkdir()
    shutil.copy(checkpoint(model), folder / "checkpoint.pt")
    card = read_artifact(artifact(model, "onnx")).require_card()
    changed = replace(card, preprocessing={**card.preprocessing, **settings})
    rewrite_card(
        artifact(model, "onnx"),
        folder / f"{model}.onnx",
        preprocessing=changed.preprocessing,
        **with_new_digest(changed),
    )
    backend = ["--backends" if verb == "compare" else "--backend", "ort-cpu"]
    told = ptx(verb, model, *backend, "--workspace", tmp_path)
    # Pictures of another size than the data's are refused as wrong usage before anything is replayed.
    assert told.code in (1, 2) if verb == "evaluate" else told.code == 1, told.out + told.err
