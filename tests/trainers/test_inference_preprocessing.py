"""Rows as prediction meets them: raw inputs, and classes found by their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptx.infer.errors import UsageError
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.signature import Signature
from ptx.models import CATALOG
from ptx.trainers import Split, open_dataset
from ptx.trainers.batches import apply_inference_preprocessing, model_targets, read_samples

SIGNATURE = Signature.from_data(CATALOG["convnet"].signature)


def rows(values: list[int]) -> Split:
    return Split({"columns": np.zeros((len(values), 1), np.float32)}, np.array(values, np.int64))


def test_classes_are_found_by_name_in_whatever_order() -> None:
    found = model_targets(rows([0, 1, 2, 1]), ("a", "b", "c"), ("c", "x", "b", "a"), "own")
    assert found.tolist() == [3, 2, 0, 2]


def test_a_class_that_the_model_does_not_know_is_named() -> None:
    with pytest.raises(UsageError, match="own does not have 1 label of the data: 'b'; "):
        model_targets(rows([0, 1]), ("a", "b"), ("a", "c"), "own")


def test_digits_of_mnist_come_through_the_fit_unchanged(tmp_path: Path) -> None:
    test = open_dataset("bundled", default="mnist", cache=tmp_path).test
    preprocessing = open_preprocessing(CATALOG["convnet"].preprocessing, SIGNATURE)
    assert np.array_equal(
        apply_inference_preprocessing(test, preprocessing).inputs["image"], test.inputs["image"]
    )


def test_a_picture_that_prediction_would_invert_is_tested_inverted() -> None:
    light = np.full((2, 28, 28), 250, np.uint8)
    light[1] = 5
    light[:, 10:20, 10:20] = 128
    split = Split({"image": light}, np.zeros(2, np.int64))
    square = open_preprocessing(
        {**CATALOG["convnet"].preprocessing, "resize_mode": "letterbox"}, SIGNATURE
    )
    read = apply_inference_preprocessing(split, square)
    assert read.already_resized
    assert np.array_equal(read.inputs["image"][0], 255 - light[0])
    assert np.array_equal(read.inputs["image"][1], light[1])
    assert apply_inference_preprocessing(read, square) is read  # once


def test_a_sequence_is_the_word_of_its_symbols_by_name() -> None:
    entry = CATALOG["char-rnn"]
    reversed_alphabet = {"kind": "char-indices", "alphabet": ["o", "l", "h", "e"]}
    preprocessing = open_preprocessing(reversed_alphabet, Signature.from_data(entry.signature))
    split = Split({"sequence": np.array([[1, 0]])}, np.array([[0, 0]]))
    (found,) = read_samples(split, preprocessing, np.arange(1), ("e", "h", "l", "o"))
    assert found.tolist() == [2, 3]
