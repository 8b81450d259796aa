"""The predictor: one value, raw arrays, outputs that are checked, a life that ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx.infer import predictor as module
from ptx.infer.artifact.artifact import Artifact
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.errors import ArtifactError, BackendError, InputError, UsageError
from ptx.infer.loading import load
from ptx.infer.prediction import Prediction, input_name
from ptx.infer.predictor import Predictor
from ptx.infer.signature import Array, Signature

Export = Callable[[str, str], Path]


class Double:
    """y = 2x; a backend for tests, which may be told to answer something else."""

    name = "ort-cpu"
    device = "cpu"

    def __init__(self, answer: Callable[[Array], Any] = lambda x: x * 2) -> None:
        self.answer = answer
        self.calls: list[tuple[int, ...]] = []
        self.closed = False

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.calls.append(inputs["x"].shape)
        answer = self.answer(inputs["x"])
        return answer if isinstance(answer, dict) else {"y": answer}

    def close(self) -> None:
        self.closed = True


MANIFEST = Manifest(
    model="double",
    task="regression",
    signature=Signature.from_data(
        {"inputs": {"x": ["float32", ["batch", 1]]}, "outputs": {"y": ["float32", ["batch", 1]]}}
    ),
    preprocessing={"kind": "tabular", "names": ["x"]},
)
ROW = np.array([[3.0]], np.float32)


def predictor(answer: Callable[[Array], Any] = lambda x: x * 2) -> Predictor:
    return Predictor(MANIFEST, lambda: Double(answer))


@pytest.fixture
def line(artifact: Export) -> Iterator[Predictor]:
    with load(artifact("linear-model", "onnx"), backend="ort-cpu", threads=1) as opened:
        yield opened


def test_a_value_is_answered() -> None:
    assert predictor().predict("4") == Prediction(None, None, (), 8.0, "double", "ort-cpu", "4")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("a.png", "a.png"),
        (Path("b") / "c", "b/c"),
        (4, "4"),
        (0.5, "0.5"),
        (10**5000, None),
        (b"x", None),
        (np.ones(1), None),
        (None, None),
    ],
    ids=["text", "path", "int", "float", "huge", "bytes", "array", "None"],
)
def test_an_input_is_named_by_what_was_given(value: Any, name: str | None) -> None:
    assert input_name(value) == name


def test_a_classification_ranks_as_many_labels_as_asked(artifact: Export) -> None:
    digits = load(artifact("softmax-regression", "onnx"), backend="ort-cpu", threads=1)
    sample = np.random.default_rng(0).random(784, np.float32)
    logits = digits.run({"image": sample[np.newaxis]})["logits"][0].astype(np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum()
    prediction = digits.predict(sample, top=4)
    order = np.argsort(-logits)
    assert prediction.label == str(order[0])
    assert [label for label, _ in prediction.top] == [str(index) for index in order[:4]]
    np.testing.assert_allclose(
        [score for _, score in prediction.top], probabilities[order[:4]], rtol=1e-6
    )
    assert prediction.to_data()["top"][0] == {"label": prediction.label, "score": prediction.score}
    for top in (0, -1):
        with pytest.raises(UsageError, match=f"top is {top}; expected an integer from 1 to"):
            digits.predict(sample, top=top)


def test_the_batch_axis_is_moved_to_the_front(artifact: Export) -> None:
    spelling = load(artifact("char-rnn-embedding", "onnx"), backend="ort-cpu", threads=1)
    words = [spelling.predict(word).label for word in ("hello", "ohell")]
    both = spelling.run({"tokens": np.array([[1, 0, 2, 2, 3], [3, 1, 0, 2, 2]])})
    classes = spelling.classes(both)
    assert classes is not None
    assert ["".join("ehlo"[index] for index in row) for row in classes.tolist()] == words


def test_an_empty_batch_is_answered_without_the_backend() -> None:
    backend = Double()
    opened = Predictor(MANIFEST, lambda: backend)
    outputs = opened.run({"x": ROW[:0]})
    assert outputs["y"].shape == (0, 1)
    assert outputs["y"].dtype == np.float32
    assert backend.calls == []
    assert opened.predict_samples([], []) == []


def test_an_input_that_does_not_fit_never_reaches_the_backend() -> None:
    backend = Double()
    with pytest.raises(InputError, match="expected finite numbers"):
        Predictor(MANIFEST, lambda: backend).run({"x": ROW * np.nan})
    assert backend.calls == []


def test_a_ready_sample_that_is_not_finite_is_refused(artifact: Export) -> None:
    with load(artifact("convnet", "onnx")) as digits:
        for number in (np.nan, 1e39):  # the second is infinite in float32
            with pytest.raises(InputError, match="expected finite numbers"):
                digits.predict(np.full((1, 28, 28), number))


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        (lambda x: x * np.nan, "E-NONFINITE", "output 'y' is not finite"),
        (lambda x: x + np.inf, "E-NONFINITE", "output 'y' is not finite"),
        (lambda x: x[:, 0], "E-OUTPUT", r"output 'y' is float32 \(1,\); its manifest says float32"),
        (lambda x: np.repeat(x, 2, 0), "E-OUTPUT", r"is float32 \(2, 1\)"),
        (lambda x: x.astype(np.float64), "E-OUTPUT", "output 'y' is float64"),
        (lambda x: {"z": x}, "E-OUTPUT", r"the model returns \['z'\]; its manifest says 'y'"),
        (lambda x: {"y": [x]}, "E-OUTPUT", "its manifest says 'y'"),
    ],
)
def test_an_output_that_the_manifest_does_not_promise_is_refused(
    answer: Callable[[Array], Any], code: str, message: str
) -> None:
    with pytest.raises(ArtifactError, match=message) as caught:
        predictor(answer).predict(3)
    assert caught.value.code == code


def test_a_closed_predictor_refuses_everything() -> None:
    backend = Double()
    opened = Predictor(MANIFEST, lambda: backend)
    with opened:
        assert repr(opened) == "<Predictor of double on ort-cpu (cpu)>"
    assert backend.closed
    opened.close()
    assert repr(opened) == "<Predictor of double, closed>"
    uses: list[Callable[[], object]] = [
        lambda: opened.run({"x": ROW}),
        lambda: opened.run({"x": ROW[:0]}),
        lambda: opened.predict(3),
        lambda: list(opened.predict_many([3])),
        lambda: opened.backend,
    ]
    for use in uses:
        with pytest.raises(BackendError, match="the predictor has been closed") as caught:
            use()
        assert caught.value.code == "E-CLOSED"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "regresion"}, "did you mean 'regression'"),
        (
            {"task": "classification"},
            r"labels are 0, .* output 'y' \(batch, 1\) for the task 'classification'",
        ),
        ({"labels": ("a", "b")}, "labels are 2, .* 'regression'"),
        (
            {"preprocessing": {"kind": "gray-image"}},
            "preprocessing of kind 'gray-image' is not valid",
        ),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArtifactError, match=message) as caught:
        Predictor(replace(MANIFEST, **changes), Double)
    assert caught.value.code == "E-MANIFEST"


def test_the_parts_of_the_manifest_are_at_hand(line: Predictor) -> None:
    assert line.labels == ()
    assert line.signature.inputs[0].name == "x"
    assert line.classes(line.run({"x": ROW})) is None


def test_a_loaded_file_needs_its_digest(linear_onnx: Artifact, tmp_path: Path) -> None:
    data = bytearray(linear_onnx.data)
    data[linear_onnx.data.index(b"ptx.manifest") + 30] ^= 1
    (tmp_path / "a.onnx").write_bytes(data)
    with pytest.raises(ArtifactError, match="has changed since it was written"):
        load(tmp_path / "a.onnx")


def test_each_process_opens_its_own_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Double] = []

    def open_backend() -> Double:
        opened.append(Double())
        return opened[-1]

    shared = Predictor(MANIFEST, open_backend)
    monkeypatch.setattr(module._Process, "pid", 12345)  # as a forked child sees itself
    assert shared.predict(3).value == 6.0
    assert shared.predict(3).value == 6.0
    assert [len(backend.calls) for backend in opened] == [0, 2]
    shared.close()
    assert [backend.closed for backend in opened] == [False, True]
