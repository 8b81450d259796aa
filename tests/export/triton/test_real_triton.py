"""The written repository in a real tritonserver: its answers are those of `ptx predict`, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx.infer import Predictor, load

from .conftest import VALUES
from .server import MISSING, TRITON, Ports

pytestmark = pytest.mark.skipif(not TRITON, reason=MISSING)
http = pytest.importorskip("tritonclient.http")
grpc = pytest.importorskip("tritonclient.grpc")
DATATYPES = {"float32": "FP32", "int64": "INT64", "uint8": "UINT8"}
GIVEN = {
    "convnet": "picture",
    "lstm": "picture",
    "squeeze": "picture",
    "mlp": "picture",
    "name-classifier": "text",
    "diabetes": "row",
}


@pytest.fixture(params=["http", "grpc"])
def client(request: pytest.FixtureRequest, triton: Ports) -> Any:
    """(module, client) over either transport."""
    module = http if request.param == "http" else grpc
    with module.InferenceServerClient(f"127.0.0.1:{getattr(triton, request.param)}") as opened:
        yield module, opened


@pytest.fixture
def predictor(models: dict[str, Path], request: pytest.FixtureRequest) -> Any:
    """`ort-cpu`, as `ptx predict` opens it."""
    with load(models[request.getfixturevalue("name")], backend="ort-cpu") as opened:
        yield opened


def tensor(module: Any, name: str, array: Any) -> Any:
    kind = DATATYPES.get(array.dtype.name, "BYTES")
    given = module.InferInput(name, list(array.shape), kind)
    given.set_data_from_numpy(array)
    return given


def infer_values(client: Any, model: str, values: list[Any]) -> Any:
    module, opened = client
    encoded = [[value.encode() if isinstance(value, str) else value] for value in values]
    array = np.array(encoded, np.object_)
    return opened.infer(f"{model}_predict", [tensor(module, GIVEN[model], array)])


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("rows", [1, 3, 7])
def test_tensors_are_answered_bit_for_bit(
    client: Any, predictor: Predictor, name: str, rows: int
) -> None:
    module, opened = client
    sizes = dict.fromkeys(predictor.signature.dynamic_axes, 5) | {"batch": rows}
    inputs = predictor.signature.example(sizes, seed=rows)
    expected = predictor.run(inputs)
    result = opened.infer(name, [tensor(module, *item) for item in inputs.items()])
    for key, array in expected.items():
        found = result.as_numpy(key)
        if array.ndim == 1:
            found = found.reshape(-1)
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert found.tobytes() == array.tobytes()


@pytest.mark.parametrize("name", VALUES)
def test_values_are_answered_as_predict_answers(
    client: Any, predictor: Predictor, name: str
) -> None:
    for values in (VALUES[name], VALUES[name][:1]):
        expected = list(predictor.predict_many(values))
        result = infer_values(client, name, values)
        labels = [text.decode() for text in result.as_numpy("label")[:, 0]]
        scores = result.as_numpy("score")[:, 0].tolist()
        assert list(zip(labels, scores, strict=True)) == [
            (one.label, one.score) for one in expected
        ]
        top = zip(result.as_numpy("top_labels"), result.as_numpy("top_scores"), strict=True)
        assert [
            tuple((text.decode(), float(score)) for text, score in zip(*row, strict=True))
            for row in top
        ] == [one.top for one in expected]


@pytest.mark.parametrize("name", ["convnet"])
def test_the_command_line_says_the_same(
    client: Any, models: dict[str, Path], ptx: Callable[..., Any], seven: Path, name: str
) -> None:
    done = ptx("predict", seven, "--model", models[name], "--backend", "ort-cpu", "--json")
    answer = json.loads(done.out)
    result = infer_values(client, name, [seven.read_bytes()])
    assert result.as_numpy("label")[0, 0].decode() == answer["label"]
    assert result.as_numpy("score")[0, 0] == answer["score"]


def test_an_input_that_cannot_be_used_is_refused_in_the_words_of_ptx(client: Any) -> None:
    refused = pytest.importorskip("tritonclient.utils").InferenceServerException
    for model, value, code in [
        ("convnet", b"no picture", "E-IMG-FORMAT"),
        ("diabetes", "1,2,x", "E-TYPE"),
        ("name-classifier", "  ", "E-EMPTY"),
    ]:
        with pytest.raises(refused, match=code) as caught:
            infer_values(client, model, [value])
        assert caught.value.status() in ("400", "StatusCode.INVALID_ARGUMENT")
        infer_values(client, model, VALUES[model])


def test_a_bad_request_costs_those_beside_it_nothing(
    triton: Ports, models: dict[str, Path]
) -> None:
    refused = pytest.importorskip("tritonclient.utils").InferenceServerException
    words = ["Wang", "  "] * 16 + ["Müller"] * 32

    def ask(word: str) -> str:
        try:
            result = infer_values((grpc, opened), "name-classifier", [word])
        except refused as error:
            return str(error.message())
        text: bytes = result.as_numpy("label")[0, 0]
        return text.decode()

    with (
        load(models["name-classifier"]) as predictor,
        grpc.InferenceServerClient(f"127.0.0.1:{triton.grpc}") as opened,
        ThreadPoolExecutor(16) as threads,
    ):
        expected = {word: predictor.predict(word).label for word in ("Wang", "Müller")}
        for word, answer in zip(words, threads.map(ask, words), strict=True):
            assert answer == expected[word] if word.strip() else "E-EMPTY" in answer


def test_triton_ranks_classes_with_the_labels_of_the_manifest(
    triton: Ports, models: dict[str, Path]
) -> None:
    with load(models["squeeze"]) as predictor:
        inputs = predictor.signature.example({"batch": 2})
        logits = predictor.run(inputs)["logits"]
    with http.InferenceServerClient(f"127.0.0.1:{triton.http}") as opened:
        wanted = [http.InferRequestedOutput("logits", class_count=2)]
        given = [tensor(http, "image", inputs["image"])]
        found = opened.infer("squeeze", given, outputs=wanted).as_numpy("logits")
    order = np.argsort(-logits, axis=1)[:, :2]
    labels = ("ant", "bee", "cat", "dog")
    assert [[text.decode().split(":")[1:] for text in row] for row in found] == [
        [[str(index), labels[index]] for index in row] for row in order
    ]
