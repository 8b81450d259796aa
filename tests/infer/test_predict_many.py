"""Many inputs: in order, in windows, with the bad ones in their places."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from ptx.infer.artifact.manifest import Manifest
from ptx.infer.errors import ArtifactError, InputError, UsageError
from ptx.infer.prediction import Failure, NamedInput, Prediction
from ptx.infer.predictor import Predictor
from ptx.infer.signature import Array, Signature

LINE = Manifest(
    model="double",
    task="regression",
    signature=Signature.from_data(
        {"inputs": {"x": ["float32", ["batch", 1]]}, "outputs": {"y": ["float32", ["batch", 1]]}}
    ),
    preprocessing={"kind": "tabular", "names": ["x"]},
)
WORDS = Manifest(
    model="echo",
    task="sequence-labeling",
    signature=Signature.from_data(
        {
            "inputs": {"x": ["float32", ["time", "batch", 3]]},
            "outputs": {"y": ["float32", ["time", "batch", 3]]},
        }
    ),
    preprocessing={"kind": "char-indices", "alphabet": ["a", "b", "c"]},
    labels=("a", "b", "c"),
)


class Echo:
    """Gives back what it was given, doubled, and remembers the sizes of its batches."""

    name = "ort-cpu"
    device = "cpu"

    def __init__(self, batch_axis: int = 0) -> None:
        self.batches: list[int] = []
        self.batch_axis = batch_axis

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.batches.append(inputs["x"].shape[self.batch_axis])
        with np.errstate(over="ignore"):
            return {"y": inputs["x"] * np.float32(2)}

    def close(self) -> None: ...


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def double(echo: Echo) -> Predictor:
    return Predictor(LINE, lambda: echo)


@pytest.mark.parametrize(
    ("count", "batch_size", "batches"),
    [(0, 4, []), (1, 4, [1]), (4, 4, [4]), (9, 4, [4, 4, 1]), (3, 1, [1, 1, 1])],
)
def test_answers_come_in_order_and_in_batches(
    double: Predictor, echo: Echo, count: int, batch_size: int, batches: list[int]
) -> None:
    answers = list(double.predict_many(range(count), batch_size=batch_size))
    assert [answer.value for answer in answers] == [2.0 * number for number in range(count)]
    assert [answer.input for answer in answers] == [str(number) for number in range(count)]
    assert echo.batches == batches


def test_bad_inputs_stand_in_their_places(double: Predictor, echo: Echo) -> None:
    values = [1, "bad", 2, None, None, 3]
    answers = list(double.predict_many(values, batch_size=4, on_error="yield"))
    kinds = [type(answer) for answer in answers]
    assert kinds == [Prediction, Failure, Prediction, Failure, Failure, Prediction]
    failure = answers[1]
    assert isinstance(failure, Failure)
    assert failure.to_data() == {
        "input": "bad",
        "error": "'bad' is not a number",
        "code": "E-TYPE",
    }


def test_by_default_the_first_bad_input_ends_the_stream(double: Predictor) -> None:
    stream = double.predict_many([1, 2, "bad", 3], batch_size=2)
    assert [next(stream).value, next(stream).value] == [2.0, 4.0]
    with pytest.raises(InputError, match="'bad' is not a number"):
        next(stream)


def test_one_input_whose_answer_overflows_does_not_take_the_others_with_it(
    double: Predictor,
) -> None:
    values = [1, 3e38, 2]
    answers = list(double.predict_many(values, on_error="yield"))
    assert [type(answer) for answer in answers] == [Prediction, Failure, Prediction]
    with pytest.raises(ArtifactError, match="is not finite"):
        list(double.predict_many(values))


def test_one_array_that_the_guard_refuses_does_not_take_the_others_with_it() -> None:
    from ptx.infer.preprocessing.columns import ColumnsPreprocessing

    opened = Predictor(LINE, Echo)

    class Lax(ColumnsPreprocessing):
        def transform(self, value: Any) -> Array:
            return np.array([value], np.float32)

    opened.preprocessing = Lax(LINE.signature, names=["x"])
    answers = list(opened.predict_many([1, float("nan"), 2], on_error="yield"))
    assert [type(answer) for answer in answers] == [Prediction, Failure, Prediction]
    assert isinstance(answers[1], Failure)
    assert answers[1].error.code == "E-NONFINITE"


NAMES = Manifest(
    model="names",
    task="regression",
    signature=Signature.from_data(
        {
            "inputs": {
                "x": ["int64", ["batch", "time"], [0, 127]],
                "lengths": ["int64", ["batch"], [1, 1000]],
            },
            "outputs": {"y": ["float32", ["batch", 1]]},
            "axes": {"time": [1, 5]},
        }
    ),
    preprocessing={"kind": "char-codes", "normalise": "NFKD", "unknown": 1},
)


class Lengths(Echo):
    """Gives the length of each text."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.batches.append(len(inputs["x"]))
        return {"y": inputs["lengths"][:, np.newaxis].astype(np.float32)}


TEXTS = ["abc", "ab", "far too long", "a"]  # padded into one batch


def test_one_text_that_is_too_long_does_not_take_its_batch_with_it() -> None:
    names = Predictor(NAMES, Lengths)
    first, second, too_long, last = names.predict_many(TEXTS, on_error="yield")
    assert [getattr(one, "value", None) for one in (first, second, last)] == [3.0, 2.0, 1.0]
    assert isinstance(too_long, Failure)
    assert (too_long.input, too_long.error.code) == ("far too long", "E-SHAPE")


def test_the_texts_before_one_that_is_too_long_are_predicted_before_the_error() -> None:
    stream = Predictor(NAMES, Lengths).predict_many(TEXTS)
    assert [next(stream).value, next(stream).value] == [3.0, 2.0]
    with pytest.raises(InputError, match="time is 12; the model accepts time 1 to 5"):
        next(stream)


def test_words_of_other_lengths_are_in_batches_of_their_own() -> None:
    backend = Echo(batch_axis=1)
    spell = Predictor(WORDS, lambda: backend)
    words = ["ab", "ba", "abc", "c", "a"]
    assert [answer.label for answer in spell.predict_many(words)] == words
    assert backend.batches == [2, 1, 2]


def test_values_may_bring_their_names_and_their_errors(double: Predictor) -> None:
    error = InputError("the row is cut off")
    named = [NamedInput("a.csv, line 2", 4), NamedInput("a.csv, line 3", error)]
    first, second = double.predict_many(named, on_error="yield")
    assert isinstance(first, Prediction)
    assert (first.input, first.value) == ("a.csv, line 2", 8.0)
    assert second == Failure(error, "a.csv, line 3")


def test_no_more_is_read_than_two_windows_ahead(double: Predictor) -> None:
    taken = 0

    def numbers() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    stream = double.predict_many(numbers(), batch_size=5)
    for expected in range(1, 12):
        assert next(stream).value == 2.0 * expected
        assert taken <= expected + 10
    stream.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if "ptx-decoder" in thread.name]


def test_reading_overlaps_computing(double: Predictor, echo: Echo) -> None:
    """Computing waits for the next window to be read: without the overlap it would wait in vain."""
    read = threading.Event()
    compute, original = echo.run, double.preprocessing.transform

    def slow_run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        assert len(echo.batches) > 0 or read.wait(10), "the second window was not read meanwhile"
        return compute(inputs)

    def watching(value: Any) -> Array:
        if value == 2:
            read.set()
        return original(value)

    echo.run = slow_run  # type: ignore[method-assign]
    double.preprocessing.transform = watching  # type: ignore[method-assign]
    assert len(list(double.predict_many([1, 2], batch_size=1))) == 2


def test_an_error_of_the_source_comes_through(double: Predictor) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("the source is gone")

    with pytest.raises(OSError, match="the source is gone"):
        list(double.predict_many(broken(), batch_size=1, on_error="yield"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda p: p.predict_many([1], batch_size=0),
            "the batch size is 0; expected an integer",
        ),
        (lambda p: p.predict_many([1], on_error="skip"), "on_error is 'skip'"),
        (lambda p: p.predict_many("digit.png"), "the inputs are a single str; expected several"),
        (lambda p: p.predict_many(b"1"), "the inputs are a single bytes; expected several"),
        (lambda p: list(p.predict_many([1], top=0)), "top is 0; expected an integer from 1 to"),
    ],
)
def test_a_wrong_call_is_an_error_before_anything_is_read(
    double: Predictor, call: Callable[[Predictor], object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        call(double)
