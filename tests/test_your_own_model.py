"""docs/how-to/own-model.md and onnx-files.md: what they show is run, in its order."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

HOW_TO = Path(__file__).parents[1] / "docs" / "how-to"
PAGE = HOW_TO / "own-model.md"
ONNX_PAGE = HOW_TO / "onnx-files.md"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
FILE = re.compile(r"# ([\w.]+)( of the package)?\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with a photograph, on sys.path as a script's is."""
    pixels = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("flower_nets", "flower_catalog"):
        sys.modules.pop(name, None)


def export_without_ptx(path: Path) -> None:
    """Export the network of the page with PyTorch alone."""
    import torch

    network = getattr(__import__("flower_nets"), "FlowerNet")().eval()  # noqa: B009
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, 224, 224),),
            path,
            input_names=["image"],
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def save_state_dict(path: Path) -> None:
    import torch

    from ptx.models import build

    torch.save(build("convnet").state_dict(), path)


def run_page(page: Path, folder: Path, ptx: Any) -> list[str]:
    """Write the files of a page, run its programs and commands; the names of the commands."""
    done = []
    for kind, content in BLOCK.findall(page.read_text()):
        named = FILE.match(content)
        if named:
            (folder / named[1]).write_text(content)
        elif kind == "python":
            exec(compile(content, str(page), "exec"), {})
        elif kind == "sh":
            for line in content.splitlines():
                command = shlex.split(line)
                assert command[0] == "ptx"
                told = ptx(*command[1:])
                assert told.code == 0, f"{line}: {told.err}"
                done.append(command[1])
    return done


def test_the_page_about_networks_works(folder: Path, ptx: Any) -> None:
    save_state_dict(folder / "model.pth")
    commands = ["export", "predict", "verify", "inspect", "compare", "export"]
    assert run_page(PAGE, folder, ptx) == commands


def test_the_page_about_onnx_files_works(folder: Path, ptx: Any) -> None:
    _, network = next(iter(BLOCK.findall(PAGE.read_text())))
    (folder / "flower_nets.py").write_text(network)
    export_without_ptx(folder / "classifier.onnx")
    np.savez(folder / "inputs.npz", image=np.zeros((1, 3, 224, 224), np.float32))
    commands = ["inspect", "run", "predict", "compare", "export", "verify"]
    assert run_page(ONNX_PAGE, folder, ptx) == commands
    assert (folder / "outputs.npz").exists()


def test_the_entry_of_the_page_is_what_its_pyproject_names(folder: Path) -> None:
    from ptx.infer.preprocessing import open_preprocessing
    from ptx.infer.signature import Signature
    from ptx.models import ModelEntry

    blocks = {
        named[1]: content
        for _, content in BLOCK.findall(PAGE.read_text())
        if (named := FILE.match(content))
    }
    points = tomllib.loads(blocks["pyproject.toml"])["project"]["entry-points"]["ptx.models"]
    module, _, attribute = points["flower-net"].partition(":")
    scope: dict[str, Any] = {}
    exec(blocks[f"{module}.py"], scope)
    entry = scope[attribute]
    assert isinstance(entry, ModelEntry)
    open_preprocessing(entry.preprocessing, Signature.from_data(entry.signature))
    path, _, name = entry.network.partition(":")
    network = getattr(__import__(path, fromlist=[name]), name)(**entry.config)
    assert sum(parameter.numel() for parameter in network.parameters()) == entry.parameters
