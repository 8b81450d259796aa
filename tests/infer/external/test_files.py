"""External ONNX files as arrays alone: equal to ONNX Runtime to the bit, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from ptx.infer import ArtifactError, InputError, load

from .files.case import Case
from .files.cases import FAMILIES
from .files.judge import judge

CASES = {case.name: case for family in FAMILIES for case in family()}


def test_each_file_has_a_name_of_its_own() -> None:
    assert len(CASES) == sum(len(list(family())) for family in FAMILIES) >= 130


@pytest.mark.parametrize("name", CASES)
def test_what_onnx_runtime_runs_is_answered_as_it_answers(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    expected = "refused by name" if case.refused else "equal"
    verdict, why = judge(case, tmp_path / "net.onnx")
    assert verdict == expected, why


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.meant])
def test_an_infinity_is_refused_unless_it_is_meant(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(CASES[name].model())
    with load(path, task="passthrough") as predictor:
        wrong = pytest.raises((InputError, ArtifactError), match=r"finite.*--allow-nonfinite")
        with wrong as caught:
            predictor.run(CASES[name].feed())
    assert caught.value.code == "E-NONFINITE"


def written(path: Path, text: str) -> Path:
    path.write_bytes(Case("", text).model())
    return path


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_an_empty_array_does_not_end_the_process_in_a_recurrent_layer(
    kind: str, tmp_path: Path
) -> None:
    path, x = tmp_path / "net.onnx", np.ones((6, 4, 2), np.float32)
    path.write_bytes(CASES[kind].model())
    feed = CASES[kind].feed()
    with load(path, task="passthrough") as predictor:
        empty = predictor.run({**feed, "x": x[:, :0]})
        assert empty["y"].shape == (6, 1, 0, 4)
        with pytest.raises(InputError, match="expected sizes of at least 1"):
            predictor.run({**feed, "x": x[:0]})


def test_a_scalar_may_be_a_number_of_python(tmp_path: Path) -> None:
    text = "(float[N,2] x, int64 sr) => (float[N,2] y) { r = Cast<to=1>(sr) y = Div(x, r) }"
    with load(written(tmp_path / "net.onnx", text), task="passthrough") as predictor:
        x = np.ones((3, 2), np.float32)
        for rate in (4, np.int32(4), np.array(4)):
            assert (predictor.run({"x": x, "sr": rate})["y"] == 0.25).all()
        with pytest.raises(InputError, match=r"'sr' has shape \(1,\); expected \(\)"):
            predictor.run({"x": x, "sr": np.array([4])})
        with pytest.raises(InputError, match="'sr' has dtype float64; expected int64"):
            predictor.run({"x": x, "sr": 4.5})
        with pytest.raises(InputError, match=r"named \['x'\]; expected 'x' float32 .*, 'sr' int64"):
            predictor.run({"x": x})


def test_a_sequence_is_a_list(tmp_path: Path) -> None:
    text = "(seq(float[]) s) => (float[] y) { y = ConcatFromSequence<axis=0>(s) }"
    with load(written(tmp_path / "net.onnx", text), task="passthrough") as predictor:
        x = np.ones((3, 2), np.float32)
        assert predictor.run({"s": (x, x.astype(">f4"))})["y"].shape == (6, 2)
        with pytest.raises(InputError, match="'s' is a ndarray; expected a list of NumPy arrays"):
            predictor.run({"s": x})


def test_more_rows_than_a_fixed_batch_are_run_in_turn_beside_a_scalar(tmp_path: Path) -> None:
    text = "(float[1,2] x, float k) => (float[1,2] y) { y = Mul(x, k) }"
    with load(written(tmp_path / "net.onnx", text), task="passthrough") as predictor:
        x = np.arange(6, dtype=np.float32).reshape(3, 2)
        assert (predictor.run({"x": x, "k": 2.0})["y"] == 2 * x).all()
        assert predictor.run({"x": x[:0], "k": 2.0})["y"].shape == (0, 2)


def test_a_state_is_no_batch_and_more_rows_beside_it_are_refused(tmp_path: Path) -> None:
    text = "(float[1,2] x, float[2,1,2] h) => (float[2,1,2] y) { y = Add(x, h) }"
    with load(written(tmp_path / "net.onnx", text), task="passthrough") as predictor:
        h, x = np.ones((2, 1, 2), np.float32), np.ones((3, 2), np.float32)
        assert predictor.run({"x": x[:1], "h": h})["y"].shape == (2, 1, 2)
        with pytest.raises(InputError, match=r"'x' has shape \(3, 2\); expected \(1, 2\)"):
            predictor.run({"x": x, "h": h})


def test_a_task_reads_an_output_of_free_shape_beside_others(tmp_path: Path) -> None:
    text = (
        "(float[N,3] x, float k) => (float[] scores, seq(float[]) parts)"
        " { scores = Mul(x, k) parts = SplitToSequence<axis=0>(x) }"
    )
    path = written(tmp_path / "net.onnx", text)
    with load(path, task="classification", labels=["a", "b", "c"]) as predictor:
        assert predictor.signature.outputs[0].describe() == "(batch, 3)"
        x = np.array([[0, 2, 1], [3, 0, 1]], np.float32)
        outputs = predictor.run({"x": x, "k": 1.0})
        answers = predictor.decode_outputs(outputs, [None, None])
        assert [answer.label for answer in answers] == ["b", "a"]
    with load(path, task="classification", labels=["a", "b"]) as predictor:
        wrong = pytest.raises(
            ArtifactError, match=r"'scores' is float32 \(2, 3\); its manifest says"
        )
        with wrong:
            predictor.run({"x": x, "k": 1.0})


def test_a_masked_score_is_never_the_answer(tmp_path: Path) -> None:
    path = written(tmp_path / "net.onnx", "(float[N,3] x) => (float[N,3] y) { y = Log(x) }")
    x = np.array([[0, 1, 2]], np.float32)
    about = {"task": "classification", "labels": ["a", "b", "c"]}
    with load(path, spec=about, allow_nonfinite=True) as predictor:
        answer = predictor.predict(x[0], top=3)
        assert (answer.label, answer.top[-1]) == ("c", ("a", 0.0))
        for nothing in (0 * x, -x):
            with pytest.raises(ArtifactError, match="'y' has no finite maximum") as caught:
                predictor.predict(nothing[0])
            assert caught.value.code == "E-NONFINITE"


def test_the_command_line_takes_what_is_meant(tmp_path: Path, ptx: Any) -> None:
    path = written(tmp_path / "net.onnx", "(float[N,3] x) => (float[N,3] y) { y = Log(x) }")
    (tmp_path / "about.json").write_text('{"task": "classification", "labels": ["a", "b", "c"]}')
    np.save(tmp_path / "x.npy", np.array([[0, 1, 2]], np.float32))
    asked = ("predict", tmp_path / "x.npy", "--model", path, "--spec", tmp_path / "about.json")
    refused, done = ptx(*asked), ptx(*asked, "--allow-nonfinite")
    assert (refused.code, "E-NONFINITE" in refused.err) == (4, True)
    assert (done.code, "c" in done.out) == (0, True), done.err


def test_a_sparse_output_is_given_as_an_array(tmp_path: Path) -> None:
    values = helper.make_tensor("values", TensorProto.FLOAT, [2], [2.0, 3.0])
    for dims, places in (([2], [1, 5]), ([2, 2], [0, 1, 1, 2])):
        sparse = helper.make_sparse_tensor(
            values, helper.make_tensor("places", TensorProto.INT64, dims, places), [2, 3]
        )
        node = helper.make_node("Constant", [], ["y"], sparse_value=sparse)
        gives = helper.make_sparse_tensor_type_proto(TensorProto.FLOAT, [2, 3])
        graph = helper.make_graph([node], "g", [], [helper.make_value_info("y", gives)])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
        with load(tmp_path / "net.onnx", task="passthrough") as predictor:
            assert predictor.run({})["y"].tolist() == [[0, 2, 0], [0, 0, 3]]
