"""The precision in which CUDA multiplies float32: a process-wide setting of PyTorch."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ptx.infer.errors import UsageError

Restore = Callable[[], None]

_KINDS = ("products", "convolutions", "recurrent")
_TORCH_NAMES = {"float32": "ieee", "tf32": "tf32"}


def set_precision(precision: str) -> Restore:
    """Set the precision of CUDA's matrix products, convolutions and recurrent layers.

    PyTorch's older flags (`allow_tf32`) are set together with the newer ones (`fp32_precision`): if they
    disagree, reading an older flag raises in every thread, and `torch.backends.cudnn.flags()` and
    torch.compile read them. Only the newer flags are set if the application has made them disagree, or
    has called `set_float32_matmul_precision("medium")`, which an older flag cannot restore. (If it chose
    "high", `get_float32_matmul_precision` raises during a run in float32: that setting also includes the
    CPU, which is not changed here.)

    Returns:
        A function that restores the previous values, except where the application changed them since.

    See https://pytorch.org/docs/stable/notes/cuda.html#tensorfloat-32-tf32-on-ampere-and-later-devices
    """
    import torch  # installed, because something runs on CUDA

    backends: Any = torch.backends
    products = None if _is_medium(torch) else _read_older(backends.cuda.matmul)
    others = _read_older(backends.cudnn)
    restores = [
        _set(backends, backends.cuda.matmul, products, (backends.cuda.matmul,), precision),
        _set(
            backends, backends.cudnn, others, (backends.cudnn.conv, backends.cudnn.rnn), precision
        ),
    ]

    def restore() -> None:
        for restore_one in restores:
            restore_one()

    return restore


def _is_medium(torch: Any) -> bool:
    try:
        return bool(torch.get_float32_matmul_precision() == "medium")
    except RuntimeError:  # the newer flags have values that do not exist in the older API
        return False


def _read_older(backend: Any) -> bool | None:
    """The value of an older flag; None if the newer flags disagree with it."""
    try:
        return bool(backend.allow_tf32)
    except RuntimeError:
        return None


def _set(
    backends: Any, older: Any, allowed: bool | None, parts: tuple[Any, ...], precision: str
) -> Restore:
    """Set an older flag and the corresponding newer ones.

    Args:
        backends: `torch.backends`.
        older: The backend with the older flag.
        allowed: The value of the older flag; None if it must not be set.
        parts: The backends with the newer flags.
        precision: "float32" or "tf32".

    Returns:
        A function that restores the previous values.
    """
    requested = _TORCH_NAMES[precision]
    before = [part.fp32_precision for part in parts]
    # A flag that is not set has the value of the general flag, and must be unset again afterwards.
    general = backends.cudnn.fp32_precision
    changed = allowed is not None and allowed != (precision == "tf32")
    if changed:  # first, since it sets the newer ones too
        older.allow_tf32 = not allowed
    for part in parts:
        part.fp32_precision = requested

    def restore() -> None:
        current = [part.fp32_precision for part in parts]
        current_older = _read_older(older) if changed else None
        # `cudnn.flags()` in another thread restores the older flag, and leaves the newer ones at "none".
        restores_older = (
            changed
            and current_older is not allowed
            and (current_older is not None or requested in current)
        )
        if restores_older:
            older.allow_tf32 = allowed
        for part, previous, value in zip(parts, before, current, strict=True):
            own = "none" if previous == general else previous
            unchanged = value == requested or (restores_older and current_older is not None)
            part.fp32_precision = own if unchanged else value

    return restore


def read_precision(device: str) -> dict[str, str]:
    """The precision in which PyTorch computes float32 on that device, for each kind of operator.

    "float32", "tf32" or "bf16"; PyTorch's default on CUDA is "tf32" for all but matrix products.
    """
    import torch  # installed, because something runs on the device

    backends: Any = torch.backends
    parts = {
        "cuda": (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn),
        "cpu": (backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn),
    }.get(device.partition(":")[0], ())
    precisions = dict.fromkeys(_KINDS, "float32")
    for kind, part in zip(_KINDS, parts, strict=False):
        if part.fp32_precision not in ("none", "ieee"):
            precisions[kind] = part.fp32_precision
    return precisions


class GlobalFlagLock:
    """A lock on a process-wide setting that several threads need at different values.

    Threads that need the same value hold the lock together; threads that need another value wait.
    Waiting threads enter in order of arrival, so that no value starves another. The first thread to
    enter sets the value; the last one to leave restores the previous value.
    """

    def __init__(self, apply: Callable[[str], Restore]) -> None:
        self._apply = apply  # sets the value and returns a function that restores the previous one
        self._changed = threading.Condition()
        self._value: str | None = None  # of the threads that hold the lock
        self._inside: dict[int, int] = {}  # thread id → number of entries
        self._waiting: deque[object] = deque()
        self._restore: Restore | None = None

    @contextmanager
    def using(self, value: str) -> Iterator[None]:
        """Run the body with the setting at this value.

        Raises:
            UsageError: this thread already holds the lock with another value (a deadlock).
        """
        self._enter(value)
        try:
            yield
        finally:
            self._leave()

    def _enter(self, value: str) -> None:
        thread = threading.get_ident()
        with self._changed:
            if thread not in self._inside:
                self._wait_for(value)
            elif value != self._value:
                raise UsageError(
                    f"a prediction with precision {value!r} was started inside one with"
                    f" {self._value!r}: run one after the other, or load both models with one precision"
                )
            if not self._inside:
                self._restore = self._apply(value)
                self._value = value
            self._inside[thread] = self._inside.get(thread, 0) + 1

    def _wait_for(self, value: str) -> None:
        ticket = object()
        self._waiting.append(ticket)
        try:
            self._changed.wait_for(
                lambda: self._waiting[0] is ticket and (not self._inside or self._value == value)
            )
        finally:  # also if Ctrl-C ends the wait
            self._waiting.remove(ticket)
            self._changed.notify_all()

    def _leave(self) -> None:
        thread = threading.get_ident()
        with self._changed:
            self._inside[thread] -= 1
            if self._inside[thread]:
                return
            del self._inside[thread]
            if not self._inside:
                restore, self._restore, self._value = self._restore, None, None
                self._changed.notify_all()
                assert restore is not None
                restore()


CUDA_PRECISION = GlobalFlagLock(set_precision)
"""Held by every run on CUDA, with the precision of its model."""
