"""What `ptx predict` takes to start and to hold, in libraries imported and bytes resident."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Child = Callable[..., Any]
Export = Callable[[str, str], Path]

RESIDENT = 150 * 2**20  # bytes
GROWTH = 6 * 2**20

LIBRARIES = "import numpy, PIL.Image, onnxruntime\n"
PREDICT = "from ptx.cli.main import _run\ncode = _run()\n"
LOADED = "import sys\nprint(*sys.modules)"


@pytest.fixture
def model(artifact: Export) -> Path:
    return artifact("convnet", "onnx")


def predict(child: Child, arguments: Path, model: Path, output: Path, after: str) -> Any:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
    return child(
        f"import os\n{PREDICT}{after}",
        *("predict", arguments, "--model", model, "--backend", "ort-cpu", "--output", output),
        env=environment,
    )


def test_predicting_one_image_imports_little(
    child: Child, model: Path, seven: Path, tmp_path: Path
) -> None:
    libraries = set(child(LIBRARIES + LOADED).stdout.split())
    done = predict(child, seven, model, tmp_path / "answers.jsonl", LOADED)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert {"ptx.infer.backends.ort.cpu", "onnxruntime"} <= loaded
    unneeded = {
        "importlib.metadata",
        "tqdm",
        "matplotlib",
        "torch",
        "onnx",
        "asyncio",
        "email",
        "concurrent.futures",
        "multiprocessing",
        "ptx.export",
        "ptx.trainers",
    }
    assert not unneeded & (loaded - libraries)


@pytest.mark.skipif(sys.platform != "linux", reason="bytes resident are read from /proc")
def test_memory_does_not_grow_with_the_number_of_files(
    child: Child, model: Path, seven: Path, tmp_path: Path
) -> None:
    held = []
    for count in (3000, 12_000):  # from the first on all batches are full
        folder = tmp_path / str(count)
        folder.mkdir()
        shutil.copy(seven.parent / "mnist-7.png", folder / "0.png")
        for number in range(1, count):
            (folder / f"{number}.png").hardlink_to(folder / "0.png")
        done = predict(
            child,
            folder,
            model,
            tmp_path / "answers.jsonl",
            "import resource\n"
            "lines = open('/proc/self/status').read().splitlines()\n"
            "own = next(line.split()[1] for line in lines if line.startswith('VmHWM'))\n"
            "readers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n"
            "print(code, 1024 * int(own), 1024 * readers)",
        )
        code, *sides = map(int, done.stdout.splitlines()[-1].split())
        assert f"{count:,} predictions" in done.stdout
        assert code == 0
        held.append(sides)
    (own, readers), (own_then, readers_then) = held
    assert readers > 0
    assert max(own_then, readers_then) < RESIDENT
    assert own_then - own < GROWTH
    assert readers_then - readers < GROWTH
