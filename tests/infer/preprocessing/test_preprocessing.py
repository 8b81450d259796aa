"""From values to input arrays: the same numbers as NumPy and torch give, bit for bit."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ptx.infer.errors import ArtifactError, InputError, UsageError
from ptx.infer.preprocessing import Preprocessing, batch_key, open_preprocessing, show_value
from ptx.infer.preprocessing.gray_image import GrayPreprocessing
from ptx.infer.signature import Signature

LOGITS = {"logits": ["float32", ["batch", 10]]}


def signature(*axes: int | str, dtype: str = "float32") -> Signature:
    return Signature.from_data({"inputs": {"x": [dtype, list(axes)]}, "outputs": LOGITS})


TEXT = Signature.from_data(
    {
        "inputs": {
            "characters": ["int64", ["batch", "time"], [0, 127]],
            "lengths": ["int64", ["batch"], [1, "time"]],
        },
        "outputs": LOGITS,
    }
)


def picture(**changes: Any) -> GrayPreprocessing:
    settings = {"size": [28, 28], "resize_mode": "mnist", **changes}
    return GrayPreprocessing(signature("batch", 1, 28, 28), **settings)


def columns(*names: str, **settings: Any) -> Preprocessing:
    data = {"kind": "tabular", "names": list(names), **settings}
    return open_preprocessing(data, signature("batch", len(names)))


def symbols(*axes: int | str, dtype: str = "float32") -> Preprocessing:
    data = {"kind": "char-indices", "alphabet": ["e", "h", "l", "o"]}
    return open_preprocessing(data, signature(*axes, dtype=dtype))


def text() -> Preprocessing:
    return open_preprocessing({"kind": "char-codes", "normalise": "NFKD", "unknown": 1}, TEXT)


def mnist() -> Any:
    from ptx.trainers.data.bundled import open_mnist

    return open_mnist().test.inputs["image"]


# ImageSpec


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.1307, 0.3081), (0.5, 0.25), (1.0, -1.0)])
def test_a_pixel_becomes_the_same_bits_as_in_numpy_and_torch(mean: float, std: float) -> None:
    import torch

    pixels = np.arange(256, dtype=np.uint8)
    table = picture(mean=mean, std=std).lookup_table
    assert table.dtype == np.float32
    scaled = pixels.astype(np.float32) / np.float32(255)
    expected = (scaled - np.float32(mean)) / np.float32(std)
    assert table.tobytes() == expected.tobytes()
    tensor = torch.from_numpy(pixels).to(torch.float32) / torch.tensor(255.0)
    tensor = (tensor - torch.tensor(mean)) / torch.tensor(std)
    assert table.tobytes() == tensor.numpy().tobytes()


def test_a_picture_of_mnist_comes_through_bit_for_bit(tmp_path: Path) -> None:
    preprocessing = picture()
    pictures = mnist()[:200]
    for pixels in pictures:
        Image.fromarray(pixels).save(tmp_path / "a.png")
        assert preprocessing.transform(tmp_path / "a.png").tobytes() == pixels.tobytes()
    batch = preprocessing.collate(list(pictures))["x"]
    expected = pictures.astype(np.float32)[:, np.newaxis] / np.float32(255)
    assert batch.dtype == np.float32
    assert batch.shape == (200, 1, 28, 28)
    assert batch.tobytes() == expected.tobytes()


def test_every_form_of_a_picture_reads_the_same(tmp_path: Path) -> None:
    pixels = mnist()[0]
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    data = path.read_bytes()
    forms = [
        path,
        str(path),
        data,
        bytearray(data),
        memoryview(data),
        io.BytesIO(data),
        Image.open(path),
        Image.fromarray(pixels),
        pixels,
        np.asfortranarray(pixels),
    ]
    for form in forms:
        assert picture().transform(form).tobytes() == pixels.tobytes(), type(form)


def test_a_pipe_gives_a_picture_piece_by_piece() -> None:
    pixels = mnist()[0]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    data = buffer.getvalue()

    class Pipe:
        """A raw pipe gives what has arrived, however much is asked for."""

        pieces = iter([data[:20], data[20:100], data[100:], b""])

        def read(self, size: int) -> bytes:
            return next(self.pieces)

    assert picture().transform(Pipe()).tobytes() == pixels.tobytes()


@pytest.mark.parametrize("resize_mode", ["mnist", "letterbox"])
def test_the_size_is_height_then_width(resize_mode: str) -> None:
    preprocessing = GrayPreprocessing(
        signature("batch", 20, 36), size=[20, 36], resize_mode=resize_mode
    )
    drawn = np.full((60, 90), 255, np.uint8)
    drawn[10:50, 40:50] = 0
    sample = preprocessing.transform(drawn)
    assert sample.shape == (20, 36)
    assert preprocessing.collate([sample])["x"].shape == (1, 20, 36)


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        (("batch", 784), (3, 784)),
        (("batch", 28, 28), (3, 28, 28)),
        (("time", "batch", 28), (28, 3, 28)),
    ],
)
def test_pictures_stand_in_the_signature_s_axes(
    axes: tuple[int | str, ...], shape: tuple[int, ...]
) -> None:
    preprocessing = GrayPreprocessing(signature(*axes), size=[28, 28], resize_mode="mnist")
    pixels = mnist()[:3]
    batch = preprocessing.collate(list(pixels))["x"]
    assert batch.shape == shape
    assert batch.flags.c_contiguous
    expected = pixels.reshape(3, *preprocessing.sample_shape).astype(np.float32) / np.float32(255)
    assert np.moveaxis(batch, preprocessing.spec.batch_axis, 0).tobytes() == expected.tobytes()


def test_a_ready_sample_comes_through_as_it_is() -> None:
    sample = np.random.default_rng(0).random((1, 28, 28))
    read = picture().transform(sample)
    assert read.tobytes() == sample.astype(np.float32).tobytes()
    assert picture().collate([read, read])["x"].shape == (2, 1, 28, 28)


def test_ready_sequences_of_other_lengths_are_in_other_batches() -> None:
    rows = GrayPreprocessing(signature("time", "batch", 28), size=[28, 28], resize_mode="mnist")
    samples = [rows.transform(np.ones((steps, 28))) for steps in (3, 4)]
    samples.append(rows.transform(mnist()[0]))
    assert len({batch_key(rows, sample) for sample in samples}) == 3


def closed() -> Any:
    file = io.BytesIO()
    file.close()
    return file


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        (None, "E-TYPE", "the input is a NoneType; expected a path, bytes, a file object"),
        (3.5, "E-TYPE", "the input is a float"),
        (np.ones((28, 28)), "E-SHAPE", "the float array has shape (28, 28); expected one ready"),
        (io.StringIO("text"), "E-TYPE", "text"),
        (closed(), "E-IN-READ", "the file object cannot be read"),
        ("no-such-picture.png", "E-IN-MISSING", "'no-such-picture.png': no such file"),
        (b"", "E-IMG-EMPTY", "empty"),
    ],
)
def test_what_is_no_picture_is_refused(value: Any, code: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        picture().transform(value)
    assert caught.value.code == code


# Numbers


@pytest.mark.parametrize(
    "value",
    [
        4,
        4.0,
        "4",
        " 4.0 ",
        "4e0",
        np.float32(4),
        np.array(4.0),
        np.array([4]),
        [4],
        ("4",),
        Decimal(4),
        Fraction(4),
        np.int8(4),
        np.array([4.0], ">f8"),
    ],
)
def test_every_form_of_a_number_reads_the_same(value: Any) -> None:
    sample = columns("x").transform(value)
    assert sample.dtype == np.float32
    assert sample.tolist() == [4.0]


def test_columns_are_standardised_in_float64() -> None:
    preprocessing = columns("a", "b", mean=[1e8, 2.0], std=[3.0, 0.1])
    sample = preprocessing.transform("100000001, 2.5")
    assert sample.tolist() == [np.float32(1 / 3), np.float32(0.5 / 0.1)]
    assert preprocessing.collate([sample, sample])["x"].tolist() == [sample.tolist()] * 2


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        ("four", "E-TYPE", "'four' is not a number"),
        ("", "E-TYPE", "is not a number"),
        (None, "E-TYPE", "None is not a number"),
        (1j, "E-TYPE", "1j is not a number"),
        ({4: 1}, "E-TYPE", "{4: 1} is not a number"),
        ({4}, "E-TYPE", "{4} is not a number"),
        ([[4]], "E-TYPE", "[[4]] is not a number"),
        (np.array([[4.0]]), "E-TYPE", "is not a number"),
        ([4, [5]], "E-TYPE", "is not a number"),
        ([10**5000], "E-TYPE", "a list is not a number"),
        (Path("a"), "E-TYPE", "is not a number"),
        (b"\0\1", "E-TYPE", "is not a number"),
        ("4,5", "E-SHAPE", "the row has 2 numbers; expected a number"),
        ([], "E-SHAPE", "the row has 0 numbers; expected a number"),
        ("nan", "E-NONFINITE", "x is nan; expected a finite number"),
        (float("-inf"), "E-NONFINITE", "x is -inf"),
        (1e39, "E-RANGE", "a number is too large for float32"),
        ("x" * 100_000, "E-TYPE", "(100,002 characters) is not a number"),
    ],
)
def test_what_is_no_row_is_refused_on_one_short_line(value: Any, code: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        columns("x").transform(value)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_the_columns_are_named_where_they_are_missing() -> None:
    with pytest.raises(InputError, match=r"has 1 number; expected 2 numbers \(age, weight\)"):
        columns("age", "weight").transform(4)


def test_a_shown_value_is_one_short_line() -> None:
    assert show_value("a\nb") == r"'a\nb'"
    assert "\n" not in show_value(np.zeros((50, 50)))
    assert len(show_value(list(range(1000)))) < 100


# Texts and symbols


@pytest.mark.parametrize(
    ("value", "codes"),
    [
        ("Ab", [65, 98]),
        (" Ab ", [65, 98]),
        ("Müller", [ord(char) for char in "Muller"]),
        ("É", [69]),
        ("ß你", [1, 1]),
        ("a\tb", [97, 1, 98]),
        ("O'Neil-Å", [79, 39, 78, 101, 105, 108, 45, 65]),
    ],
)
def test_a_text_becomes_ascii_codes(value: str, codes: list[int]) -> None:
    assert text().transform(value).tolist() == codes


def test_texts_are_padded_to_the_longest_of_their_batch() -> None:
    preprocessing = text()
    batch = preprocessing.collate([preprocessing.transform(value) for value in ("abc", "d")])
    assert batch["characters"].tolist() == [[97, 98, 99], [100, 0, 0]]
    assert batch["lengths"].tolist() == [3, 1]
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int64)}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("", "E-EMPTY"),
        ("  ", "E-EMPTY"),
        ("\u0301", "E-EMPTY"),
        (5, "E-TYPE"),
        (b"a", "E-TYPE"),
        ("a" * 1001, "E-RANGE"),
        (np.zeros(3, np.int64), "E-EMPTY"),
    ],
)
def test_what_is_no_text_is_refused(value: Any, code: str) -> None:
    with pytest.raises(InputError) as caught:
        text().transform(value)
    assert caught.value.code == code


def test_symbols_become_indices_or_one_hot_rows() -> None:
    indices = symbols("batch", "time", dtype="int64")
    sample = indices.transform("hello")
    assert sample.tolist() == [1, 0, 2, 2, 3]
    assert indices.collate([sample, sample])["x"].tolist() == [[1, 0, 2, 2, 3]] * 2
    one_hot = symbols("time", "batch", 4)
    batch = one_hot.collate([one_hot.transform("he"), one_hot.transform("lo")])["x"]
    assert batch.shape == (2, 2, 4)
    assert batch.flags.c_contiguous
    assert batch.argmax(-1).tolist() == [[1, 2], [0, 3]]
    assert batch.sum() == 4
    assert batch_key(one_hot, sample) != batch_key(one_hot, sample[:2])


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("hex", "E-RANGE"),
        ("", "E-TYPE"),
        (5, "E-TYPE"),
        (None, "E-TYPE"),
        (np.array([4]), "E-RANGE"),
        (np.array([-1]), "E-RANGE"),
        (np.zeros((1, 1), int), "E-TYPE"),
    ],
)
def test_what_is_no_word_of_the_alphabet_is_refused(value: Any, code: str) -> None:
    with pytest.raises(InputError) as caught:
        symbols("time", "batch", 4).transform(value)
    assert caught.value.code == code


# The manifest's data


@pytest.mark.parametrize(
    ("data", "axes", "message"),
    [
        ({}, ("batch", 1), "of kind None"),
        ({"kind": "imag"}, ("batch", 1), "did you mean 'rgb-image' or 'gray-image'"),
        ({"kind": ["image"]}, ("batch", 1), "of kind"),
        ({"kind": "gray-image"}, ("batch", 1), "is not valid"),
        (
            {"kind": "gray-image", "size": [28, 28], "resize_mode": "circle"},
            ("batch", 784),
            "resize_mode is 'circle'",
        ),
        (
            {"kind": "gray-image", "size": [28, 28], "resize_mode": ["mnist"]},
            ("batch", 784),
            "is not valid",
        ),
        (
            {"kind": "gray-image", "size": 28, "resize_mode": "mnist"},
            ("batch", 784),
            "is not valid",
        ),
        (
            {"kind": "gray-image", "size": [28.0, 28], "resize_mode": "mnist"},
            ("batch", 784),
            "size is",
        ),
        (
            {"kind": "gray-image", "size": [28, 28, 1], "resize_mode": "mnist"},
            ("batch", 784),
            "is not valid",
        ),
        (
            {"kind": "gray-image", "size": [-28, -28], "resize_mode": "mnist"},
            ("batch", 784),
            "size is",
        ),
        (
            {"kind": "gray-image", "size": [28, 27], "resize_mode": "mnist"},
            ("batch", 784),
            "does not match",
        ),
        (
            {"kind": "gray-image", "size": [28, 28], "resize_mode": "mnist", "std": 0},
            ("batch", 784),
            "std is 0; expected a number other than 0",
        ),
        (
            {"kind": "gray-image", "size": [28, 28], "resize_mode": "mnist", "mean": 10**400},
            ("batch", 784),
            "is not valid",
        ),
        ({"kind": "tabular", "names": ["a"]}, ("batch", 2), "1 columns do not match"),
        ({"kind": "tabular", "names": 5}, ("batch", 1), "is not valid"),
        ({"kind": "tabular", "names": ["a"], "mean": [1.0]}, ("batch", 1), "mean and std"),
        (
            {"kind": "tabular", "names": ["a"], "mean": [1.0], "std": [0.0]},
            ("batch", 1),
            "positive",
        ),
        (
            {"kind": "tabular", "names": ["a"], "mean": [10**400], "std": [1]},
            ("batch", 1),
            "is not valid",
        ),
        ({"kind": "char-indices", "alphabet": ["a", "a"]}, ("batch", 2), "twice"),
        ({"kind": "char-indices", "alphabet": ["a"]}, ("batch", 2), "1 symbols do not match"),
        (
            {"kind": "char-codes", "normalise": "NFC", "unknown": 1},
            ("batch", 2),
            "normalise is 'NFC'",
        ),
        ({"kind": "char-codes", "normalise": "NFKD", "unknown": 1}, ("batch", 2), "is not valid"),
        ({"kind": "tabular", "names": ["a"], "signature": 1}, ("batch", 1), "is not valid"),
    ],
)
def test_a_manifest_whose_preprocessing_is_wrong_is_refused(
    data: dict[str, Any], axes: tuple[int | str, ...], message: str
) -> None:
    with pytest.raises(ArtifactError, match=re.escape(message)) as caught:
        open_preprocessing(data, signature(*axes))
    assert caught.value.code == "E-MANIFEST"


def test_each_preprocessing_says_what_it_expects() -> None:
    made: list[tuple[Callable[[], Preprocessing], str]] = [
        (picture, "an image"),
        (lambda: columns("x"), "a number"),
        (lambda: columns("a", "b"), "2 numbers (a, b)"),
        (text, "a text"),
        (lambda: symbols("time", "batch", 4), "a word with the letters e, h, l, o"),
    ]
    for make, expected in made:
        assert make().input_description == expected


def test_errors_are_of_built_in_types() -> None:
    assert issubclass(InputError, ValueError)
    assert issubclass(UsageError, ValueError)
