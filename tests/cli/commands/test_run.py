"""ptx run: arrays in, arrays out, of files that ptx exported and of others."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ptx.infer import InputError, load
from ptx.infer.tables import npz
from ptx.infer.tables.npz import read_npz, write_npz

Export = Callable[[str, str], Path]


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """total = x + y; parts = [x, y], a sequence."""
    values = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 2]) for n in ("x", "input.1")
    ]
    total = helper.make_tensor_value_info("total", TensorProto.FLOAT, ["n", 2])
    parts = helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, ["n", 2])
    nodes = [
        helper.make_node("Add", ["x", "input.1"], ["total"]),
        helper.make_node("SequenceConstruct", ["x", "input.1"], ["parts"]),
    ]
    graph = helper.make_graph(nodes, "foreign", values, [total, parts])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path = tmp_path / "foreign.onnx"
    onnx.save(model, path)
    return path


def test_an_external_file_runs_without_a_spec(ptx: Any, foreign: Path, tmp_path: Path) -> None:
    x, y = np.array([[1, 2]], np.float32), np.array([[3, 4]], np.float32)
    given, output = tmp_path / "in.npz", tmp_path / "out.npz"
    given.write_bytes(write_npz({"x": x, "input.1": y}))
    done = ptx("run", foreign, given, "--output", output)
    assert done.code == 0, done.err
    assert done.out.splitlines()[1].split() == ["total", "float32", "(1,", "2)", "4", "5", "6"]
    with np.load(output) as found:
        assert set(found) == {"total", "parts[0]", "parts[1]"}
        assert np.array_equal(found["total"], x + y)
        assert np.array_equal(found["parts[1]"], y)


def test_inputs_are_cast_if_their_values_allow_it(ptx: Any, foreign: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((2, 2)))
    pair = [f"x={tmp_path / 'x.npy'}", f"input.1={tmp_path / 'x.npy'}"]
    done = ptx("run", foreign, *pair)
    assert done.code == 0, done.err
    assert "total" in done.out


def test_the_command_returns_the_outputs_of_the_library(
    ptx: Any, artifact: Export, tmp_path: Path
) -> None:
    path = artifact("softmax-regression", "onnx")
    with load(path, backend="ort-cpu") as predictor:
        image = predictor.signature.example({"batch": 3})["image"]
        expected = predictor.run({"image": image})["logits"]
    np.save(tmp_path / "image.npy", image)
    arguments = ("run", path, tmp_path / "image.npy", "--backend", "ort-cpu")
    done = ptx(*arguments, "--output", tmp_path / "logits.npy")
    assert done.code == 0, done.err
    assert np.array_equal(np.load(tmp_path / "logits.npy"), expected)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["x.npy"], "E-USAGE"),  # of which input?
        (["x=x.npy"], "E-NAME"),  # the other one is missing
        (["x=x.npy", "x=x.npy"], "E-USAGE"),
        (["x=x.npy", "input.1=long.npy"], "E-SHAPE"),
        (["both.npz", "--output", "out.csv"], "E-USAGE"),
        (["both.npz", "--output", "out.npy"], "E-USAGE"),  # two outputs
        (["x.txt"], "E-IN-FORMAT"),
        (["text.npz"], "E-NPY"),
    ],
)
def test_inputs_that_do_not_match_are_refused(
    arguments: list[str],
    code: str,
    ptx: Any,
    foreign: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    one = np.ones((1, 2), np.float32)
    np.save("x.npy", one)
    np.save("long.npy", np.ones((1, 3), np.float32))
    Path("both.npz").write_bytes(write_npz({"x": one, "input.1": one}))
    for name in ("x.txt", "text.npz"):
        Path(name).write_text("no array")
    done = ptx("run", foreign, *arguments)
    assert done.code != 0
    assert f"[{code}]" in done.err
    assert not list(tmp_path.glob("out.*"))


def test_npz_files_round_trip_and_malformed_ones_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values: dict[str, Any] = {
        "file": np.arange(3),
        "a/b": [np.ones(2), np.zeros((0, 2))],
        "absent": None,
    }
    found = read_npz(write_npz(values), name="a.npz")
    assert set(found) == {"file", "a/b"}
    assert np.array_equal(found["file"], values["file"])
    assert [array.shape for array in found["a/b"]] == [(2,), (0, 2)]
    with np.load(io.BytesIO(write_npz(values))) as readable:
        assert np.array_equal(readable["file"], values["file"])
    pickled = io.BytesIO()
    np.savez(pickled, x=np.array([{}], object))
    gaps = write_npz({"x[0]": np.ones(1), "x[2]": np.ones(1)})
    for data in (b"", b"PK", pickled.getvalue(), gaps, write_npz(values)[:-30]):
        with pytest.raises(InputError) as caught:
            read_npz(data, name="a.npz")
        assert caught.value.code == "E-NPY"
    monkeypatch.setattr(npz, "SIZE_LIMIT", 1000)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(2000))
    with pytest.raises(InputError, match="at most 1,000"):
        read_npz(bomb.getvalue(), name="a.npz")
