"""`ptx export MODEL --checkpoint model.pth`: what is assumed, what is stated, and what real rows say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ptx.infer import read_artifact
from ptx.trainers import open_dataset

LABELS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


class Typed(nn.Module):
    """The softmax regression as a tutorial types it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(784, 10, bias=False)


def trained(scale: float) -> Typed:
    """For a moment, on digits whose white is `scale`."""
    data = open_dataset("bundled", default="mnist", cache=Path()).train
    pixels = torch.from_numpy(data.inputs["image"].reshape(-1, 784).astype(np.float32)) / 255 - 0.5
    targets = torch.from_numpy(data.targets)
    torch.manual_seed(0)
    network = Typed()
    optimizer = torch.optim.Adam(network.parameters(), 0.003)
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network.linear(pixels), targets)
        loss.backward()  # type: ignore[no-untyped-call]  # as torch declares it
        optimizer.step()
    network.linear.weight.data /= scale
    return network


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`centred.pth` was trained on pixels from −0.5 to 0.5, `centred-255.pth` from −127.5 to 127.5."""
    folder = tmp_path_factory.mktemp("states")
    torch.save(trained(1).state_dict(), folder / "centred.pth")
    torch.save({"state_dict": trained(255).state_dict()}, folder / "centred-255.pth")
    torch.save(Typed().state_dict(), folder / "untrained.pth")
    return folder


def run(ptx: Any, state: Path, workspace: Path, *options: object) -> Any:
    return ptx(
        "export",
        "softmax-regression",
        "--checkpoint",
        state,
        "--workspace",
        workspace,
        "--format",
        "torchscript",
        *options,
    )


def share(done: Any) -> float:
    """The percentage of the line."""
    assert done.code == 0, done.err
    assert " % accuracy on 2,000 test rows" in done.out
    return float(done.out.partition(" % accuracy")[0].rpartition("; ")[2])


def test_assumptions_are_printed_and_recorded_in_the_manifest(
    states: Path, tmp_path: Path, ptx: Any
) -> None:
    done = run(ptx, states / "untrained.pth", tmp_path)
    assert share(done) < 50
    assert "accuracy on 2,000 test rows: does the preprocessing match the training?" in done.out
    assert "layers are matched by their shapes: linear → layers.1" in done.err
    assert (
        "assumed preprocessing: pixels scaled to [0, 1]; if that is wrong, give --mean" in done.err
    )
    assert (
        "assumed labels: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, in this order; if that is wrong" in done.err
    )
    path = tmp_path / "softmax-regression" / "softmax-regression.torchscript"
    assert f"next: ptx inspect {path}" in done.out
    shown = ptx("inspect", path).out
    assert "preprocessing pixels scaled to [0, 1], labels 0, 1, 2" in shown
    manifest = read_artifact(path).require_manifest()
    # of each class, on paper, made up
    assert [len(sample.values) for sample in manifest.end_to_end] == [14]
    assert set(manifest.training["assumed"]) == {"preprocessing", "labels"}


def test_an_override_corrects_the_predictions(states: Path, tmp_path: Path, ptx: Any) -> None:
    state = states / "centred-255.pth"
    done = run(ptx, state, tmp_path, "--max-pixel", 255, "--mean", 127.5, "--std", 1)
    assert share(done) > 80
    assert "is the preprocessing" not in done.out
    assert "assumed preprocessing" not in done.err
    assert "the state dict is taken from 'state_dict'" in done.err
    assert share(run(ptx, states / "centred.pth", tmp_path, "--mean", 0.5, "--std", 1)) > 80


def test_rows_decide_what_nobody_states(states: Path, tmp_path: Path, ptx: Any) -> None:
    done = run(ptx, states / "centred.pth", tmp_path)
    assert share(done) > 80
    assert "labels of bundled-mnist, pixels scaled to [-1, 1]: " in done.err
    assert "2,000 test rows right; too close to decide between " in done.err
    assert "assumed preprocessing: pixels scaled to [-1, 1]; if that is wrong" in done.err
    assert "assumed labels" not in done.err
    shown = ptx("inspect", tmp_path / "softmax-regression" / "softmax-regression.torchscript").out
    assert "data bundled-mnist, preprocessing pixels scaled to [-1, 1], right " in shown
    done = run(ptx, states / "untrained.pth", tmp_path)
    assert "no known labels and preprocessing are clearly right" in done.err
    assert "give --mean and --std" in done.err


def test_labels_in_another_order_are_compared_by_name(
    states: Path, tmp_path: Path, ptx: Any
) -> None:
    state, centred = states / "centred.pth", ("--mean", 0.5, "--std", 1)
    done = run(ptx, state, tmp_path, *centred, "--labels", "9,8,7,6,5,4,3,2,1,0")
    assert share(done) < 20
    assert "assumed labels" not in done.err


def test_unknown_labels_are_accepted_without_an_evaluation(
    states: Path, tmp_path: Path, ptx: Any
) -> None:
    names = tmp_path / "labels.txt"
    names.write_text("\n".join(LABELS))
    done = run(ptx, states / "untrained.pth", tmp_path, "--labels", names)
    assert done.code == 0, done.err
    assert "test rows" not in done.out
    path = tmp_path / "softmax-regression" / "softmax-regression.torchscript"
    assert list(read_artifact(path).require_manifest().labels) == LABELS
    refused = run(ptx, states / "untrained.pth", tmp_path, "--labels", names, "--data", "bundled")
    assert refused.code == 2
    assert "--data bundled-mnist has the labels 0, 1" in refused.err


def test_a_model_spec_can_override_the_assumptions(states: Path, tmp_path: Path, ptx: Any) -> None:
    about = tmp_path / "about.toml"
    about.write_text(
        "preprocessing ="
        ' {kind = "gray-image", size = [28, 28], resize_mode = "mnist", mean = 0.5, std = 1.0}\n'
        f"labels = {list('0123456789')}\n"
    )
    done = run(ptx, states / "centred.pth", tmp_path, "--spec", about)
    assert share(done) > 80
    assert "assumed" not in done.err


def test_a_model_of_clothes_is_not_evaluated_on_digits(tmp_path: Path, ptx: Any) -> None:
    from ptx.models import build

    torch.save(build("neural-network").state_dict(), tmp_path / "model.pth")
    done = ptx(
        "export",
        "neural-network",
        "--checkpoint",
        tmp_path / "model.pth",
        "--workspace",
        tmp_path,
        "--format",
        "torchscript",
    )
    assert done.code == 0, done.err
    assert "accuracy on" not in done.out


@pytest.mark.parametrize(
    "options",
    [
        ("--labels", "a,b"),
        ("--mean", "0.5"),
        ("--std", "1"),
        ("--max-pixel", "255"),
        ("--spec", "{}"),
    ],
)
def test_overrides_of_a_checkpoint_of_ptx_are_refused(
    options: tuple[str, str], workspace: Path, tmp_path: Path, ptx: Any
) -> None:
    about = tmp_path / "about.toml"
    about.write_text('labels = ["a", "b"]')
    done = ptx(
        "export",
        "linear-model",
        *(word.replace("{}", str(about)) for word in options),
        "--workspace",
        workspace,
        "--output",
        tmp_path / "out.onnx",
    )
    assert done.code == 2
    assert "is a checkpoint of ptx, whose manifest has the preprocessing and labels" in done.err
    assert not (tmp_path / "out.onnx").exists()


def test_a_checkpoint_of_ptx_is_evaluated_on_the_named_data(
    workspace: Path, tmp_path: Path, ptx: Any
) -> None:
    arguments = ("export", "convnet", "--workspace", workspace, "--output", tmp_path / "out.onnx")
    assert "test rows" not in ptx(*arguments).out
    done = ptx(*arguments, "--data", "bundled")
    assert share(done) > 90


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--mean", "half"), 2, "'--mean': 'half' is not a number from"),
        (("--labels", "nowhere.txt"), 4, "no such file"),
        (("--labels", "a,,b"), 4, "label 2 is ''; expected text"),
        (("--mean", "0.5"), 2, "mean and std belong together"),
        (("--labels", "a,b", "--spec", "labels.toml"), 2, "labels are both in the --spec file"),
        (("--data", "nowhere.csv"), 4, "no such folder or file"),
    ],
)
def test_a_mistake_is_reported_in_one_line(
    options: tuple[str, ...],
    code: int,
    message: str,
    states: Path,
    tmp_path: Path,
    ptx: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("labels.toml").write_text('labels = ["a", "b"]')
    done = run(ptx, states / "untrained.pth", tmp_path, *options)
    assert done.code == code
    assert message in done.err
    assert done.err.count("ptx: error") == 1
