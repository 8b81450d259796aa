"""Install the built distribution into new environments and use it: `smoke_test.py dist`.

The wheel with the extra `cpu` must predict; the source distribution with `train,cpu` must train and
export. Runs on Linux, macOS and Windows with the standard library only. Exit code 1 if a step fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path


def main() -> None:
    """Train and export with the source distribution, predict with the wheel."""
    (wheel,) = Path(sys.argv[1]).glob("*.whl")
    (source,) = Path(sys.argv[1]).glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trains = install(source.resolve(), "train,cpu", folder / "train")
        ptx(trains, folder, "train", "linear-model", "--epochs", "20")
        ptx(trains, folder, "export", "linear-model", "--format", "onnx")
        ptx(trains, folder, "compare", "linear-model")
        predicts = install(wheel.resolve(), "cpu", folder / "predict")
        model = "runs/linear-model/linear-model.onnx"
        ptx(predicts, folder, "verify", model)
        ptx(predicts, folder, "predict", "4.0", "--model", model)


def install(distribution: Path, extras: str, folder: Path) -> Path:
    """A new environment with the distribution; its Python."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run(python, "-m", "pip", "install", "--quiet", f"{distribution}[{extras}]")
    return python


def ptx(python: Path, folder: Path, *arguments: str) -> None:
    """The command line in that folder."""
    run(python, "-m", "ptx", *arguments, cwd=folder)


def run(*command: str | Path, cwd: Path | None = None) -> None:
    """A program that must end with exit code 0."""
    print("$", *map(str, command), flush=True)
    subprocess.run(list(map(str, command)), cwd=cwd, check=True)


if __name__ == "__main__":
    main()
