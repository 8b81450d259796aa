"""`ptx export my_module:build_net`: from a module in the current folder to a prediction."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ptx.infer import read_artifact

MODULE = """
import torch
from torch import nn

NUMBER = 7


def build_net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1),
                         nn.Flatten(), nn.Linear(4, 2))


def fails():
    raise ValueError("no weights at hand")


FlowerNet = build_net
READY = build_net()
"""
DESCRIPTION = """
name = "flowers"
task = "classification"
labels = ["daisy", "rose"]

[inputs]
image = ["float32", ["batch", 3, 8, 8]]

[outputs]
logits = ["float32", ["batch", 2]]

[preprocessing]
kind = "rgb-image"
resize = 10
size = [8, 8]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder of somebody's project: a module, weights, a description, a photograph."""
    (tmp_path / "flower_nets.py").write_text(MODULE)
    (tmp_path / "net.toml").write_text(DESCRIPTION)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("flower_nets", None)


def weights(path: Path) -> dict[str, Any]:
    torch.manual_seed(9)
    scope: dict[str, Any] = {}
    exec(MODULE, scope)
    network = scope["build_net"]()
    network[1].num_batches_tracked += 3
    torch.save(network.state_dict(), path)
    state: dict[str, Any] = network.state_dict()
    return state


def test_an_own_network_works_in_every_command(project: Path, ptx: Any) -> None:
    from ptx.models.checkpoint import weights_digest

    state = weights(project / "weights.pth")
    done = ptx(
        "export",
        "flower_nets:build_net",
        "--checkpoint",
        "weights.pth",
        "--spec",
        "net.toml",
        "--format",
        "all",
    )
    assert done.code == 0, done.err
    assert "next: ptx compare flowers --network flower_nets:build_net" in done.out
    names = {"checkpoint.pt", "flowers.onnx", "flowers.torchscript", "flowers.pt2"}
    assert {path.name for path in (project / "runs" / "flowers").iterdir()} == names
    manifest = read_artifact(project / "runs" / "flowers" / "flowers.onnx").require_manifest()
    assert manifest.weights_sha256 == weights_digest(state)
    for verb, expected in (
        (("predict", "photo.jpg", "--model", "flowers"), "photo.jpg: "),
        (("verify", "flowers"), "passes 10 checks"),
        (("inspect", "flowers"), "task: classification"),
        (("models",), "flowers custom"),
        (("compare", "flowers", "--network", "flower_nets:build_net"), "5 of 5 backends agree"),
        (("compare", "flowers", "photo.jpg", "--network", "flower_nets:build_net"), "1 input,"),
        (
            ("compare", "flowers", "--network", "flower_nets:build_net", "--backends", "eager"),
            "next: ptx report flowers --network flower_nets:build_net",
        ),
        (
            ("verify", "flowers", "--backend", "eager", "--network", "flower_nets:build_net"),
            "passes 2 checks",
        ),
        (("benchmark", "flowers", "--batch", 1, "--seconds", 0.001), "ort-cpu"),
    ):
        result = ptx(*verb)
        assert result.code == 0, result.err
        assert expected in " ".join(result.out.split())


def test_the_installed_command_finds_a_module_in_the_current_folder(project: Path) -> None:
    command = [
        str(Path(sys.executable).with_name("ptx")),
        "export",
        "flower_nets:READY",
        "--spec",
        "net.toml",
        "--format",
        "torchscript",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_names_of_the_catalog_and_of_workspace_folders_are_refused(project: Path, ptx: Any) -> None:
    for name in ("convnet", "exported", "data"):
        (project / "net.toml").write_text(DESCRIPTION.replace("flowers", name))
        done = ptx("export", "flower_nets:build_net", "--spec", "net.toml")
        assert done.code == 2
        assert f"{name!r} is the name of" in done.err
    assert not (project / "runs").exists()


@pytest.mark.parametrize(
    ("made_by", "name"), [("build_net", "build-net"), ("FlowerNet", "flower-net")]
)
def test_the_default_name_is_that_of_the_function_or_class(
    project: Path, ptx: Any, made_by: str, name: str
) -> None:
    (project / "net.toml").write_text(DESCRIPTION.replace('name = "flowers"', ""))
    options = ("--spec", "net.toml", "--format", "torchscript")
    assert ptx("export", f"flower_nets:{made_by}", *options).code == 0
    assert (project / "runs" / name / f"{name}.torchscript").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("flower_nets:build_net",), 2, "needs --spec FILE"),
        (("flower_nets:build_nets", "--spec", "net.toml"), 2, "did you mean 'build_net'"),
        (("flower_net:build_net", "--spec", "net.toml"), 2, "there is no module 'flower_net'"),
        (
            ("flower_nets:NUMBER", "--spec", "net.toml"),
            2,
            "expected a torch.nn.Module or a function",
        ),
        (("flower_nets:torch.zeros", "--spec", "net.toml"), 2, "torch.zeros() fails: TypeErr"),
        (("flower_nets:fails", "--spec", "net.toml"), 2, "fails: ValueError: no weights"),
        (("broken:build_net", "--spec", "net.toml"), 2, "cannot import broken: ZeroDivision"),
        (("leaves:build_net", "--spec", "net.toml"), 2, "cannot import leaves: SystemExit"),
        (("needs:build_net", "--spec", "net.toml"), 2, "cannot import needs: ModuleNotFoundError"),
        (("flower_nets:build_net", "--spec", "nowhere.toml"), 4, "no such file"),
        (("flower_nets:build_net", "--spec", "photo.jpg"), 4, "neither TOML nor"),
        (
            ("flower_nets:build_net", "--spec", "net.toml", "--checkpoint", "photo.jpg"),
            4,
            "is a JPEG image",
        ),
        (
            ("flower_nets:build_net", "--spec", "net.toml", "--checkpoint", "other.pth"),
            4,
            "0.weight is missing",
        ),
        (
            ("flower_nets:build_net", "--spec", "net.toml", "--max-pixel", "255"),
            2,
            "--max-pixel cannot be used with a network of your own",
        ),
        (
            ("convnet", "--spec", "net.toml", "--checkpoint", "other.pth"),
            2,
            "name differs from that of the catalog's convnet",
        ),
    ],
)
def test_a_mistake_is_reported_in_one_line_and_writes_nothing(
    project: Path, ptx: Any, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (project / "broken.py").write_text("1 / 0")
    (project / "leaves.py").write_text("raise SystemExit(0)")
    (project / "needs.py").write_text("import no_such_library")
    torch.save({"a": torch.zeros(1)}, project / "other.pth")
    done = ptx("export", *arguments)
    assert (done.code, message in done.err) == (code, True), done.err
    assert done.err.count("\n") == 1
    assert not (project / "runs").exists()


def test_compare_without_the_network_suggests_the_option(project: Path, ptx: Any) -> None:
    options = ("--spec", "net.toml", "--format", "torchscript")
    assert ptx("export", "flower_nets:build_net", *options).code == 0
    done = ptx("compare", "flowers")
    assert done.code == 4
    assert "--network my_module:build_net" in done.err
    assert ptx("evaluate", "flowers").code == 2
    assert ptx("train", "flowers").code == 2
    missing = ptx("predict", "photo.jpg", "--model", "flowers", "--backend", "ort-cpu")
    assert missing.code == 4
    assert "`ptx export my_module:build_net --spec FILE --format onnx`" in missing.err


def test_a_checkpoint_from_another_program_runs_no_code(project: Path, ptx: Any) -> None:
    """A manifest that says module:function as its model is a name like any other."""
    from dataclasses import replace

    from ptx.infer.artifact import zip_archive
    from ptx.models import checkpoint as checkpoints

    (project / "marks.py").write_text("open('marker', 'w').close()\nbuild_net = None")
    options = ("--spec", "net.toml", "--format", "torchscript")
    assert ptx("export", "flower_nets:build_net", *options).code == 0
    path = project / "runs" / "flowers" / "checkpoint.pt"
    artifact = read_artifact(path)
    manifest = replace(artifact.require_manifest(), model="marks:build_net")
    content = checkpoints.dumps(checkpoints.loads(artifact.data))
    path.write_bytes(zip_archive.embed_manifest(content, manifest.to_json()))
    for verb in (("predict", "photo.jpg", "--model", path), ("verify", path), ("export", path)):
        assert ptx(*verb).code != 0
    assert not (project / "marker").exists()


def test_a_folder_of_class_folders_can_be_its_data(project: Path, ptx: Any) -> None:
    """A network that tells red from blue by their means, on photographs whose labels are known."""
    (project / "colours.py").write_text(
        "import torch\n"
        "class Redder(torch.nn.Module):\n"
        "    def forward(self, image):\n"
        "        means = image.mean(dim=(2, 3))\n"
        "        return means[:, [0, 2]] * 9\n"
    )
    text = DESCRIPTION.replace('"daisy", "rose"', '"red", "blue"')
    (project / "net.toml").write_text(text)
    for label, colour in (("red", (200, 9, 9)), ("blue", (9, 9, 200))):
        (project / "photos" / label).mkdir(parents=True)
        for index in range(5):
            width = 20 + index  # photographs of several sizes
            Image.new("RGB", (width, 30), colour).save(project / "photos" / label / f"{index}.png")
    options = ("--spec", "net.toml", "--format", "torchscript")
    assert ptx("export", "colours:Redder", *options).code == 0
    sys.modules.pop("colours")
    done = ptx("evaluate", "flowers", "--data", "photos")
    assert done.code == 0, done.err
    assert "accuracy 100.00 % of 2 rows" in done.out
    turned = text.replace('"red", "blue"', '"blue", "red"').replace("flowers", "turned")
    (project / "net.toml").write_text(turned)
    assert ptx("export", "colours:Redder", *options).code == 0
    assert "accuracy 0.00 % of 2 rows" in ptx("evaluate", "turned", "--data", "photos").out
    compared = ptx("compare", "turned", "--data", "photos", "--network", "colours:Redder")
    assert compared.code == 0, compared.err
    assert "2 inputs" in compared.out
    sys.modules.pop("colours")
    assert "give --data, a folder of class folders" in ptx("evaluate", "turned").err
