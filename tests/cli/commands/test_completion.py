"""Shell completion: the completed words, and a real bash that completes a model name."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import pytest

from ptx.cli import options
from ptx.cli.commands.compare import compare
from ptx.cli.commands.export import export
from ptx.cli.commands.predict import predict
from ptx.export import EXPORTERS
from ptx.infer.backends import BACKENDS
from ptx.models import CATALOG
from ptx.trainers import DATASETS

MAIN = "from ptx.cli import main; main()"


def complete(child: Any, *words: str) -> list[str]:
    """The completions that bash gets for the last of the words, as `type,value`."""
    environment = {
        **os.environ,
        "_PTX_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("ptx", *words)),
        "COMP_CWORD": str(len(words)),
    }
    code = (
        "import sys\nsys.argv = ['ptx']\nfrom ptx.cli.main import ptx\n"
        "try: ptx.main(prog_name='ptx')\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'onnxruntime', 'onnx', 'numpy', 'PIL.Image', 'matplotlib'}\n"
        "print(*sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = child(code, env=environment)
    assert done.stderr == "\n", "completion imports something heavy"
    lines: list[str] = done.stdout.splitlines()
    return lines


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("ev",), ["plain,evaluate"]),
        (("evaluate", "lin"), ["file,lin", "plain,linear-regression", "plain,linear-model"]),
        (("benchmark", "convnet", "--backends", "al"), ["plain,all"]),
        (("train", "conv"), ["plain,convnet"]),
        (("predict", "x.png", "--backend", "ort-"), ["plain,ort-cpu", "plain,ort-cuda"]),
        (("predict", "x.png", "--model", "ls"), ["file,ls", "plain,lstm"]),
        (("predict", "se"), ["file,se"]),
        (("compare", "convnet", "--backends", "eager,ort-cp"), ["plain,eager,ort-cpu"]),
        (("export", "convnet", "--format", "p"), ["plain,pt2"]),
        (("evaluate", "convnet", "--data", "bun"), ["file,bun", "plain,bundled"]),
        (("report", "convnet", "--works"), ["plain,--workspace"]),
        (("completion", "z"), ["plain,zsh"]),
    ],
)
def test_a_word_is_completed(child: Any, words: tuple[str, ...], expected: list[str]) -> None:
    assert complete(child, *words) == expected


def test_completions_are_the_existing_commands_and_options() -> None:
    assert offered(predict, "backend") == {"auto", *BACKENDS}
    assert offered(compare, "backends") == {"all", *BACKENDS}
    assert offered(export, "formats") == {*EXPORTERS, "all", "triton"}
    assert set(options.DATA) <= {"bundled", *DATASETS}


def offered(command: click.Command, name: str) -> set[str]:
    option = next(one for one in command.params if one.name == name)
    return {item.value for item in option.shell_complete(click.Context(command), "")}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_accepts_the_script(ptx: Any, shell: str) -> None:
    done = ptx("completion", shell)
    assert done.code == 0
    assert f"_PTX_COMPLETE={shell}_complete" in done.out
    if shutil.which(shell):
        checked = subprocess.run(
            [shell, "-n"], input=done.out, text=True, capture_output=True, check=False, timeout=15
        )
        assert (checked.returncode, checked.stderr) == (0, "")


def test_an_unknown_shell_is_wrong_usage(ptx: Any) -> None:
    done = ptx("completion", "csh")
    assert done.code == 2
    assert "'csh' is not one of" in done.err


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_a_real_bash_completes_a_model_when_tab_is_pressed(tmp_path: Path) -> None:
    (tmp_path / "ptx").write_text(f'#!/bin/sh\nexec {sys.executable} -c "{MAIN}" "$@"\n')
    (tmp_path / "ptx").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "TERM": "dumb", "HOME": str(tmp_path), "PS1": "$ "}
    terminal, other_end = pty.openpty()
    with subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        stdin=other_end,
        stdout=other_end,
        stderr=other_end,
        env=environment,
        cwd=tmp_path,
        start_new_session=True,
    ) as bash:
        try:
            os.write(terminal, b'eval "$(ptx completion bash)"; echo rea""dy\n')
            assert "ready" in read_until(terminal, "\nready")
            os.write(terminal, b"ptx evaluate name-cl\t")
            assert "name-classifier" in read_until(terminal, "name-classifier")
        finally:
            bash.kill()
            os.close(terminal)
            os.close(other_end)


def read_until(terminal: int, text: str) -> str:
    """What the terminal shows until `text` does, for at most 20 seconds."""
    shown = ""
    end = time.monotonic() + 20
    while text not in shown and time.monotonic() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            shown += os.read(terminal, 4096).decode("utf-8", "replace").replace("\r", "")
    return shown


def test_every_model_is_completed(child: Any) -> None:
    assert complete(child, "train", "") == [f"plain,{name}" for name in CATALOG]


def test_completing_a_command_imports_no_command(child: Any) -> None:
    done = child(
        "import sys, click\n"
        "from ptx.cli.main import ptx\n"
        "found = ptx.shell_complete(click.Context(ptx), 'tr')\n"
        "print([item.value for item in found], [m for m in sys.modules if 'cli.commands' in m])"
    )
    assert done.stdout.strip() == "['train'] []"
