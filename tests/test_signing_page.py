"""docs/how-to/sign.md: its commands and its program are run, in their order."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "sign.md"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
def test_the_page_works_as_it_stands(
    ptx: Any,
    artifact: Callable[[str, str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("model_signing", reason="the extra sign is not installed")
    shutil.copy(artifact("linear-model", "onnx"), tmp_path / "convnet.onnx")
    monkeypatch.chdir(tmp_path)
    commands = []
    for language, text in BLOCK.findall(PAGE.read_text()):
        if language == "python":
            values: dict[str, Any] = {}
            exec(text, values)
            assert all(check.passed for check in values["checks"])
            continue
        for line in text.splitlines():
            program, *words = shlex.split(line)
            commands.append(program)
            if program == "ptx":
                done = ptx(*words)
                assert done.code == 0, done.err
            else:
                subprocess.run([program, *words], check=True, capture_output=True)
    assert commands.count("ptx") == 4
