"""A predictor that is pickled or copied opens its file again."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from ptx import infer
from ptx.infer.errors import ArtifactError, BackendError, UsageError
from ptx.infer.loading import open_predictor


@pytest.mark.parametrize("format_name", ["onnx", "torchscript", "checkpoint"])
@pytest.mark.parametrize(
    "duplicate", [lambda one: pickle.loads(pickle.dumps(one)), copy.deepcopy, copy.copy]
)
def test_a_copy_answers_as_the_original(
    artifact: Any, format_name: str, duplicate: Callable[[Any], Any]
) -> None:
    path = artifact("linear-model", format_name)
    with infer.load(path, trust=True, allow_nonfinite=True) as first:
        with duplicate(first) as second:
            assert second is not first
            assert second.backend.name == first.backend.name
            assert second.predict(4) == first.predict(4)
            assert second.predict_samples([], []) == []
        assert first.predict(5).value is not None  # closing the copy leaves it open


def test_processes_take_it_with_its_options(
    artifact: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(artifact("linear-model", "onnx").parent)
    with (
        infer.load("linear-model.onnx", threads=1) as first,  # a path that is relative here
        ProcessPoolExecutor(1, get_context("spawn")) as pool,
    ):
        monkeypatch.chdir(tmp_path)
        expected = [first.predict(value) for value in (1, 2)]
        assert list(pool.map(first.predict, (1, 2))) == expected


def test_an_external_file_keeps_its_spec(tmp_path: Path) -> None:
    axes: list[str | int | None] = ["batch", 2]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, axes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, axes)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "other.onnx")
    with (
        infer.load(
            tmp_path / "other.onnx",
            task="classification",
            labels=["a", "b"],
            preprocessing={"kind": "tabular", "names": ["p", "q"]},
        ) as first,
        pickle.loads(pickle.dumps(first)) as second,
    ):
        assert second.predict([1, 2]) == first.predict([1, 2])


def test_a_file_that_has_changed_or_gone_is_refused(artifact: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(artifact("linear-model", "onnx").read_bytes())
    with infer.load(path) as first:
        data = pickle.dumps(first)
        path.write_bytes(artifact("diabetes", "onnx").read_bytes())
        with pytest.raises(ArtifactError) as caught:
            pickle.loads(data)
        assert caught.value.code == "E-HASH"
        path.unlink()
        with pytest.raises(ArtifactError) as caught:
            copy.deepcopy(first)
        assert caught.value.code == "E-IN-MISSING"


def test_what_cannot_be_opened_again_is_refused_in_our_words(artifact: Any) -> None:
    opened = infer.read_artifact(artifact("linear-model", "onnx"))
    in_memory = open_predictor(opened, backend="auto", options=infer.Options())
    for duplicate in (pickle.dumps, copy.deepcopy, copy.copy):
        with pytest.raises(UsageError):
            duplicate(in_memory)
    in_memory.close()
    with pytest.raises(BackendError) as closed:
        pickle.dumps(in_memory)
    assert closed.value.code == "E-CLOSED"


def test_a_network_that_cannot_be_pickled_is_named(artifact: Any) -> None:
    import torch

    from ptx.models import build

    def factory() -> torch.nn.Module:
        return build("linear-model", {})

    with infer.load(artifact("linear-model", "checkpoint"), network=factory) as first:
        with pytest.raises(UsageError):
            pickle.dumps(first)
        with copy.deepcopy(first) as second:
            assert second.predict(4) == first.predict(4)
