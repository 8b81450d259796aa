"""What is written for Triton, without a server."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ptx.export.triton import write_repository
from ptx.infer import (
    Artifact,
    ArtifactError,
    OutputError,
    UsageError,
    parse_artifact,
    read_artifact,
)
from ptx.infer.artifact import onnx_bytes

Export = Callable[[str, str], Path]


def config(folder: Path) -> Any:
    """A config.pbtxt as Triton's own message; an unknown or misspelt field is an error."""
    messages = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    text_format = pytest.importorskip("google.protobuf.text_format")
    return text_format.Parse((folder / "config.pbtxt").read_text(), messages.ModelConfig())


def rewritten(path: Path, **changes: Any) -> Artifact:
    """The file with other fields in its manifest; the content digest holds."""
    onnx = pytest.importorskip("onnx")
    manifest = replace(read_artifact(path).require_manifest(), **changes)
    model = onnx.ModelProto.FromString(path.read_bytes())
    del model.metadata_props[:]
    return parse_artifact(
        onnx_bytes.embed_manifest(model.SerializeToString(), manifest.to_json()), path=path
    )


def shape(tensor: Any) -> tuple[str, list[int]]:
    return tensor.name, list(tensor.dims)


def test_a_model_becomes_two_folders_and_the_file_is_the_one_exported(
    artifact: Export, tmp_path: Path
) -> None:
    written = write_repository(read_artifact(artifact("convnet", "onnx")), tmp_path / "repository")
    assert written == [tmp_path / "repository" / name for name in ("convnet", "convnet_predict")]
    found = {str(path.relative_to(tmp_path / "repository")) for path in tmp_path.rglob("*.*")}
    assert found == {
        "convnet/config.pbtxt",
        "convnet/labels.txt",
        "convnet/1/model.onnx",
        "convnet_predict/config.pbtxt",
        "convnet_predict/1/model.py",
        "convnet_predict/1/manifest.json",
        "convnet_predict/1/ptx.zip",
    }
    exported = artifact("convnet", "onnx").read_bytes()
    assert (written[0] / "1/model.onnx").read_bytes() == exported
    assert (written[0] / "labels.txt").read_text().split() == list("0123456789")
    manifest = json.loads((written[1] / "1/manifest.json").read_text())
    assert manifest["model"] == "convnet"


def test_triton_gathers_rows_where_the_batch_comes_first(artifact: Export, tmp_path: Path) -> None:
    graph, front = write_repository(read_artifact(artifact("convnet", "onnx")), tmp_path)
    model = config(graph)
    assert (model.name, model.backend, model.max_batch_size) == ("convnet", "onnxruntime", 64)
    assert shape(model.input[0]) == ("image", [1, 28, 28])
    assert shape(model.output[0]) == ("logits", [10])
    assert model.output[0].label_filename == "labels.txt"
    assert model.HasField("dynamic_batching")
    assert model.dynamic_batching.default_queue_policy.max_queue_size == 0
    assert model.parameters["intra_op_thread_count"].string_value == "1"
    assert [group.kind for group in model.instance_group] == [model.instance_group[0].KIND_CPU]
    model = config(front)
    assert (model.name, model.backend) == ("convnet_predict", "python")
    assert [shape(tensor) for tensor in model.input] == [("picture", [1])]
    assert [tensor.name for tensor in model.output] == [
        "label",
        "score",
        "top_labels",
        "top_scores",
    ]


def test_pixels_go_in_and_a_label_is_a_row_of_one(pixels: Path, tmp_path: Path) -> None:
    graph, _ = write_repository(read_artifact(pixels), tmp_path)
    model = config(graph)
    assert (model.name, model.max_batch_size) == ("mlp", 64)
    assert shape(model.input[0]) == ("pixels", [28, 28])
    assert [shape(one) for one in model.output] == [
        ("logits", [10]),
        ("probabilities", [10]),
        ("label", [1]),
    ]
    assert [one.HasField("reshape") for one in model.output] == [False, False, True]
    assert list(model.output[2].reshape.shape) == []
    assert model.output[0].label_filename == "labels.txt"


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("lstm", [("sequence", [-1, -1, 28])]),
        ("name-classifier", [("characters", [-1, -1]), ("lengths", [-1])]),
    ],
)
def test_other_models_are_written_with_all_their_axes_and_gathered_in_front(
    artifact: Export, tmp_path: Path, name: str, inputs: list[Any]
) -> None:
    graph, front = write_repository(read_artifact(artifact(name, "onnx")), tmp_path)
    model = config(graph)
    assert model.max_batch_size == 0
    assert not model.HasField("dynamic_batching")
    assert [shape(tensor) for tensor in model.input] == inputs
    assert all(tensor.dims[0] == -1 for tensor in model.output)
    model = config(front)
    assert model.max_batch_size == 64
    assert model.HasField("dynamic_batching")


def test_cuda_runs_as_ort_cuda_does(artifact: Export, tmp_path: Path) -> None:
    graph, front = write_repository(
        read_artifact(artifact("convnet", "onnx")), tmp_path, device="cuda"
    )
    model = config(graph)
    assert model.instance_group[0].kind == model.instance_group[0].KIND_GPU
    (cuda,) = model.optimization.execution_accelerators.gpu_execution_accelerator
    assert (cuda.name, dict(cuda.parameters)) == ("cuda", {"use_tf32": "0"})
    assert model.parameters["cudnn_conv_algo_search"].string_value == "1"
    front_model = config(front)
    assert front_model.instance_group[0].kind == model.instance_group[0].KIND_CPU


def test_photographs_say_where_their_channels_are(squeeze: Path, tmp_path: Path) -> None:
    graph, _ = write_repository(read_artifact(squeeze), tmp_path)
    (given,) = config(graph).input
    assert given.format == given.FORMAT_NCHW
    assert not config(graph).parameters or squeeze.stat().st_size < 4 * 2**20


def test_a_regression_answers_with_a_value(artifact: Export, tmp_path: Path) -> None:
    _, front = write_repository(read_artifact(artifact("linear-model", "onnx")), tmp_path)
    assert [shape(tensor) for tensor in config(front).output] == [("value", [1])]


def test_a_model_of_arrays_has_the_graph_alone(artifact: Export, tmp_path: Path) -> None:
    arrays = {"preprocessing": {"kind": "none"}, "golden": (), "end_to_end": ()}
    file = rewritten(artifact("linear-model", "onnx"), **arrays)
    assert [folder.name for folder in write_repository(file, tmp_path)] == ["linear-model"]


def test_the_same_file_makes_the_same_bytes(artifact: Export, tmp_path: Path) -> None:
    found = []
    for name in ("first", "second"):
        write_repository(read_artifact(artifact("convnet", "onnx")), tmp_path / name)
        paths = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        found.append({str(path.relative_to(tmp_path / name)): path.read_bytes() for path in paths})
    assert found[0] == found[1]


def test_the_reading_code_is_whole_and_has_no_other_part_of_ptx(
    artifact: Export, tmp_path: Path, child: Callable[..., Any]
) -> None:
    _, front = write_repository(read_artifact(artifact("convnet", "onnx")), tmp_path)
    archive = front / "1/ptx.zip"
    with zipfile.ZipFile(archive) as opened:
        assert all(name.startswith("ptx/infer/") or name == "ptx/" for name in opened.namelist())
    code = (
        "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'Editable' not in str(f)]\n"
        "sys.path.insert(0, sys.argv[1]); sys.modules.pop('ptx', None)\n"
        "from ptx.infer import Manifest, Predictor; import ptx.infer; print(ptx.infer.__file__)"
    )
    assert str(archive) in child(code, archive).stdout


def test_a_folder_that_is_there_is_never_written_into(artifact: Export, tmp_path: Path) -> None:
    (tmp_path / "convnet_predict").mkdir()
    with pytest.raises(OutputError, match=r"convnet_predict' exists already") as caught:
        write_repository(read_artifact(artifact("convnet", "onnx")), tmp_path)
    assert caught.value.code == "E-OUT-EXISTS"
    assert [path.name for path in tmp_path.iterdir()] == ["convnet_predict"]


def test_a_disk_that_fills_leaves_no_folder(
    artifact: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ptx.export.triton import repository

    def full(path: Path, data: bytes) -> None:
        raise OutputError(f"{path} cannot be written: No space left on device", code="E-OUT-SPACE")

    monkeypatch.setattr(repository, "write_atomic", full)
    with pytest.raises(OutputError, match="No space left"):
        write_repository(read_artifact(artifact("convnet", "onnx")), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_but_whole_models_ever_stands_in_the_repository(
    artifact: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ptx.export.triton import repository

    seen = []

    def spy(path: Path, data: bytes) -> None:
        seen.append(sorted(entry.name for entry in (tmp_path / "repository").iterdir()))
        path.write_bytes(data)

    monkeypatch.setattr(repository, "write_atomic", spy)
    write_repository(read_artifact(artifact("linear-model", "onnx")), tmp_path / "repository")
    assert {tuple(names) for names in seen} == {(), ("linear-model",)}


def test_what_a_killed_export_left_is_swept_away(artifact: Export, tmp_path: Path) -> None:
    left = tmp_path / ".convnet.999999999-0123abcd.ptx-tmp"
    (left / "1").mkdir(parents=True)
    (left / "1/model.onnx").write_bytes(b"half")
    mine = tmp_path / f".convnet.{os.getpid()}-0123abcd.ptx-tmp"
    mine.mkdir()
    write_repository(read_artifact(artifact("linear-model", "onnx")), tmp_path / "repository")
    assert not left.exists()
    assert mine.exists()


def test_what_triton_cannot_serve_is_refused_by_name(artifact: Export, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="takes an ONNX file") as caught:
        write_repository(read_artifact(artifact("linear-model", "torchscript")), tmp_path)
    assert caught.value.code == "E-TRITON"
    path = artifact("linear-model", "onnx")
    with pytest.raises(UsageError, match="there is no device 'mps'"):
        write_repository(read_artifact(path), tmp_path, device="mps")
    data = bytearray(path.read_bytes())
    data[data.index(b"ptx.manifest") - 60] ^= 1
    with pytest.raises(ArtifactError, match="has changed"):
        write_repository(parse_artifact(bytes(data), path=path), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../convnet", "a/b", ".hidden"])
def test_a_manifest_does_not_say_where_is_written(
    artifact: Export, tmp_path: Path, name: str
) -> None:
    file = rewritten(artifact("linear-model", "onnx"), model=name)
    with pytest.raises(ArtifactError, match="cannot name a folder"):
        write_repository(file, tmp_path / "repository")
    assert list(tmp_path.iterdir()) == []
