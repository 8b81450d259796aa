"""Why a conversion failed: the decisive part of what PyTorch's exporters raise, on one line."""

from __future__ import annotations

import linecache
import re
import sysconfig
from pathlib import Path
from types import FrameType

import torch

from ptx.infer.errors import quote

_MOST = 500  # characters of a reason
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # colours of a terminal
# What the exporters add to every reason: where to look for more of it.
_ADVICE = re.compile(
    r"For more information, run with TORCH_LOGS=\S+|\(Size-like symbols: none\)"
    r"|\(unhinted: [^\n]*?\)\.?(?=\s)"
)
_LIBRARIES = (
    str(Path(torch.__file__).parent),
    str(Path(torch.__file__).parents[1] / "onnxscript"),
    str(Path(__file__).parents[2]),
    sysconfig.get_path("stdlib"),
)


def conversion_error(error: BaseException) -> str:
    """The reason at the root of an error, and the line of the network at which it arose.

    The exporters wrap a reason in advice for their own developers, several times.
    """
    frames = _network_frames(error)
    while error.__cause__ is not None:
        error = error.__cause__
        frames = _network_frames(error) or frames
    text = _ADVICE.sub("", _ESCAPES.sub("", str(error))).strip()
    reason = " ".join(text.partition("\n\n")[0].split())
    if " " not in reason:  # a key, the name of an operator
        reason = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
    if len(reason) > _MOST:
        reason = f"{reason[:_MOST].rpartition(' ')[0]} …"
    return f"{reason}{_place(frames[-1])}" if frames else reason


def _network_frames(error: BaseException) -> list[tuple[FrameType, int]]:
    """The calls and lines of an error that are neither PyTorch's, ours nor Python's own."""
    found, traceback = [], error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if not file.startswith(_LIBRARIES) and Path(file).is_file():
            found.append((traceback.tb_frame, traceback.tb_lineno))
        traceback = traceback.tb_next
    return found


def _place(call: tuple[FrameType, int]) -> str:
    frame, number = call
    file = frame.f_code.co_filename
    line = linecache.getline(file, number, frame.f_globals).strip()
    return f" (at {quote(file)}, line {number}: {line})"
