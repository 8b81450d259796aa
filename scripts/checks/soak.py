"""One predictor under many threads, in forked and spawned workers, and for very many predictions.

Every answer must have the bytes that one thread gave, nothing may hang, and memory, threads and open
files must not grow after a warm-up. Exit code 1 where one of these does not hold.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ptx.infer import BackendError, Predictor, load
from ptx.infer.backends import BACKENDS

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
INPUTS = 64  # different ones, which are asked for again and again
WORKERS = 4
WARM_UP = 2000  # predictions, after which memory must not grow
GROWTH = 5.0  # MB that may be added all the same: the allocator's arenas
PATIENCE = 60  # seconds that a worker may take


class Questions:
    """A fixed series of inputs and the bytes of their answers."""

    def __init__(self, predictor: Predictor) -> None:
        self.inputs = [
            predictor.signature.example({"batch": 1 + seed % 3, "time": 5 + seed % 4}, seed=seed)
            for seed in range(INPUTS)
        ]

    def answer(self, predictor: Predictor, number: int) -> bytes:
        """All outputs for one of the inputs, as bytes."""
        outputs = predictor.run(self.inputs[number % INPUTS])
        return b"".join(outputs[name].tobytes() for name in sorted(outputs))

    def answers(self, predictor: Predictor) -> list[bytes]:
        """The answers to all inputs, in their order."""
        return [self.answer(predictor, number) for number in range(INPUTS)]


def under_threads(predictor: Predictor, threads: int, count: int) -> tuple[str, bool]:
    """Many threads ask one predictor, each in an order of its own."""
    questions = Questions(predictor)
    expected = questions.answers(predictor)

    def ask(thread: int) -> int:
        steps = range(thread, thread + count // threads)
        return sum(
            questions.answer(predictor, 7 * step) != expected[7 * step % INPUTS] for step in steps
        )

    with ThreadPoolExecutor(threads) as pool:
        wrong = sum(pool.map(ask, range(threads)))
    asked = count // threads * threads
    return f"{threads} threads: {asked:,} predictions, {wrong} with other bytes", wrong == 0


def for_long(predictor: Predictor, count: int) -> tuple[str, bool]:
    """Memory, threads and open files after a warm-up and at the end."""
    questions = Questions(predictor)
    expected = questions.answers(predictor)
    wrong = sum(
        questions.answer(predictor, number) != expected[number % INPUTS]
        for number in range(WARM_UP)
    )
    before = resources()
    for number in range(count):
        wrong += questions.answer(predictor, number) != expected[number % INPUTS]
    after = resources()
    grown = after[0] - before[0]
    text = (
        f"{count:,} predictions: {wrong} with other bytes, memory {before[0]:.1f} MB + {grown:.2f} MB,"
        f" threads {before[1]} and {after[1]}, open files {before[2]} and {after[2]}"
    )
    return text, wrong == 0 and grown < GROWTH and before[1:] == after[1:]


def resources() -> tuple[float, int, int]:
    """Resident memory in MB, threads and open files; what /proc tells, where there is one."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0, threading.active_count(), 0
    facts = dict(line.split(":", 1) for line in status.read_text().splitlines())
    resident = int(facts["VmRSS"].split()[0]) / 1000
    return resident, int(facts["Threads"]), len(list(Path("/proc/self/fd").iterdir()))


def after_fork(predictor: Predictor) -> tuple[str, bool]:
    """Children that inherit the predictor get the same answers, or the error that says why not."""
    expected = Questions(predictor).answers(predictor)
    outcomes = [_forked(predictor, expected) for _ in range(WORKERS)]
    right = 0 if BACKENDS[predictor.backend.name].survives_fork else _REFUSED
    text = {0: "the same bytes", _REFUSED: "E-FORK"}[right]
    count = outcomes.count(right)
    return f"fork after use: {count} of {WORKERS} children end well, with {text}", count == WORKERS


_REFUSED = 3


def _forked(predictor: Predictor, expected: Sequence[bytes]) -> int:
    """The exit status of a child: 0, 3 where the predictor refuses, or something else."""
    child = os.fork()
    if child == 0:
        import signal

        signal.alarm(PATIENCE)
        status = 1
        try:
            status = int(Questions(predictor).answers(predictor) != expected)
        except BackendError as error:
            status = _REFUSED if error.code == "E-FORK" else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_workers(path: Path, backend: str, method: str) -> tuple[str, bool]:
    """Workers that load the file themselves."""
    context = multiprocessing.get_context(method)
    with context.Pool(WORKERS) as pool:
        jobs = [pool.apply_async(_load_and_answer, (path, backend)) for _ in range(WORKERS)]
        found = [job.get(PATIENCE) for job in jobs]
    expected = _load_and_answer(path, backend)  # last: PyTorch does not survive a fork
    right = found.count(expected)
    return f"{method} workers: {right} of {WORKERS} give the same bytes", right == WORKERS


def _load_and_answer(path: Path, backend: str) -> list[bytes]:
    with load(path, backend=backend, device="cpu", trust=True) as predictor:
        return Questions(predictor).answers(predictor)


def trained(root: Path) -> Path:
    """A convnet after an epoch on the bundled digits."""
    for verb in (["train", "convnet", "--data", "bundled", "--epochs", "1"], ["export", "convnet"]):
        command = [sys.executable, "-c", "from ptx.cli import main; main()", *verb]
        subprocess.run([*command, "--workspace", str(root)], check=True)
    return root / "convnet" / "convnet.onnx"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "model", nargs="?", type=Path, help="a file (default: a convnet, trained now)"
    )
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--threaded", type=int, default=20_000, help="predictions by all threads")
    parser.add_argument("--long", type=int, default=100_000, help="predictions one after the other")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ptx-soak-") as root:
        path = options.model or trained(Path(root))
        # The one that forks stands first: no other threads run yet.
        found = [in_workers(path, options.backend, method) for method in ("fork", "spawn")]
        with load(path, backend=options.backend, device="cpu", trust=True) as predictor:
            print(f"{predictor.card.model} on {predictor.backend.name}")
            found.append(for_long(predictor, options.long))
            found.append(under_threads(predictor, options.threads, options.threaded))
            found.append(after_fork(predictor))
    for text, holds in found:
        print(f"{'holds' if holds else 'FAILS'}  {text}")
    return 0 if all(holds for _, holds in found) else 1


if __name__ == "__main__":
    sys.exit(main())
