"""Prefetching: threads and processes decode the same samples and errors, in the order of the inputs."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ptx.infer import load, prefetch
from ptx.infer.errors import InputError
from ptx.infer.prediction import Failure, NamedInput
from ptx.infer.prefetch import (
    Chunk,
    DecodedInput,
    Prefetcher,
    PrefetchPlan,
    WorkerPool,
    can_fork,
    decode,
    decoder_thread,
    plan_prefetch,
)
from ptx.infer.preprocessing import Preprocessing, open_preprocessing
from ptx.infer.signature import Signature

Child = Callable[..., Any]
Export = Callable[[str, str], Path]

needs_fork = pytest.mark.skipif(sys.platform != "linux", reason="reader processes are for Linux")
PICTURES = Path(__file__).parents[1] / "pictures"


def pictures_signature() -> Signature:
    return Signature.from_data(
        {
            "inputs": {"image": ["float32", ["batch", 784]]},
            "outputs": {"logits": ["float32", ["batch", 10]]},
        }
    )


def pictures() -> Preprocessing:
    settings = {"kind": "gray-image", "size": [28, 28], "resize_mode": "letterbox"}
    return open_preprocessing(settings, pictures_signature())


VALUES: list[Any] = [
    str(PICTURES / "mnist-7.png"),
    str(PICTURES / "no-such.png"),
    NamedInput("drawn", np.full((30, 20), 200, np.uint8)),
    np.zeros((5, 5), np.uint8),
    NamedInput("refused", InputError("it is refused", code="E-X")),
    NamedInput("a ready sample", np.zeros(784, np.float32)),
]


def comparable(chunk: Any) -> list[Any]:
    return [
        (name, (type(item), item.code, str(item)), others)
        if isinstance(item, InputError)
        else (name, (item.dtype, item.shape, item.tobytes()), others)
        for name, item, others in chunk
    ]


@needs_fork
@pytest.mark.parametrize("values", [VALUES, VALUES[:5], VALUES[1:2], VALUES[:1], []])
def test_processes_read_what_a_thread_reads(child: Child, values: list[Any]) -> None:
    expected = comparable(decode(pictures(), values))
    with decoder_thread(pictures()) as pool:
        assert comparable(pool.submit(values)()) == expected
    # A process of its own, since this one may have threads by now.
    child(
        "import os, sys\n"
        "os.environ['OPENBLAS_NUM_THREADS'] = '1'\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from test_prefetch import VALUES, comparable, pictures\n"
        "from ptx.infer.prefetch import can_fork, decode, decoder_processes\n"
        "assert can_fork()\n"
        "values = VALUES[int(sys.argv[2]):int(sys.argv[3])]\n"
        "with decoder_processes(pictures(), 2, chunks_ahead=3) as pool:\n"
        "    waiting = [pool.submit(values) for _ in range(pool.chunks_ahead)]\n"
        "    for wait in waiting:\n"
        "        assert comparable(wait()) == comparable(decode(pictures(), values))",
        Path(__file__).parent,
        VALUES.index(values[0]) if values else 0,
        VALUES.index(values[0]) + len(values) if values else 0,
    )


def digit_pictures() -> Preprocessing:
    signature = pictures_signature()
    return open_preprocessing(
        {"kind": "gray-image", "size": [28, 28], "resize_mode": "mnist"}, signature
    )


def photograph(*specks: int) -> Any:
    """A seven on black, with a speck at each of the columns."""
    with Image.open(PICTURES / "mnist-7.png") as given:
        sheet = Image.new("L", (300, 200))
        sheet.paste(given.convert("L").resize((140, 140)), (0, 30))
    for column in specks:
        sheet.paste(230, (column, 100, column + 6, 130))
    return np.asarray(sheet)


def test_what_is_left_out_of_a_picture_stands_beside_its_sample() -> None:
    values = [photograph(150), photograph(), photograph(150, 220), str(PICTURES / "mnist-7.png")]
    chunk = decode(digit_pictures(), values)
    assert [len(read.ignored_regions) for read in chunk] == [1, 0, 2, 0]
    ((left, top, right, bottom),) = chunk[0].ignored_regions
    assert (left, top, right, bottom) == pytest.approx((0.5, 0.5, 0.52, 0.65), abs=0.01)


@needs_fork
def test_processes_tell_what_is_left_out(child: Child) -> None:
    child(
        "import sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from test_prefetch import comparable, digit_pictures, photograph\n"
        "from ptx.infer.prefetch import decode, decoder_processes\n"
        "values = ['no-such.png', photograph(), photograph(150), photograph(150, 220)]\n"
        "with decoder_processes(digit_pictures(), 2, chunks_ahead=3) as pool:\n"
        "    chunk = pool.submit(values)()\n"
        "assert [len(read.ignored_regions) for read in chunk] == [0, 0, 1, 2]\n"
        "assert comparable(chunk) == comparable(decode(digit_pictures(), values))",
        Path(__file__).parent,
    )


class Ready:
    """A preprocessing that takes arrays as they are."""

    def transform(self, value: Any) -> Any:
        return value


def test_samples_of_two_types_are_not_made_one_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "_preprocessing", Ready(), raising=False)
    given = [np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.float32)]
    packed = prefetch._decode_chunk(given)
    assert [sample.dtype.name for sample in packed.samples] == ["uint8", "float32"]


@needs_fork
def test_a_reader_that_is_killed_is_told(child: Child) -> None:
    done = child(
        "import os, signal, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from test_prefetch import Killing\n"
        "from ptx.infer.errors import LimitError\n"
        "from ptx.infer.prefetch import decoder_processes\n"
        "try:\n"
        "    with decoder_processes(Killing(), 2, chunks_ahead=3) as pool:\n"
        "        pool.submit([1])()\n"
        "except LimitError as error:\n"
        "    print(error.code, error)",
        Path(__file__).parent,
    )
    assert done.stdout.startswith("E-MEMORY a process that decoded the inputs was killed")


class Killing:
    """A preprocessing for which memory runs out."""

    def transform(self, value: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Endless:
    """A preprocessing that never comes back."""

    def transform(self, value: Any) -> None:
        signal.pause()


@needs_fork
def test_what_is_being_read_is_not_waited_for_after_an_error(child: Child) -> None:
    done = child(
        "import sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from test_prefetch import Endless\n"
        "from ptx.infer.prefetch import Prefetcher, decoder_processes\n"
        "try:\n"
        "    with decoder_processes(Endless(), 2, chunks_ahead=3) as pool:\n"
        "        Prefetcher(pool, [1, 2, 3], 1)\n"
        "        raise KeyError\n"
        "except KeyError:\n"
        "    print('ended')",
        Path(__file__).parent,
    )
    assert done.stdout == "ended\n"


@needs_fork
def test_all_processes_are_forked_at_once(child: Child) -> None:
    done = child(
        "import multiprocessing, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from test_prefetch import pictures\n"
        "from ptx.infer.prefetch import decoder_processes\n"
        "with decoder_processes(pictures(), 3, chunks_ahead=4) as pool:\n"
        "    print(len(multiprocessing.active_children()), pool.chunks_ahead)",
        Path(__file__).parent,
    )
    assert done.stdout == "3 4\n"


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., PrefetchPlan | None]:
    """The plan for so many files of so many bytes, and a batch size of 256."""
    monkeypatch.setattr(prefetch, "can_fork", lambda: True)
    monkeypatch.setattr(prefetch, "available_cpus", lambda: 8)

    def make(count: int, size: int, preprocessing: Any = None) -> PrefetchPlan | None:
        file = tmp_path / "file"
        with file.open("wb") as out:
            out.truncate(size)
        return plan_prefetch(preprocessing or pictures(), [str(file)] * count, 256)

    return make


class Photographs:
    """A preprocessing of large images."""

    extensions = (".jpg",)
    row_spec = "pictures", (3, 224, 224)


def test_small_images_leave_one_thread_to_the_backend(plan: Any) -> None:
    assert plan(128, 500) == PrefetchPlan(2, 12, 256, 32, backend_threads=1)
    assert plan(128, 500, Photographs()) == PrefetchPlan(8, 9, 256, 32, backend_threads=None)


def test_chunks_of_large_files_hold_few_bytes(plan: Any) -> None:
    large = plan(5, 2 * 2**20)
    assert (large.first_chunk, large.chunk_size) == (2, 2)
    assert plan(2, 5 * 2**20).first_chunk == 1


def test_few_or_small_inputs_are_not_worth_a_process(
    plan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plan(127, 500) is None
    assert plan(1, 2**30) is None
    assert plan(4, 2 * 2**20) is not None
    numbers = open_preprocessing({"kind": "tabular", "names": ["x"]}, LINE)
    assert plan_prefetch(numbers, [1.0] * 128, 256) is None
    monkeypatch.setattr(prefetch, "can_fork", lambda: False)
    assert plan(128, 500) is None


LINE = Signature.from_data(
    {"inputs": {"x": ["float32", ["batch", 1]]}, "outputs": {"y": ["float32", ["batch", 1]]}}
)


def test_a_few_hundred_values_are_divided_among_the_pool() -> None:
    sizes: list[int] = []

    def submit(values: list[Any]) -> Callable[[], Chunk]:
        sizes.append(len(values))
        return lambda: [DecodedInput(str(value), np.zeros(1)) for value in values]

    reading = Prefetcher(WorkerPool(9, submit), iter(range(200)), 256, first=32)
    assert [read.name for chunk in reading for read in chunk] == [str(i) for i in range(200)]
    assert sizes == [32, 32, 64, 64, 8]


def test_chunks_grow_to_the_size_of_a_batch_and_not_beyond_it() -> None:
    sizes: list[int] = []

    def submit(values: list[Any]) -> Callable[[], Chunk]:
        sizes.append(len(values))
        return list

    list(Prefetcher(WorkerPool(1, submit), iter(range(50)), 10, first=4))
    list(Prefetcher(WorkerPool(1, submit), iter(range(5)), 3, first=4))
    assert sizes == [4, 4, 8, 8, 10, 10, 6, 3, 2]


def test_chunks_are_begun_at_once_and_never_more_than_those_ahead() -> None:
    begun: list[list[int]] = []

    def submit(values: list[int]) -> Callable[[], Chunk]:
        begun.append(values)
        return lambda: [DecodedInput(None, np.array(values))]

    reading = Prefetcher(WorkerPool(2, submit), iter(range(9)), 2)
    assert begun == [[0, 1], [2, 3]]
    for number, chunk in enumerate(reading, 1):
        assert len(begun) == min(5, number + 2)
        ((_, sample, _),) = chunk
        assert isinstance(sample, np.ndarray)
        assert sample.tolist() == begun[number - 1]
    assert begun[-1] == [8]


@needs_fork
def test_a_reader_whose_parent_was_killed_before_it_began_ends(child: Child) -> None:
    done = child(
        "import os\n"
        "from ptx.infer.prefetch import _start_decoder\n"
        "_start_decoder(None, os.getppid())\n"
        "print('alive', flush=True)\n"
        "_start_decoder(None, os.getpid())\n"
        "print('still alive')",
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "alive\n")


@needs_fork
def test_pool_end_with_a_parent_that_is_killed(child: Child) -> None:
    done = child(
        "import os, signal, subprocess, sys, time\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "code = '''import os, sys, time\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from test_prefetch import pictures\n"
        "from ptx.infer.prefetch import decoder_processes\n"
        "with decoder_processes(pictures(), 2, chunks_ahead=3) as pool:\n"
        "    pool.submit([])()\n"
        "    import multiprocessing\n"
        "    print(*[p.pid for p in multiprocessing.active_children()], flush=True)\n"
        "    time.sleep(60)'''\n"
        "parent = subprocess.Popen([sys.executable, '-c', code, sys.argv[1]],"
        " stdout=subprocess.PIPE, text=True)\n"
        "pids = [int(pid) for pid in parent.stdout.readline().split()]\n"
        "assert pids\n"
        "parent.kill(); parent.wait()\n"
        "def gone(pid):\n"
        "    try: state = open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[0]\n"
        "    except OSError: return True\n"
        "    return state == 'Z'\n"
        "end = time.monotonic() + 20\n"
        "while not all(gone(pid) for pid in pids):\n"
        "    assert time.monotonic() < end, 'a reader outlived its parent'\n"
        "    time.sleep(0.01)\n"
        "print('gone')",
        Path(__file__).parent,
    )
    assert done.stdout == "gone\n"


@needs_fork
def test_a_stream_through_processes_is_the_stream_through_a_thread(
    artifact: Export, child: Child
) -> None:
    path = artifact("softmax-regression", "onnx")
    with load(path, backend="ort-cpu") as predictor:
        answers = list(predictor.predict_many(VALUES[:5] * 40, batch_size=7, on_error="yield"))
    expected = [
        (answer.input, answer.error.code if isinstance(answer, Failure) else answer.label)
        for answer in answers
    ]
    done = child(
        "import sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from ptx.infer.prefetch import Prefetcher, decoder_processes\n"
        "from ptx.infer import Failure, load, read_artifact\n"
        "from ptx.infer.preprocessing import open_preprocessing\n"
        "from test_prefetch import VALUES\n"
        "manifest = read_artifact(sys.argv[2]).require_manifest()\n"
        "preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)\n"
        "with decoder_processes(preprocessing, 2, chunks_ahead=3) as pool:\n"
        "    reading = Prefetcher(pool, VALUES[:5] * 40, 7)\n"
        "    with load(sys.argv[2], backend='ort-cpu') as predictor:\n"
        "        stream = predictor.predict_many(reading, on_error='yield')\n"
        "        print([(a.input, a.error.code if isinstance(a, Failure) else a.label)"
        " for a in stream])",
        Path(__file__).parent,
        path,
    )
    assert done.stdout == f"{expected}\n"


def test_a_process_with_threads_does_not_fork() -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    assert not can_fork()
    release.set()
    thread.join()
