"""One precision at a time for the process, each thread in its own, and the application's own afterwards.

No CUDA device is needed: the switches are there without one. What they do on a device, scripts/gpu_check
shows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from ptx.infer.backends import Options
from ptx.infer.backends.pytorch.device import mapping_run_errors
from ptx.infer.backends.pytorch.precision import GlobalFlagLock, read_precision, set_precision
from ptx.infer.errors import UsageError

BACKENDS: Any = torch.backends  # its stubs lack the settings of the parts of cuDNN
PARTS: tuple[Any, ...] = (BACKENDS.cuda.matmul, BACKENDS.cudnn.conv, BACKENDS.cudnn.rnn)


def precisions() -> list[str]:
    return [part.fp32_precision for part in PARTS]


@pytest.fixture(autouse=True)
def own_choice() -> Iterator[None]:
    """Whatever a test chooses, the next one finds PyTorch as it comes."""
    before = BACKENDS.fp32_precision, precisions()
    yield
    # The older switches too, which PyTorch compares with the newer ones, as in torch.export.
    BACKENDS.cuda.matmul.allow_tf32, BACKENDS.cudnn.allow_tf32 = False, True
    BACKENDS.fp32_precision = before[0]
    for part, value in zip(PARTS, before[1], strict=True):
        part.fp32_precision = value


# PyTorch's switches.


@pytest.mark.parametrize(("precision", "expected"), [("float32", "ieee"), ("tf32", "tf32")])
def test_all_parts_of_cuda_are_set(precision: str, expected: str) -> None:
    restore = set_precision(precision)
    assert precisions() == [expected] * 3
    restore()


def nothing() -> None: ...


def matmul_tf32() -> None:
    BACKENDS.cuda.matmul.fp32_precision = "tf32"


def convolutions_in_float32() -> None:
    BACKENDS.cudnn.conv.fp32_precision = "ieee"


def older_switches() -> None:
    BACKENDS.cuda.matmul.allow_tf32 = True
    BACKENDS.cudnn.allow_tf32 = False


def all_in_float32() -> None:
    BACKENDS.fp32_precision = "ieee"


CHOICES = (nothing, matmul_tf32, convolutions_in_float32, older_switches, all_in_float32)


@pytest.mark.parametrize("precision", ["float32", "tf32"])
@pytest.mark.parametrize("choose", CHOICES)
def test_the_applications_own_choice_is_there_again(
    choose: Callable[[], None], precision: str
) -> None:
    choose()
    before = precisions()
    set_precision(precision)()
    assert precisions() == before


def test_the_older_switches_can_still_be_read_afterwards() -> None:
    older_switches()
    set_precision("float32")()
    assert BACKENDS.cuda.matmul.allow_tf32
    assert not BACKENDS.cudnn.allow_tf32


def test_what_the_application_chooses_in_between_stays() -> None:
    restore = set_precision("float32")
    matmul_tf32()
    restore()
    assert precisions() == ["tf32", "tf32", "tf32"]


def test_a_part_without_a_choice_still_follows_that_of_all() -> None:
    all_in_float32()
    set_precision("tf32")()
    BACKENDS.fp32_precision = "tf32"
    assert BACKENDS.cuda.matmul.fp32_precision == "tf32"


def all_in_tf32() -> None:
    BACKENDS.fp32_precision = "tf32"


def products_in_high() -> None:
    torch.set_float32_matmul_precision("high")


def read_older_switches() -> None:
    """What torch.compile and an application of the older names read, each of which may raise."""
    assert isinstance(BACKENDS.cudnn.allow_tf32, bool)
    assert isinstance(BACKENDS.cuda.matmul.allow_tf32, bool)
    with BACKENDS.cudnn.flags():
        pass


@pytest.mark.parametrize("precision", ["float32", "tf32"])
@pytest.mark.parametrize("choose", [nothing, older_switches, all_in_float32, products_in_high])
def test_another_thread_can_read_the_older_switches_during_a_run(
    choose: Callable[[], None], precision: str
) -> None:
    choose()
    read_older_switches()
    before = BACKENDS.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    nobody: Any = None
    with (
        ThreadPoolExecutor(1) as thread,
        mapping_run_errors(nobody, Options(precision=precision), "cuda:0"),
    ):
        thread.submit(read_older_switches).result()
        assert [value == "tf32" for value in precisions()] == [precision == "tf32"] * 3
    read_older_switches()
    assert (BACKENDS.cudnn.allow_tf32, torch.get_float32_matmul_precision()) == before


@pytest.mark.parametrize("choose", [all_in_tf32, convolutions_in_float32, matmul_tf32])
def test_float32_is_held_where_the_application_uses_the_newer_switches(
    choose: Callable[[], None],
) -> None:
    choose()
    restore = set_precision("float32")
    assert precisions() == ["ieee"] * 3
    restore()


def test_products_in_medium_are_so_again() -> None:
    torch.set_float32_matmul_precision("medium")
    try:
        restore = set_precision("float32")
        assert precisions() == ["ieee"] * 3
        restore()
        assert torch.get_float32_matmul_precision() == "medium"
        assert precisions()[0] == "tf32"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_an_older_switch_that_the_application_sets_in_between_stays() -> None:
    BACKENDS.cudnn.allow_tf32 = False
    restore = set_precision("tf32")
    BACKENDS.cudnn.allow_tf32 = False
    restore()
    assert not BACKENDS.cudnn.allow_tf32
    assert "tf32" not in precisions()


@pytest.mark.parametrize(
    ("device", "choose", "expected"),
    [
        ("cuda:0", nothing, ("float32", "tf32", "tf32")),
        ("cuda", older_switches, ("tf32", "float32", "float32")),
        ("cuda", matmul_tf32, ("tf32", "tf32", "tf32")),
        ("cpu", nothing, ("float32", "float32", "float32")),
        ("mps", all_in_tf32, ("float32", "float32", "float32")),
    ],
)
def test_the_precision_of_a_training_is_that_of_its_device(
    device: str, choose: Callable[[], None], expected: tuple[str, ...]
) -> None:
    choose()
    assert tuple(read_precision(device).values()) == expected


# One value at a time.


class Switch:
    """A setting of the process, with what it was set to."""

    def __init__(self) -> None:
        self.value, self.history = "own", list[str]()

    def apply(self, value: str) -> Callable[[], None]:
        before, self.value = self.value, value
        self.history.append(value)

        def restore() -> None:
            self.value = before
            self.history.append(before)

        return restore


def test_each_thread_sees_its_own_value_to_the_end() -> None:
    switch = Switch()
    shared = GlobalFlagLock(switch.apply)

    def compute(number: int) -> bool:
        value = "tf32" if number % 3 else "float32"
        with shared.using(value):
            seen = {switch.value}
            time.sleep(0.0005)
            seen.add(switch.value)
        return seen == {value}

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(compute, range(200)))
    assert switch.value == "own"


def test_threads_of_one_value_are_inside_together_and_set_it_once() -> None:
    switch = Switch()
    shared, together = GlobalFlagLock(switch.apply), threading.Barrier(4, timeout=30)

    def compute(_: int) -> None:
        with shared.using("tf32"):
            together.wait()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(compute, range(4)))
    assert switch.history == ["tf32", "own"]


def test_a_stream_of_one_value_does_not_keep_another_out() -> None:
    switch = Switch()
    shared, over = GlobalFlagLock(switch.apply), threading.Event()

    def stream() -> None:
        while not over.is_set():
            with shared.using("float32"):
                time.sleep(0.0005)

    streams = [threading.Thread(target=stream) for _ in range(3)]
    for thread in streams:
        thread.start()
    for _ in range(20):
        with shared.using("tf32"):
            assert switch.value == "tf32"
    over.set()
    for thread in streams:
        thread.join()


def test_a_thread_may_enter_again_while_another_value_waits() -> None:
    switch = Switch()
    shared = GlobalFlagLock(switch.apply)

    def enter() -> None:
        with shared.using("tf32"):
            pass

    with shared.using("float32"):
        other = threading.Thread(target=enter)
        other.start()
        while not shared._waiting:
            time.sleep(0.001)
        with shared.using("float32"):
            assert switch.value == "float32"
        assert switch.value == "float32"
    other.join(30)
    assert switch.history == ["float32", "own", "tf32", "own"]


def test_another_value_inside_the_same_thread_is_refused_and_not_waited_for() -> None:
    switch = Switch()
    shared = GlobalFlagLock(switch.apply)
    with (
        shared.using("float32"),
        pytest.raises(UsageError, match=r"'tf32'.*'float32'"),
        shared.using("tf32"),
    ):
        pass
    assert switch.value == "own"


def test_an_error_inside_restores_too() -> None:
    switch = Switch()
    shared = GlobalFlagLock(switch.apply)
    with pytest.raises(ZeroDivisionError), shared.using("tf32"):
        raise ZeroDivisionError
    assert switch.history == ["tf32", "own"]


def test_a_value_that_cannot_be_set_leaves_the_way_free() -> None:
    switch = Switch()

    def apply(value: str) -> Callable[[], None]:
        if value == "tf32":
            raise RuntimeError("there is none")
        return switch.apply(value)

    shared = GlobalFlagLock(apply)
    with pytest.raises(RuntimeError, match="there is none"), shared.using("tf32"):
        pass
    with shared.using("float32"):
        assert switch.value == "float32"


# What runs.


def test_a_run_on_cuda_holds_its_precision_and_one_on_the_cpu_touches_nothing() -> None:
    nobody: Any = None
    before = precisions()
    with mapping_run_errors(nobody, Options(precision="tf32"), "cuda:0"):
        assert precisions() == ["tf32"] * 3
    assert precisions() == before
    with mapping_run_errors(nobody, Options(), "cuda"):
        assert precisions() == ["ieee"] * 3
    with mapping_run_errors(nobody, Options(), "cpu"):
        assert precisions() == before
