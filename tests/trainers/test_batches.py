"""What the network is given while it is trained is, bit for bit, what it is given to predict."""

from __future__ import annotations

import io
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision import transforms  # type: ignore[import-untyped, unused-ignore]

from ptx.infer.errors import InputError, UsageError
from ptx.infer.preprocessing import Preprocessing, open_preprocessing
from ptx.infer.preprocessing.gray_image import GrayPreprocessing
from ptx.infer.signature import Signature
from ptx.models import CATALOG
from ptx.trainers.batches import BatchLoader, check_split
from ptx.trainers.data import Dataset, Split, open_dataset

Array = NDArray[Any]

PICTURES = [name for name, entry in CATALOG.items() if entry.preprocessing["kind"] == "gray-image"]
LAYOUTS = {(5, 784), (5, 28, 28), (5, 1, 28, 28), (28, 5, 28)}  # of five pictures
ROWS = torch.tensor([3, 0, 3, 6, 1])  # one of them twice


def preprocessing_of(model: str, **changes: Any) -> Preprocessing:
    entry = CATALOG[model]
    return open_preprocessing(
        {**entry.preprocessing, **changes}, Signature.from_data(entry.signature)
    )


def all_pixels(count: int = 7) -> Array:
    """uint8 (count, 28, 28): each holds all 256 values, at other places, in a dark border."""
    pixels = np.zeros((count, 28, 28), np.uint8)
    for row, picture in enumerate(pixels):
        inside = np.roll(np.arange(676).astype(np.uint8), 37 * row)
        picture[1:-1, 1:-1] = inside.reshape(26, 26)
    return pixels


def picture_feed(model: str, pixels: Array, **changes: Any) -> tuple[BatchLoader, Preprocessing]:
    preprocessing = preprocessing_of(model, **changes)
    targets = np.arange(len(pixels)) % 10
    return BatchLoader(Split({"image": pixels}, targets), preprocessing, "cpu"), preprocessing


def same_bits(got: torch.Tensor, expected: Array) -> bool:
    return (
        tuple(got.shape) == expected.shape
        and got.numpy().dtype == expected.dtype
        and got.contiguous().numpy().tobytes() == np.ascontiguousarray(expected).tobytes()
    )


def test_the_catalog_has_the_four_layouts_that_are_tested_here() -> None:
    shapes = {picture_feed(model, all_pixels())[0].batch(ROWS)[0][0].shape for model in PICTURES}
    assert shapes == LAYOUTS


@pytest.mark.parametrize("axes", [("batch", 3, 9, 8), ("batch", 9, 8, 3), (1, "batch", 9, 8)])
def test_photographs_are_what_prediction_makes_of_them(axes: tuple[int | str, ...]) -> None:
    channels = 1 if 1 in axes else 3
    signature = Signature.from_data(
        {"inputs": {"image": ["float32", axes]}, "outputs": {"y": ["float32", ["batch", 2]]}}
    )
    numbers = {"mean": [0.5, 0.25, 0.125][:channels], "std": [0.3, 0.2, 0.1][:channels]}
    photo = open_preprocessing(
        {"kind": "rgb-image", "resize": 9, "size": [9, 8], **numbers}, signature
    )
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (7, 9, 8, channels)).astype(np.uint8)
    split = Split({"image": pixels}, np.arange(7) % 2)
    check_split(split, photo, ("a", "b"), name="photos", model="net")
    (got,), targets = BatchLoader(split, photo, "cpu").batch(ROWS)
    assert same_bits(got, photo.collate(list(pixels[ROWS.numpy()]))["image"])
    assert targets.tolist() == [1, 0, 1, 0, 1]


@pytest.mark.parametrize("model", PICTURES)
def test_pictures_are_what_prediction_makes_of_the_same_files(model: str) -> None:
    # "letterbox" leaves such a picture alone, so that all 256 values come through a file.
    pixels = all_pixels()
    feed, preprocessing = picture_feed(model, pixels, resize_mode="letterbox")
    samples = []
    for row in ROWS.tolist():
        file = io.BytesIO()
        Image.fromarray(pixels[row]).save(file, format="PNG")
        samples.append(preprocessing.transform(file.getvalue()))
    (expected,) = preprocessing.collate(samples).values()
    (images,), targets = feed.batch(ROWS)
    assert same_bits(images, expected)
    assert targets.tolist() == ROWS.tolist()
    assert len(np.unique(expected)) == 256


def test_digits_of_the_data_set_pass_through_prediction_unchanged() -> None:
    digits = bundled("mnist").test
    rows = torch.arange(0, len(digits), 20)
    preprocessing = preprocessing_of("convnet")
    (expected,) = preprocessing.collate(
        [preprocessing.transform(pixels) for pixels in digits.inputs["image"][rows.numpy()]]
    ).values()
    assert same_bits(BatchLoader(digits, preprocessing, "cpu").batch(rows)[0][0], expected)


@pytest.mark.parametrize("model", ["convnet", "basic-cnn"])
def test_pictures_are_what_torchvision_makes_of_them(model: str) -> None:
    pixels = all_pixels()
    feed, preprocessing = picture_feed(model, pixels)
    assert isinstance(preprocessing, GrayPreprocessing)
    steps = [transforms.ToTensor()]
    if "mean" in CATALOG[model].preprocessing:
        steps.append(transforms.Normalize((0.1307,), (0.3081,)))
    transform = transforms.Compose(steps)
    expected = torch.stack([transform(Image.fromarray(pixels[row])) for row in ROWS.tolist()])
    (images,), _ = feed.batch(ROWS)
    assert same_bits(images, expected.numpy())


def test_the_last_rows_of_the_time_first_layout_belong_to_their_pictures() -> None:
    pixels = all_pixels()
    (sequence,), _ = picture_feed("lstm", pixels)[0].batch(ROWS)
    for position, row in enumerate(ROWS.tolist()):
        scaled = pixels[row].astype(np.float32) / np.float32(255)
        expected = (scaled - np.float32(0.1307)) / np.float32(0.3081)
        assert same_bits(sequence[:, position], expected)


def test_texts_are_padded_to_the_longest_of_their_batch() -> None:
    texts = ["Ngô", "Satoshi", "Ö", "  Müller ", "Do", "愛"]
    preprocessing = preprocessing_of("name-classifier")
    split = Split({"text": np.array(texts, object)}, np.arange(len(texts)))
    feed = BatchLoader(split, preprocessing, "cpu")
    for rows in ([0, 2, 4], [1], [5, 3, 3, 0], list(range(6))):
        expected = preprocessing.collate([preprocessing.transform(texts[row]) for row in rows])
        inputs, targets = feed.batch(torch.tensor(rows))
        for tensor, array in zip(inputs, expected.values(), strict=True):
            assert same_bits(tensor, array)
        assert targets.tolist() == rows


@pytest.mark.parametrize("model", ["char-rnn", "char-rnn-cell", "char-rnn-embedding"])
def test_sequences_are_what_prediction_makes_of_the_same_words(model: str) -> None:
    words = ["hello", "lleho", "eeeoo"]
    preprocessing = preprocessing_of(model)
    symbols = np.stack([preprocessing.transform(word) for word in words])
    feed = BatchLoader(Split({"sequence": symbols}, symbols), preprocessing, "cpu")
    rows = [2, 0, 2]
    (expected,) = preprocessing.collate(
        [preprocessing.transform(words[row]) for row in rows]
    ).values()
    (sequence,), targets = feed.batch(torch.tensor(rows))
    assert same_bits(sequence, expected)
    assert same_bits(targets, symbols[rows])


def test_columns_are_standardised_as_prediction_does_it() -> None:
    generator = np.random.default_rng(0)
    columns = generator.normal(100, 30, (9, 8)).astype(np.float32)
    mean, std = generator.normal(100, 1, 8).tolist(), generator.uniform(1, 40, 8).tolist()
    preprocessing = preprocessing_of("diabetes", mean=mean, std=std)
    feed = BatchLoader(Split({"columns": columns}, np.zeros(9, np.int64)), preprocessing, "cpu")
    expected = np.stack([preprocessing.transform(row) for row in columns[ROWS.numpy()]])
    assert same_bits(feed.batch(ROWS)[0][0], expected)
    exact = (columns[ROWS.numpy()].astype(np.float64) - mean) / std
    np.testing.assert_allclose(expected, exact, rtol=1e-7)


def test_arrays_that_are_read_only_or_run_backwards_are_taken() -> None:
    pixels = all_pixels()
    plain = picture_feed("convnet", pixels)[0].batch(ROWS)[0][0]
    frozen = pixels.copy()
    frozen.flags.writeable = False
    for same in (frozen, pixels[::-1].copy()[::-1]):
        assert torch.equal(picture_feed("convnet", same)[0].batch(ROWS)[0][0], plain)


@cache
def bundled(default: str) -> Dataset:
    return open_dataset("bundled", default=default, cache=Path("nowhere"))


def classes(count: int, labels: int = 10) -> Array:
    return np.arange(count) % labels


@pytest.mark.parametrize(
    ("model", "split", "message"),
    [
        (
            "linear-model",
            Split({"image": all_pixels()}, classes(7)),
            "linear-model takes numbers, 1 a row; the data has images of 28×28",
        ),
        (
            "convnet",
            Split({"image": np.zeros((2, 32, 32), np.uint8)}, classes(2)),
            "convnet takes images of 28×28; the data has images of 32×32",
        ),
        (  # 14×56 = 784 pixels, and rows of 28 would be a longer sequence to the LSTM
            "mlp",
            Split({"image": np.zeros((2, 14, 56), np.uint8)}, classes(2)),
            "mlp takes images of 28×28; the data has images of 14×56",
        ),
        (
            "lstm",
            Split({"image": np.zeros((2, 56, 28), np.uint8)}, classes(2)),
            "lstm takes images of 28×28; the data has images of 56×28",
        ),
        (
            "diabetes",
            Split({"columns": np.zeros((2, 7), np.float32)}, classes(2)),
            "diabetes takes numbers, 8 a row; the data has numbers, 7 a row",
        ),
        (
            "name-classifier",
            Split({"sequence": np.zeros((2, 3), np.int64)}, classes(2)),
            "name-classifier takes texts; the data has sequences of symbols",
        ),
        (
            "char-rnn",
            Split({"text": np.array(["a"], object)}, classes(1)),
            "char-rnn takes sequences of symbols; the data has texts",
        ),
        (
            "linear-model",
            Split({"columns": np.zeros((2, 1), np.float32)}, classes(2)),
            "linear-model predicts numbers; the data has classes as targets",
        ),
        (
            "diabetes",
            Split({"columns": np.zeros((2, 8), np.float32)}, np.zeros((2, 1), np.float32)),
            "diabetes predicts classes; the data has numbers as targets",
        ),
    ],
)
def test_rows_that_are_not_for_the_model_are_wrong_usage(
    model: str, split: Split, message: str
) -> None:
    labels = CATALOG[model].labels
    with pytest.raises(UsageError, match=re.escape(message)):
        check_split(split, preprocessing_of(model), labels, name="the data", model=model)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (Split({"image": all_pixels()[:0]}, classes(0)), "the data has no rows"),
        (
            Split({"image": all_pixels()}, classes(7, 7) + 4),
            "the data has class indices from 4 to 10; convnet has labels for 0 to 9",
        ),
        (Split({"image": all_pixels()}, classes(7, 7) - 1), "class indices from -1 to 5"),
    ],
)
def test_rows_without_an_answer_are_named(split: Split, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        check_split(
            split,
            preprocessing_of("convnet"),
            CATALOG["convnet"].labels,
            name="the data",
            model="convnet",
        )


@pytest.mark.parametrize("model", CATALOG)
def test_the_bundled_data_of_each_model_is_for_it(model: str) -> None:
    data = bundled(CATALOG[model].data)
    for split in (data.train, data.test):
        check_split(split, preprocessing_of(model), data.labels, name="the data", model=model)
