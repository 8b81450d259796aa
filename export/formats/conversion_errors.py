"""Errors of PyTorch's exporters: the decisive part of what they raise, on one line."""

from __future__ import annotations

import linecache
import re
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch

from ptx.infer.errors import ArtifactError, BackendError, PtxError, install_hint, quote

_MAX_LENGTH = 500  # characters of a reason
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # terminal colours
# Advice that the exporters add to every reason.
_ADVICE = re.compile(
    r"For more information, run with TORCH_LOGS=\S+|\(Size-like symbols: none\)"
    r"|\(unhinted: [^\n]*?\)\.?(?=\s)"
)
# What to do about a reason that the exporters give in terms of their own symbols.
_HINTS = {
    "data-dependent": "the code makes Python numbers of an input's values, as tolist(), item() and int()"
    " do: compute with tensors, and give pack_padded_sequence the lengths as a tensor",
    "specialized it to be a constant": "the code makes a Python number of this size, as len() and int()"
    " do: use tensor.shape",
}
_LIBRARIES = (
    str(Path(torch.__file__).parent),
    str(Path(torch.__file__).parents[1] / "onnxscript"),
    str(Path(__file__).parents[2]),
    sysconfig.get_path("stdlib"),
)


@contextmanager
def mapping_export_errors(model: str, format_name: str) -> Iterator[None]:
    """Turns the exporters' errors into E-EXPORT, and a missing package into BackendError."""
    try:
        yield
    except PtxError:
        raise
    except ImportError as error:
        raise BackendError(
            f"the export to {format_name} needs {error.name}: {install_hint('train')}"
        ) from error
    except Exception as error:  # torch's exporters have no base class of errors
        raise ArtifactError(
            f"{model} cannot be converted to {format_name}: {conversion_error(error)}",
            code="E-EXPORT",
        ) from error


def conversion_error(error: BaseException) -> str:
    """The reason at the root of an error, and the line of the network that caused it.

    The exporters wrap a reason several times in advice for their own developers.
    """
    frames = _network_frames(error)
    while error.__cause__ is not None:
        error = error.__cause__
        frames = _network_frames(error) or frames
    text = _ADVICE.sub("", _ESCAPES.sub("", str(error))).strip()
    reason = " ".join(text.partition("\n\n")[0].split())
    if " " not in reason:  # only a key or the name of an operator
        reason = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
    if len(reason) > _MAX_LENGTH:
        reason = f"{reason[:_MAX_LENGTH].rpartition(' ')[0]} …"
    if frames:
        reason += _source_line(frames[-1])
    hint = next((hint for phrase, hint in _HINTS.items() if phrase in text), "")
    return f"{reason}; {hint}" if hint else reason


def _network_frames(error: BaseException) -> list[tuple[FrameType, int]]:
    """The frames and line numbers that are in neither PyTorch, ptx nor the standard library."""
    frames, traceback = [], error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if not file.startswith(_LIBRARIES) and Path(file).is_file():
            frames.append((traceback.tb_frame, traceback.tb_lineno))
        traceback = traceback.tb_next
    return frames


def _source_line(call: tuple[FrameType, int]) -> str:
    frame, number = call
    file = frame.f_code.co_filename
    line = linecache.getline(file, number, frame.f_globals).strip()
    return f" (at {quote(file)}, line {number}: {line})"
