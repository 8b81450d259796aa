"""Many predictions by one predictor: equal outputs, no growth; and predictors in worker processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

WARM_UP, COUNT = 1000, 4000  # predictions
MAX_GROWTH = 2.0  # MB, for the allocator's arenas

PROGRAM = """
import multiprocessing, sys
from pathlib import Path
from ptx.infer import load

def outputs_of(predictor, seed):
    sizes = {"batch": 1 + seed % 3, "time": 5 + seed % 4}
    outputs = predictor.run(predictor.signature.example(sizes, seed=seed))
    return b"".join(outputs[name].tobytes() for name in sorted(outputs))

def in_worker(path):
    with load(path, backend="ort-cpu") as predictor:
        return [outputs_of(predictor, seed) for seed in range(64)]

def resources():
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    memory = int(status["VmRSS"].split()[0]) / 1000
    return memory, int(status["Threads"]), len(list(Path("/proc/self/fd").iterdir()))

if __name__ == "__main__":
    path, warm_up, count, max_growth = sys.argv[1], *map(int, sys.argv[2:4]), float(sys.argv[4])
    with load(path, backend="ort-cpu") as predictor:
        expected = [outputs_of(predictor, seed) for seed in range(64)]
        for step in range(warm_up + count):
            if step == warm_up:
                before = resources()
            assert outputs_of(predictor, step % 64) == expected[step % 64], step
        after = resources()
    assert after[0] - before[0] < max_growth, (before, after)
    assert before[1:] == after[1:], (before, after)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(in_worker, [path] * 2) == [expected] * 2
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("model", ["convnet", "name-classifier"])
def test_many_predictions_are_equal_and_keep_no_memory_threads_or_files(
    artifact: Callable[[str, str], Path], model: str, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    arguments = map(str, (artifact(model, "onnx"), WARM_UP, COUNT, MAX_GROWTH))
    done = subprocess.run(
        [sys.executable, str(program), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
