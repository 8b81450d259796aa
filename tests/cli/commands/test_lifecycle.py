"""train, export, evaluate, compare, verify, inspect, models, doctor over one workspace."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ptx.models import build
from ptx.trainers.folder_lock import lock_folder


def test_training_leaves_checkpoint_metrics_and_plot(workspace: Path) -> None:
    folder = workspace / "convnet"
    assert (folder / "metrics.csv").read_text().count("\n") == 6
    assert (folder / "training.png").read_bytes().startswith(b"\x89PNG")
    assert not list(folder.glob(".*"))


def test_training_ends_with_a_summary_and_the_next_command(ptx: Any, tmp_path: Path) -> None:
    done = ptx("train", "linear-regression", "--workspace", tmp_path)
    assert "linear-regression trained on line: test loss 0.1" in done.out
    assert "next: ptx export linear-regression --format onnx" in done.out


def test_resume_continues_with_more_epochs(ptx: Any, tmp_path: Path) -> None:
    ptx("train", "linear-model", "--epochs", 40, "--workspace", tmp_path / "a")
    ptx("train", "linear-model", "--epochs", 100, "--resume", "--workspace", tmp_path / "a")
    ptx("train", "linear-model", "--epochs", 100, "--workspace", tmp_path / "b")
    answers = [
        ptx("predict", "4.0", "--model", "linear-model", "--workspace", tmp_path / name).out
        for name in "ab"
    ]
    assert answers[0] == answers[1]


def test_training_again_keeps_the_previous_checkpoint(ptx: Any, tmp_path: Path) -> None:
    options = ("--workspace", tmp_path)
    assert "former" not in ptx("train", "logistic-regression", "--epochs", 2, *options).err
    done = ptx("train", "logistic-regression", "--epochs", 1, *options)
    backup = tmp_path / "logistic-regression" / "checkpoint.previous.pt"
    assert "ptx: the previous checkpoint of 2 epochs, test accuracy " in done.err
    assert f" %, is kept as {backup}\n" in done.err
    done = ptx("train", "logistic-regression", "--epochs", 1, *options)
    assert "of 1 epoch, test accuracy" in done.err
    assert "replacing the one before it" in done.err


def test_resuming_a_finished_run_trains_nothing(ptx: Any, tmp_path: Path) -> None:
    options = ("--epochs", 1, "--workspace", tmp_path)
    ptx("train", "linear-model", *options)
    done = ptx("train", "linear-model", "--resume", *options)
    assert done.code == 0
    assert "linear-model already has all of its 1 epoch, so nothing was trained" in done.out


def test_resume_without_a_checkpoint_is_exit_4(ptx: Any, tmp_path: Path) -> None:
    done = ptx("train", "linear-model", "--resume", "--workspace", tmp_path)
    assert done.code == 4
    assert "no checkpoint to resume" in done.err


def test_a_second_training_in_the_same_folder_is_refused(ptx: Any, tmp_path: Path) -> None:
    ptx("train", "linear-model", "--epochs", 40, "--workspace", tmp_path)
    folder = tmp_path / "linear-model"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with lock_folder(folder, "training"):
        for more in (["--epochs", 2], ["--epochs", 50, "--resume"]):
            done = ptx("train", "linear-model", *more, "--workspace", tmp_path)
            assert done.code == 5
            assert "[E-BUSY]" in done.err
            assert "another --workspace" in done.err
        assert ptx("train", "linear-regression", "--workspace", tmp_path).code == 0
        exported = ptx("export", "linear-model", "--format", "pt2", "--workspace", tmp_path)
        assert exported.code == 0
    (folder / "linear-model.pt2").unlink()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_own_images_have_their_own_labels(ptx: Any, tmp_path: Path) -> None:
    pictures = Path(__file__).parents[2] / "pictures"
    for label, name in (("seven", "mnist-7.png"), ("paper", "seven-on-paper.png")):
        (tmp_path / "own" / label).mkdir(parents=True)
        for copy in range(5):
            shutil.copy(pictures / name, tmp_path / "own" / label / f"{copy}.png")
    done = ptx(
        "train", "basic-cnn", "--epochs", 2, "--data", tmp_path / "own", "--workspace", tmp_path
    )
    assert done.code == 0, done.err
    assert ptx("export", "basic-cnn", "--workspace", tmp_path).code == 0
    picture = pictures / "mnist-7.png"
    done = ptx("predict", picture, "--model", "basic-cnn", "--json", "--workspace", tmp_path)
    assert {item["label"] for item in json.loads(done.out)["top"]} == {"seven", "paper"}


def test_evaluate_prints_accuracy_and_confusion_matrix(ptx: Any, workspace: Path) -> None:
    done = ptx("evaluate", "convnet", "--json", "--workspace", workspace)
    found = json.loads(done.out)
    assert found["rows"] == 2000
    assert found["accuracy"] > 0.93
    assert sum(map(sum, found["confusion"])) == 2000
    text = ptx("evaluate", "convnet", "--workspace", workspace).out
    assert "true labels in rows" in text
    assert all(len(line) <= 80 for line in text.splitlines()[:-2])


def test_compare_on_the_test_data_finds_that_all_backends_agree(ptx: Any, workspace: Path) -> None:
    done = ptx("compare", "convnet", "--json", "--workspace", workspace)
    found = json.loads(done.out)
    assert done.code == 0
    assert found["rows"] == 2000
    assert [r["backend"] for r in found["backends"]][:4] == [
        "eager",
        "torchscript",
        "pt2",
        "ort-cpu",
    ]
    assert all(r["differ"] == 0 and 0 < r["error"] <= found["tolerance"] for r in found["backends"])


def test_compare_prints_why_a_backend_is_skipped(ptx: Any, workspace: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    done = ptx("compare", "linear-model", "--workspace", workspace)
    assert done.err.count("\n") == 2  # the data, and the one that is left out; a page is not missed
    assert "ort-cuda is skipped: there is no NVIDIA driver" in done.err
    assert "use --backend ort-cpu or --backend auto" not in done.err
    assert "5 of 5 backends agree" in done.out


def test_compare_prints_that_the_javascript_engine_is_missing(
    ptx: Any, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = shutil.copytree(workspace, tmp_path / "copy")
    done = ptx("export", "linear-model", "--format", "html", "--workspace", root)
    assert done.code == 0, done.err
    monkeypatch.setitem(sys.modules, "py_mini_racer", None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    done = ptx("compare", "linear-model", "--workspace", root)
    assert "javascript is skipped: neither mini-racer nor Node.js is installed" in done.err


def test_compare_accepts_inputs(ptx: Any, workspace: Path, seven: Path) -> None:
    done = ptx("compare", "convnet", seven, "--backends", "ort-cpu,eager", "--workspace", workspace)
    assert done.code == 0, done.err
    assert done.out.startswith("1 input, against eager float64\n")


def test_compare_refuses_an_artifact_of_other_weights(
    ptx: Any, workspace: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(workspace, tmp_path / "copy")
    ptx("train", "linear-model", "--seed", 1, "--workspace", root)
    done = ptx("compare", "linear-model", "--workspace", root)
    assert done.code == 4
    assert "was not exported from the weights of the checkpoint" in done.err


def test_verify_replays_the_samples(ptx: Any, workspace: Path) -> None:
    for suffix in ("onnx", "torchscript", "pt2"):
        path = workspace / "convnet" / f"convnet.{suffix}"
        done = ptx("verify", path, "--workspace", workspace)
        assert done.code == 0, done.err
        assert "sample 1, logits" in done.out


def test_verify_lists_the_failed_checks(ptx: Any, workspace: Path, tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    data = (workspace / "convnet" / "convnet.onnx").read_bytes()
    model = onnx.load_from_string(data)
    (weight,) = [
        item
        for item in model.graph.initializer
        if list(item.dims) == [10] and "classifier" in item.name
    ]
    at = data.index(weight.raw_data) + 3  # the exponent of its first number
    assert numpy_helper.to_array(weight).flat[0] != 0
    path = tmp_path / "flipped.onnx"
    path.write_bytes(data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :])
    done = ptx("verify", path)
    assert done.code == 1
    lines = {line.split("  ")[0].strip(): line for line in done.out.splitlines()}
    assert "FAILS" in lines["content digest"]
    assert "FAILS" in lines["sample 1, logits"]
    refused = ptx("predict", "x.png", "--model", path)
    assert refused.code == 4
    assert "[E-HASH]" in refused.err


def test_inspect_shows_the_manifest(ptx: Any, workspace: Path) -> None:
    path = workspace / "convnet" / "convnet.onnx"
    text = ptx("inspect", path).out
    for expected in ("ai.onnx 21", "(batch, 1, 28, 28)", "bundled-mnist", "golden samples: 3"):
        assert expected in text
    manifest = json.loads(ptx("inspect", path, "--json").out)
    assert manifest["content_digest"] == "valid"
    assert manifest["manifest"]["labels"] == list("0123456789")


def test_models_lists_trained_and_exported_models(ptx: Any, workspace: Path) -> None:
    done = ptx("models", "--workspace", workspace)
    (line,) = [line for line in done.out.splitlines() if line.startswith("convnet ")]
    assert line.split() == [
        *("convnet", "classification", "21,840", "yes", "onnx", "torchscript", "pt2")
    ]
    assert "20 models, 2 trained" in done.out
    lines = [line for line in done.out.splitlines() if not line.startswith("next: ")]
    assert all(len(line) <= 80 for line in lines)


def test_models_describes_one_model(ptx: Any, tmp_path: Path) -> None:
    text = ptx("models", "lstm", "--workspace", tmp_path).out
    assert "input:      sequence: float32 (time, batch, 28)" in text
    assert "recipe:     default: loss cross-entropy, optimizer sgd, lr 0.01" in text
    assert "files:      none" in text


def test_a_bare_state_dict_is_exported_with_the_models_name(ptx: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(build("mlp").state_dict(), tmp_path / "model.pth")
    done = ptx("export", "mlp", "--checkpoint", tmp_path / "model.pth", "--workspace", tmp_path)
    assert done.code == 0, done.err
    assert (tmp_path / "mlp" / "mlp.onnx").exists()


def test_a_damaged_checkpoint_is_exit_4(ptx: Any, workspace: Path, tmp_path: Path) -> None:
    data = (workspace / "convnet" / "checkpoint.pt").read_bytes()
    for content in (data[: len(data) // 2], b"", b"text", data[:-10] + b"0123456789"):
        path = tmp_path / "damaged.pt"
        path.write_bytes(content)
        done = ptx("export", "convnet", "--checkpoint", path, "--workspace", tmp_path)
        assert done.code == 4
        assert done.err.count("\n") == 1


def test_a_file_at_the_path_of_the_workspace_is_exit_5(ptx: Any, tmp_path: Path) -> None:
    (tmp_path / "linear-model").write_text("in the way")
    done = ptx("train", "linear-model", "--workspace", tmp_path)
    assert done.code == 5
    assert done.err.count("ptx: error") == 1


def test_doctor_opens_every_backend(ptx: Any) -> None:
    done = ptx("doctor", "--json")
    found = {item["backend"]: item for item in map(json.loads, done.out.splitlines())}
    assert all(found[name]["works"] for name in ("eager", "torchscript", "pt2", "ort-cpu"))
    if not torch.cuda.is_available():
        assert "driver" in found["ort-cuda"]["detail"]


def test_doctor_finds_a_backend_with_wrong_outputs(
    ptx: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ptx.report.probe.EXPECTED", 9.5)
    done = ptx("doctor", "--json")
    assert not any(json.loads(line)["works"] for line in done.out.splitlines())
    assert "next: ptx predict" in ptx("doctor").out  # no training without PyTorch


def test_evaluate_of_an_own_network_needs_data(ptx: Any, tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text("".join(f"{x},{2 * x}\n" for x in range(10)))
    options = ("--workspace", tmp_path)
    assert ptx("train", "linear-model", "--lr", 0.001, "--data", own, *options).code == 0
    done = ptx("evaluate", "linear-model", *options)
    assert done.code == 2
    assert "give it as --data" in done.err
    assert ptx("evaluate", "linear-model", "--data", own, *options).code == 0


def test_an_output_named_like_another_format_is_refused(ptx: Any, workspace: Path) -> None:
    done = ptx("export", "linear-model", "--output", "x.pt2", "--workspace", workspace)
    assert done.code == 2
    assert "use --format pt2" in done.err


def test_an_unknown_format_suggests_the_nearest(ptx: Any, workspace: Path) -> None:
    done = ptx("export", "linear-model", "--format", "onyx", "--workspace", workspace)
    assert done.code == 2
    assert "did you mean 'onnx'" in done.err


def test_inspect_keeps_its_values_in_one_column(ptx: Any, workspace: Path) -> None:
    lines = ptx("inspect", workspace / "convnet" / "convnet.onnx").out.splitlines()[:-1]
    at = lines[0].index("/") if "/" in lines[0] else len("golden samples: ")
    assert all(line[at - 2 : at] in (": ", "  ") and line[at] != " " for line in lines)
    assert any(line.startswith("verification:") and "ort-cpu, logits" in line for line in lines)


def test_models_suggests_the_next_command(ptx: Any, workspace: Path, tmp_path: Path) -> None:
    def following(*arguments: str, root: Path) -> str:
        out: str = ptx("models", *arguments, "--workspace", root).out
        return out.splitlines()[-1].partition(" --workspace")[0]

    assert following(root=workspace) == "next: ptx report convnet"
    assert following("linear-model", root=workspace) == "next: ptx report linear-model"
    assert following(root=tmp_path) == "next: ptx train convnet"
    assert following("mlp", root=tmp_path) == "next: ptx train mlp"
    (tmp_path / "mlp").mkdir()
    shutil.copy(workspace / "convnet" / "checkpoint.pt", tmp_path / "mlp")
    assert following(root=tmp_path) == "next: ptx export mlp --format onnx"


def test_verify_loads_a_checkpoint(ptx: Any, workspace: Path) -> None:
    done = ptx("verify", workspace / "linear-model" / "checkpoint.pt")
    assert done.code == 0, done.out
    assert "eager opens it" in done.out


def test_resume_with_other_data_names_both(ptx: Any, tmp_path: Path) -> None:
    options = ("--epochs", 2, "--workspace", tmp_path)
    ptx("train", "linear-model", *options)
    done = ptx("train", "linear-model", "--data", "line", "--resume", *options)
    assert done.code == 4
    assert "data three-points" in done.err
    assert "has line" in done.err


def test_an_export_into_a_path_below_a_file_is_exit_5(
    ptx: Any, workspace: Path, tmp_path: Path
) -> None:
    (tmp_path / "linear-model").write_text("in the way")
    checkpoint = workspace / "linear-model" / "checkpoint.pt"
    done = ptx("export", "linear-model", "--checkpoint", checkpoint, "--workspace", tmp_path)
    assert done.code == 5
    assert "[E-OUT-PARENT]" in done.err


def test_training_again_lists_the_outdated_exports(ptx: Any, artifact: Any, tmp_path: Path) -> None:
    folder = tmp_path / "logistic-regression"
    folder.mkdir()
    shutil.copy(artifact("logistic-regression", "onnx"), folder / "logistic-regression.onnx")
    done = ptx("train", "logistic-regression", "--epochs", 1, "--workspace", tmp_path)
    note = "logistic-regression.onnx has the weights of the previous training: export it again"
    assert note in done.err
    assert ptx("export", "logistic-regression", "--workspace", tmp_path).code == 0
    done = ptx("train", "logistic-regression", "--epochs", 1, "--resume", "--workspace", tmp_path)
    assert "still has the weights" not in done.err
