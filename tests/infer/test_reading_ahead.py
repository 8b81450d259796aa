"""Reading beside the computation: the same samples and errors, in order, from threads or processes."""

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

from ptx.infer import load, streaming
from ptx.infer.errors import InputError
from ptx.infer.prediction import Failure, Named
from ptx.infer.preprocessing import Preprocessing, open_preprocessing
from ptx.infer.signature import Signature
from ptx.infer.streaming import (
    ReadAhead,
    Readers,
    ReadValue,
    Window,
    can_fork,
    read_window,
    reader_thread,
)

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
    settings = {"kind": "image", "size": [28, 28], "fit": "square"}
    return open_preprocessing(settings, pictures_signature())


VALUES: list[Any] = [
    str(PICTURES / "mnist-7.png"),
    str(PICTURES / "no-such.png"),
    Named("drawn", np.full((30, 20), 200, np.uint8)),
    np.zeros((5, 5), np.uint8),
    Named("refused", InputError("it is refused", code="E-X")),
    Named("a ready sample", np.zeros(784, np.float32)),
]


def comparable(window: Any) -> list[Any]:
    return [
        (name, (type(item), item.code, str(item)), others)
        if isinstance(item, InputError)
        else (name, (item.dtype, item.shape, item.tobytes()), others)
        for name, item, others in window
    ]


@needs_fork
@pytest.mark.parametrize("values", [VALUES, VALUES[:5], VALUES[1:2], VALUES[:1], []])
def test_processes_read_what_a_thread_reads(child: Child, values: list[Any]) -> None:
    expected = comparable(read_window(pictures(), values))
    with reader_thread(pictures()) as readers:
        assert comparable(readers.submit(values)()) == expected
    # A process of its own, since this one may have threads by now.
    child(
        "import os, sys\n"
        "os.environ['OPENBLAS_NUM_THREADS'] = '1'\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from test_reading_ahead import VALUES, comparable, pictures\n"
        "from ptx.infer.streaming import can_fork, read_window, reader_processes\n"
        "assert can_fork()\n"
        "values = VALUES[int(sys.argv[2]):int(sys.argv[3])]\n"
        "with reader_processes(pictures()) as readers:\n"
        "    waiting = [readers.submit(values) for _ in range(readers.ahead)]\n"
        "    for wait in waiting:\n"
        "        assert comparable(wait()) == comparable(read_window(pictures(), values))",
        Path(__file__).parent,
        VALUES.index(values[0]) if values else 0,
        VALUES.index(values[0]) + len(values) if values else 0,
    )


def digit_pictures() -> Preprocessing:
    signature = pictures_signature()
    return open_preprocessing({"kind": "image", "size": [28, 28], "fit": "digit"}, signature)


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
    window = read_window(digit_pictures(), values)
    assert [len(read.others) for read in window] == [1, 0, 2, 0]
    ((left, top, right, bottom),) = window[0].others
    assert (left, top, right, bottom) == pytest.approx((0.5, 0.5, 0.52, 0.65), abs=0.01)


@needs_fork
def test_processes_tell_what_is_left_out(child: Child) -> None:
    child(
        "import sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from test_reading_ahead import comparable, digit_pictures, photograph\n"
        "from ptx.infer.streaming import read_window, reader_processes\n"
        "values = ['no-such.png', photograph(), photograph(150), photograph(150, 220)]\n"
        "with reader_processes(digit_pictures()) as readers:\n"
        "    window = readers.submit(values)()\n"
        "assert [len(read.others) for read in window] == [0, 0, 1, 2]\n"
        "assert comparable(window) == comparable(read_window(digit_pictures(), values))",
        Path(__file__).parent,
    )


class Ready:
    """A preprocessing that takes arrays as they are."""

    def read(self, value: Any) -> Any:
        return value


def test_samples_of_two_types_are_not_made_one_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_preprocessing", Ready(), raising=False)
    given = [np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.float32)]
    packed = streaming._read_packed(given)
    assert [sample.dtype.name for sample in packed.samples] == ["uint8", "float32"]


@needs_fork
def test_a_reader_that_is_killed_is_told(child: Child) -> None:
    done = child(
        "import os, signal, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from test_reading_ahead import Killing\n"
        "from ptx.infer.errors import LimitError\n"
        "from ptx.infer.streaming import reader_processes\n"
        "try:\n"
        "    with reader_processes(Killing()) as readers:\n"
        "        readers.submit([1])()\n"
        "except LimitError as error:\n"
        "    print(error.code, error)",
        Path(__file__).parent,
    )
    assert done.stdout.startswith("E-MEMORY a process that read the inputs was killed")


class Killing:
    """A preprocessing for which memory runs out."""

    def read(self, value: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Endless:
    """A preprocessing that never comes back."""

    def read(self, value: Any) -> None:
        signal.pause()


@needs_fork
def test_what_is_being_read_is_not_waited_for_after_an_error(child: Child) -> None:
    done = child(
        "import sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from test_reading_ahead import Endless\n"
        "from ptx.infer.streaming import ReadAhead, reader_processes\n"
        "try:\n"
        "    with reader_processes(Endless()) as readers:\n"
        "        ReadAhead(readers, [1, 2, 3], 1)\n"
        "        raise KeyError\n"
        "except KeyError:\n"
        "    print('ended')",
        Path(__file__).parent,
    )
    assert done.stdout == "ended\n"


@needs_fork
def test_there_are_no_more_readers_than_processors_or_than_can_be_used(child: Child) -> None:
    done = child(
        "import multiprocessing, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from test_reading_ahead import pictures\n"
        "from ptx.infer import streaming\n"
        "streaming.usable_processors = lambda: 3\n"
        "for most in (None, 2, 9):\n"
        "    with streaming.reader_processes(pictures(), most=most) as made:\n"
        "        print(len(multiprocessing.active_children()), made.ahead)",
        Path(__file__).parent,
    )
    assert done.stdout.splitlines() == ["3 4", "2 3", "3 4"]


def test_a_few_hundred_values_are_divided_among_the_readers() -> None:
    sizes: list[int] = []

    def submit(values: list[Any]) -> Callable[[], Window]:
        sizes.append(len(values))
        return lambda: [ReadValue(str(value), np.zeros(1)) for value in values]

    reading = ReadAhead(Readers(9, submit), iter(range(200)), 256, first=32)
    assert [read.name for window in reading for read in window] == [str(i) for i in range(200)]
    assert sizes == [32, 32, 64, 64, 8]


def test_windows_grow_to_the_size_of_a_batch_and_not_beyond_it() -> None:
    sizes: list[int] = []

    def submit(values: list[Any]) -> Callable[[], Window]:
        sizes.append(len(values))
        return list

    list(ReadAhead(Readers(1, submit), iter(range(50)), 10, first=4))
    list(ReadAhead(Readers(1, submit), iter(range(5)), 3, first=4))
    assert sizes == [4, 4, 8, 8, 10, 10, 6, 3, 2]


def test_windows_are_begun_at_once_and_never_more_than_those_ahead() -> None:
    begun: list[list[int]] = []

    def submit(values: list[int]) -> Callable[[], Window]:
        begun.append(values)
        return lambda: [ReadValue(None, np.array(values))]

    reading = ReadAhead(Readers(2, submit), iter(range(9)), 2)
    assert begun == [[0, 1], [2, 3]]
    for number, window in enumerate(reading, 1):
        assert len(begun) == min(5, number + 2)
        ((_, sample, _),) = window
        assert isinstance(sample, np.ndarray)
        assert sample.tolist() == begun[number - 1]
    assert begun[-1] == [8]


@needs_fork
def test_a_reader_whose_parent_was_killed_before_it_began_ends(child: Child) -> None:
    done = child(
        "import os\n"
        "from ptx.infer.streaming import _prepare\n"
        "_prepare(None, os.getppid())\n"
        "print('alive', flush=True)\n"
        "_prepare(None, os.getpid())\n"
        "print('still alive')",
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "alive\n")


@needs_fork
def test_readers_end_with_a_parent_that_is_killed(child: Child) -> None:
    done = child(
        "import os, signal, subprocess, sys, time\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "code = '''import os, sys, time\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from test_reading_ahead import pictures\n"
        "from ptx.infer.streaming import reader_processes\n"
        "with reader_processes(pictures()) as readers:\n"
        "    readers.submit([])()\n"
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
        "from ptx.infer.streaming import ReadAhead, reader_processes\n"
        "from ptx.infer import Failure, load, read_artifact\n"
        "from ptx.infer.preprocessing import open_preprocessing\n"
        "from test_reading_ahead import VALUES\n"
        "card = read_artifact(sys.argv[2]).require_card()\n"
        "with reader_processes(open_preprocessing(card.preprocessing, card.signature)) as readers:\n"
        "    reading = ReadAhead(readers, VALUES[:5] * 40, 7)\n"
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
