"""ONNX files whose weights are in other files: what is read, and what is refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ptx.infer import ArtifactError, UsageError, load, read_artifact

WEIGHTS = np.arange(6, dtype=np.float32)


def write(folder: Path, location: str = "weights.bin", **entries: str) -> Path:
    """y = x + weights, with the weights in another file."""
    tensor = TensorProto(
        name="w", data_type=TensorProto.FLOAT, dims=[6], data_location=TensorProto.EXTERNAL
    )
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 6]) for n in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [tensor])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def run(path: Path) -> Any:
    with load(path, backend="ort-cpu") as predictor:
        return predictor.run({"x": np.ones((2, 6), np.float32)})["y"]


@pytest.mark.parametrize("location", ["weights.bin", "parts/weights.bin", "./weights.bin"])
def test_weights_within_the_folder_are_read_and_are_in_the_digest(
    location: str, tmp_path: Path
) -> None:
    path, part = write(tmp_path, location), tmp_path / location
    part.parent.mkdir(exist_ok=True)
    part.write_bytes(WEIGHTS.tobytes())
    assert np.array_equal(run(path), 1 + np.tile(WEIGHTS, (2, 1)))
    before = read_artifact(path)
    assert before.external_data == {location: WEIGHTS.tobytes()}
    part.write_bytes((WEIGHTS + 1).tobytes())
    assert read_artifact(path).sha256 != before.sha256
    assert np.array_equal(run(path), 2 + np.tile(WEIGHTS, (2, 1)))


@pytest.mark.filterwarnings("ignore")  # of the exporter, about itself
def test_what_torch_writes_for_large_networks_is_run(tmp_path: Path, ptx: Any) -> None:
    torch = pytest.importorskip("torch")
    network, rows = torch.nn.Linear(300, 200), torch.rand(3, 300)
    path = tmp_path / "linear.onnx"
    torch.onnx.export(network, (rows,), path, input_names=["x"], verbose=False)
    assert (tmp_path / "linear.onnx.data").exists()
    with load(path, backend="ort-cpu") as predictor:
        (got,) = predictor.run({"x": rows.numpy()}).values()
        copied = pickle.loads(pickle.dumps(predictor))
    assert np.allclose(got, network(rows).detach().numpy(), atol=1e-6)
    copied.close()
    shown = ptx("inspect", path)
    assert "weights in linear.onnx.data" in shown.out


@pytest.mark.parametrize(
    "location",
    ["../secret", "/etc/hostname", "a/../../secret", "", "..\\secret", "a\0b", "missing"],
)
def test_what_is_outside_or_missing_is_refused(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(WEIGHTS.tobytes())
    with pytest.raises(ArtifactError) as caught:
        read_artifact(write(folder, location))
    assert caught.value.code == "E-ONNX-EXTERNAL"


def test_a_link_out_of_the_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(WEIGHTS.tobytes())
    path, part = write(folder), folder / "weights.bin"
    part.symlink_to(tmp_path / "secret")
    with pytest.raises(ArtifactError, match="link out of its folder"):
        read_artifact(path)
    part.unlink()
    os.mkfifo(part)
    with pytest.raises(ArtifactError) as caught:
        read_artifact(path)
    assert caught.value.code == "E-ONNX-EXTERNAL"


@pytest.mark.parametrize("entries", [{"offset": "8"}, {"length": "99"}, {"offset": "-4"}])
def test_a_place_beyond_the_file_is_refused(entries: dict[str, str], tmp_path: Path) -> None:
    path = write(tmp_path, **entries)
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes())
    with pytest.raises(ArtifactError):
        run(path)


def test_openvino_does_not_read_them(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes())
    with pytest.raises(UsageError, match="ort-cpu"):
        load(path, backend="openvino")
    onnx.checker.check_model(path)
