"""Backends, formats and kinds of preprocessing of installed packages, through entry points."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx.infer import ArtifactError, BackendError, UsageError, load, plugins, read_artifact
from ptx.infer.artifact.formats import FORMATS, PACKAGE_FORMATS
from ptx.infer.backends import PACKAGE_BACKENDS, backend_names, find_backend, preferred
from ptx.infer.preprocessing import PACKAGE_KINDS, open_preprocessing

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "extend-with-a-package.md"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
OF_THE_USER = ("tones.py", "tones.toml")

ENTRIES = """
from ptx.infer.artifact.formats import FileFormat
from ptx.infer.backends import BackendEntry

RUNTIME = "ptx.infer.backends.ort.cpu:import_onnxruntime"
NO_MODULE = BackendEntry("onnx", "no_such_module:Backend", RUNTIME, devices=("cpu",))
WRONG_NAME = BackendEntry("onnx", "shaky.backend:WrongName", RUNTIME, devices=("cpu",))
FAILS = BackendEntry("onnx", "shaky.backend:Fails", RUNTIME, devices=("cpu",), fork_safe=True)
NUMBER = 7
UNREADABLE = FileFormat("a shaky file", ".shaky", "shaky.no_such_container", exporter="shaky.no:X")
"""
BACKENDS = """
class WrongName:
    name, device = "another", "cpu"

    def __init__(self, artifact, options):
        pass

    def run(self, inputs):
        return {}

    def close(self):
        pass


class Fails(WrongName):
    name = "fails"

    def run(self, inputs):
        raise KeyError("no such kernel")
"""
ENTRY_POINTS = """
[ptx.backends]
no-module = shaky.entries:NO_MODULE
wrong-name = shaky.entries:WRONG_NAME
fails = shaky.entries:FAILS
number = shaky.entries:NUMBER
gone = shaky.entries:GONE
broken = shaky.broken:ENTRY
twice = shaky.entries:FAILS
ort-cpu = shaky.entries:FAILS
a/b = shaky.entries:FAILS

[ptx.formats]
unreadable = shaky.entries:UNREADABLE
broken = shaky.broken:ENTRY

[ptx.preprocessing]
number = shaky.entries:NUMBER
"""


def install(site: Path, name: str, entry_points: str, modules: dict[str, str]) -> None:
    """An installed distribution: its modules with its dist-info."""
    information = f"{name.replace('-', '_')}-1.0.dist-info"
    for path, content in {
        **modules,
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{information}/entry_points.txt": entry_points,
    }.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(content)


@pytest.fixture
def forget() -> Iterator[None]:
    """The entry points are read again, before and after; the modules of the packages are dropped."""
    plugins._entry_points.cache_clear()
    before = set(sys.modules)
    yield
    plugins._entry_points.cache_clear()
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {"shaky", "tones"} or name.startswith("sound_"):
            del sys.modules[name]


@pytest.fixture
def shaky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget: None) -> None:
    """Two packages in which nothing works."""
    modules = {
        "shaky/__init__.py": "",
        "shaky/entries.py": ENTRIES,
        "shaky/backend.py": BACKENDS,
        "shaky/broken.py": "raise RuntimeError('no such library')",
    }
    install(tmp_path / "site", "shaky", ENTRY_POINTS, modules)
    again = "[ptx.backends]\ntwice = shaky.entries:FAILS\n"
    install(tmp_path / "site", "shaky-again", again, {})
    monkeypatch.syspath_prepend(tmp_path / "site")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The package of the page, built and installed into a folder of its own, and the user's folder."""
    package, user = tmp_path_factory.mktemp("package"), tmp_path_factory.mktemp("user")
    for _, content in BLOCK.findall(PAGE.read_text()):
        if named := re.match(r"# ([\w.]+)\n", content):
            folder = user if named[1] in OF_THE_USER else package
            (folder / named[1]).write_text(content)
    site = package / "site"
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", site)
    subprocess.run([sys.executable, "-m", "pip", "install", *options, package], check=True)
    return site, user


@pytest.fixture
def user(built: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, forget: None) -> Path:
    """The folder of a user who has installed the package of the page."""
    site, folder = built
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
    return folder


def test_the_commands_of_the_page_work(
    user: Path, ptx: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tone = (np.sin(np.arange(9000) / 9) * 30000).astype("<i2")
    with wave.open("tone.wav", "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        file.writeframes(tone.tobytes())
    commands = [content for kind, content in BLOCK.findall(PAGE.read_text()) if kind == "sh"]
    outputs = {}
    for line in "".join(commands).splitlines():
        done = ptx(*shlex.split(line)[1:])
        assert done.code == 0, f"{line}: {done.err}"
        outputs[line.split()[1]] = done.out
    assert re.search(r"tone.wav: (low|high) \(\d", outputs["predict"])
    assert "tones.onnx.gz passes" in outputs["verify"]
    path = user / "runs" / "tones" / "tones.onnx.gz"
    manifest = read_artifact(path).require_manifest()
    assert manifest.preprocessing == {"kind": "wav", "rate": 8000, "package": "ptx-sound"}
    assert set(manifest.verification["backends"]) == {"gz-cpu"}

    with load(path) as predictor:  # `auto`
        assert predictor.backend.name == "gz-cpu"
        label = predictor.predict("tone.wav").label
        assert f"tone.wav: {label}" in outputs["predict"]
    for arguments, expected in (
        (("models",), r"tones +custom .*onnx-gz"),
        (("compare", "tones", "tone.wav", "--network", "tones:ToneNet"), "2 of 2 backends agree"),
        (("doctor",), r"(?s)gz-cpu +works.*format +onnx-gz +ptx-sound.*wav +ptx-sound"),
        (("predict", "--help"), "gz-cpu"),
        (("compare", "--help"), "gz-cpu"),
        (("export", "--help"), "onnx-gz"),
    ):
        done = ptx(*arguments)
        assert done.code == 0, done.err
        assert re.search(expected, done.out), done.out

    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != str(sys.path[0])])
    plugins._entry_points.cache_clear()
    checkpoint = user / "runs" / "tones" / "checkpoint.pt"
    refused = ptx("predict", "tone.wav", "--model", checkpoint)
    assert refused.code == 3
    assert "E-PLUGIN" in refused.err
    assert "'ptx-sound'" in refused.err
    assert ptx("inspect", checkpoint).code == 0
    assert ptx("predict", "tone.wav", "--model", path).code == 4  # of no format of ptx


def test_a_package_s_backend_is_chosen_only_for_a_package_s_format(user: Path) -> None:
    assert "gz-cpu" in backend_names()
    assert "gz-cpu" not in preferred()
    assert preferred(["onnx-gz"]) == ["gz-cpu"]
    assert "sound_backend" not in sys.modules


def test_the_preprocessing_of_another_package_is_refused(user: Path) -> None:
    from ptx.infer import Signature

    signature = Signature.from_data(
        {
            "inputs": {"sound": ["float32", ["batch", 8000]]},
            "outputs": {"logits": ["float32", ["batch", 2]]},
        }
    )
    settings = {"kind": "wav", "rate": 8000}
    assert open_preprocessing(settings, signature).plural == "recordings"
    with pytest.raises(BackendError, match=r"'other'.*not installed.*ptx-sound") as raised:
        open_preprocessing({**settings, "package": "other"}, signature)
    assert raised.value.code == "E-PLUGIN"
    with pytest.raises(ArtifactError) as unknown:
        open_preprocessing({"kind": "gray-image", "size": [28, 28], "package": "x"}, signature)
    assert unknown.value.code == "E-MANIFEST"


@pytest.mark.parametrize(
    ("name", "packages"),
    [
        ("no-module", "package shaky cannot"),
        ("wrong-name", "package shaky cannot"),
        ("number", "package shaky cannot"),
        ("gone", "package shaky cannot"),
        ("broken", "package shaky cannot"),
        ("twice", "package (shaky and shaky-again|shaky-again and shaky) cannot"),
        ("a/b", "package shaky cannot"),
        ("fails", "package shaky cannot.*no such kernel"),
    ],
)
def test_a_backend_that_cannot_be_used_names_its_package(
    shaky: None, artifact: Any, name: str, packages: str
) -> None:
    with pytest.raises(BackendError, match=packages) as raised:
        load(artifact("linear-model", "onnx"), backend=name).predict(2.0)
    assert raised.value.code == "E-PLUGIN"


def test_a_format_and_a_preprocessing_that_cannot_be_used_name_their_package(
    shaky: None, tmp_path: Path
) -> None:
    from ptx.export.formats import check_format

    for name in ("unreadable", "broken"):
        with pytest.raises(BackendError, match="package shaky") as raised:
            check_format(name)
        assert raised.value.code == "E-PLUGIN"
    with pytest.raises(BackendError, match="package shaky"):
        PACKAGE_KINDS.find("number")
    unknown = tmp_path / "unknown.bin"
    unknown.write_bytes(b"\x00\x01")
    with pytest.raises(ArtifactError, match="'broken' is skipped: shaky") as unread:
        read_artifact(unknown)
    assert unread.value.code == "E-ARTIFACT-FORMAT"
    assert "'unreadable' is skipped: the package shaky" in str(unread.value)


def test_broken_packages_affect_no_other_command(
    shaky: None, ptx: Any, artifact: Any, workspace: Path
) -> None:
    assert find_backend("ort-cpu").entry_point.startswith("ptx.")
    path = artifact("linear-model", "onnx")
    for arguments in (
        ("predict", "2.0", "--model", path),
        ("predict", "2.0", "--model", path, "--backend", "ort-cpu"),
        ("inspect", path),
        ("verify", path),
        ("predict", "--help"),
        ("models", "--workspace", workspace),
    ):
        done = ptx(*arguments)
        assert done.code == 0, done.err
    compared = ptx("compare", "linear-model", "--workspace", workspace)
    assert "fails: sample 1: the backend 'fails' of the package shaky" in compared.out
    assert "no-module is skipped: the package shaky cannot be used" in compared.err
    done = ptx("doctor")
    assert done.code == 0
    for told in (
        r"the backend 'broken' of a package is skipped: shaky: .*no such library",
        r"the backend 'ort-cpu' of a package is skipped: shaky: ptx has a backend of this name",
        r"the backend 'twice' of a package is skipped: shaky.* and shaky",
        r"the format 'broken' of a package is skipped: shaky",
        r"the preprocessing 'number' of a package is skipped: shaky",
        r"fails +no +the package shaky cannot be used: KeyError",
    ):
        assert re.search(told, done.out), f"{told}: {done.out}"
    assert re.search("ort-cpu +works", done.out)


def test_names_of_ptx_cost_no_look_at_the_packages(
    monkeypatch: pytest.MonkeyPatch, ptx: Any, artifact: Any, workspace: Path
) -> None:
    def look(group: str) -> Any:
        raise AssertionError("the packages were looked at")

    monkeypatch.setattr(plugins, "_entry_points", look)
    path = artifact("linear-model", "onnx")
    for arguments in (
        ("predict", "2.0", "--model", path),
        ("predict", "2.0", "--model", "linear-model", "--workspace", workspace),
        ("predict", "2.0", "--model", path, "--backend", "ort-cpu"),
        ("verify", path),
        ("inspect", path),
    ):
        done = ptx(*arguments)
        assert done.code == 0, done.err
    for group in (PACKAGE_BACKENDS, PACKAGE_FORMATS, PACKAGE_KINDS):
        with pytest.raises(AssertionError):
            group.find("unknown")
    with pytest.raises(AssertionError):
        find_backend("ort-cqu")


def test_an_unknown_name_is_refused_with_the_packages_names(user: Path) -> None:
    from ptx.export.formats import check_format

    with pytest.raises(UsageError, match="did you mean 'gz-cpu'"):
        find_backend("gz-cup")
    with pytest.raises(UsageError, match="did you mean 'onnx-gz'"):
        check_format("onnx-gs")
    assert "onnx-gz" not in FORMATS
