"""Raw samples: what an export carries, from the checkpoint, from the caller, and made up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ptx.export import describe, export, read_model
from ptx.export.golden import hold_answers, with_golden
from ptx.infer import load, read_artifact
from ptx.infer.artifact.card import Card
from ptx.infer.artifact.golden import as_raw, input_digest
from ptx.infer.errors import AgreementError, ArtifactError, InputError
from ptx.infer.preprocessing import open_preprocessing

Checkpoint = Callable[[str], Path]
Export = Callable[[str, str], Path]

ROWS: dict[str, Any] = {
    "signature": {
        "inputs": {"x": ["float32", ["batch", 2]]},
        "outputs": {"y": ["float32", ["batch", 3]]},
    },
    "preprocessing": {
        "kind": "columns",
        "names": ["a", "b"],
        "mean": [1.0, 2.0],
        "std": [3.0, 4.0],
    },
    "labels": ["x", "y", "z"],
    "task": "classification",
}


@pytest.mark.parametrize(
    ("model", "values", "kind"),
    [
        ("convnet", 14, bytes),  # ten classes, one on paper, three made up
        ("name-classifier", 4, str),  # the checkpoint's data has one language
        ("diabetes", 5, tuple),  # two classes, three made up
        ("char-rnn", 3, str),
    ],
)
def test_raw_samples_have_the_digest_of_their_arrays(
    artifact: Export, model: str, values: int, kind: type
) -> None:
    card = read_artifact(artifact(model, "onnx")).require_card()
    assert sum(len(sample.values) for sample in card.raw) == values
    preprocessing = open_preprocessing(card.preprocessing, card.signature)
    for sample in card.raw:
        assert all(isinstance(value, kind) for value in sample.values)
        inputs = preprocessing.collate([preprocessing.read(value) for value in sample.values])
        assert input_digest(inputs) == sample.sha256
        assert len(sample.answers) == len(sample.values)


def test_the_answers_are_those_of_single_predictions(artifact: Export) -> None:
    with load(artifact("convnet", "onnx"), backend="ort-cpu") as digits:
        (sample,) = digits.card.raw
        for value, answer in zip(sample.values, sample.answers, strict=True):
            found = digits.predict(value)
            assert found.label == answer.label
            assert found.score == pytest.approx(answer.score, abs=1e-5)


def test_raw_samples_keep_a_card_small(artifact: Export) -> None:
    card = read_artifact(artifact("convnet", "onnx")).require_card()
    assert len(card.to_json()) - len(replace(card, raw=()).to_json()) < 60_000


def test_a_network_of_ones_own_takes_examples(tmp_path: Path) -> None:
    examples = [(1.5, 2.5), np.array([0.0, 7.0])]
    trained = describe(torch.nn.Linear(2, 3), **ROWS, examples=examples)
    export(trained, "onnx", tmp_path / "a.onnx")
    (sample,) = read_artifact(tmp_path / "a.onnx").require_card().raw
    assert sample.values[:2] == ((1.5, 2.5), (0.0, 7.0))
    assert len(sample.values) == 5
    trained.save(tmp_path / "a.pt")
    own = read_model(tmp_path / "a.pt", network=lambda: torch.nn.Linear(2, 3))
    assert own.examples == ((1.5, 2.5), (0.0, 7.0))


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ((1.0, 2.0, 3.0), "example 0: the row has 3 numbers; expected 2 numbers"),
        ("a,b", "example 0: 'a,b' is not 2 numbers"),
        (b"no numbers", "example 0: "),
        (Path("row.csv"), "example 0 is a PosixPath; expected the bytes of a picture file"),
        ((1.0, np.nan), "example 0 is a tuple; expected .* finite numbers"),
    ],
)
def test_an_example_that_cannot_be_used_is_refused(
    tmp_path: Path, example: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        export(torch.nn.Linear(2, 3), "onnx", tmp_path / "a.onnx", **ROWS, examples=[example])
    assert not (tmp_path / "a.onnx").exists()


def test_without_a_preprocessing_the_golden_samples_have_the_answers(tmp_path: Path) -> None:
    about = {name: value for name, value in ROWS.items() if name != "preprocessing"}
    done = export(torch.nn.Linear(2, 3), "onnx", tmp_path / "a.onnx", **about)
    card = read_artifact(done.path).require_card()
    assert card.raw == ()
    assert [len(sample.answers) for sample in card.golden] == [3, 1]


def test_outputs_that_the_task_does_not_read_are_refused(tmp_path: Path) -> None:
    about = {**ROWS, "task": "probabilities"}
    with pytest.raises(ArtifactError, match="the outputs are no probabilities"):
        export(torch.nn.Linear(2, 3), "onnx", tmp_path / "a.onnx", **about)


def test_a_predictor_that_answers_otherwise_fails_the_export(
    artifact: Export, checkpoint: Checkpoint
) -> None:
    trained = read_model(checkpoint("convnet"))
    golden: Card = with_golden(trained.card, trained.proof, trained.examples, 100_000)
    with load(artifact("convnet", "onnx"), backend="ort-cpu") as digits:
        hold_answers(digits, golden)
        digits.preprocessing.fit = "square"  # type: ignore[attr-defined]
        with pytest.raises(AgreementError, match="raw sample 1, preprocessing: 14 raw inputs"):
            hold_answers(digits, golden)


def test_what_is_no_raw_input_is_refused() -> None:
    assert as_raw(4.0) == (4.0,)
    refused: list[Any] = [{}, [], [[1.0]], [10**400], ["a"], None]
    for value in refused:
        with pytest.raises(ValueError, match=r"."):
            as_raw(value)
