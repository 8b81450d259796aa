"""A file with ptx beside ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ptx.infer import PtxError, load
from ptx.infer.backends.ort.cpu import import_onnxruntime

from .case import Case

VERDICTS = ("equal", "refused by name", "refused", "different", "not run by ONNX Runtime")


def judge(case: Case, path: Path) -> tuple[str, str]:
    """One of VERDICTS, and why; the file is written to `path`."""
    path.write_bytes(case.model())
    runtime = import_onnxruntime()
    settings = runtime.SessionOptions()
    settings.log_severity_level = 4
    try:
        session = runtime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
        expected = session.run(None, case.feed())
    except Exception as error:  # whatever it raises: there is nothing to hold ptx to
        return VERDICTS[-1], str(error)
    try:
        with load(
            path, task="passthrough", backend="ort-cpu", allow_nonfinite=case.meant
        ) as predictor:
            got = list(predictor.run(case.feed()).values())
    except PtxError as error:
        named = case.refused and f" is {case.refused}" in str(error)
        return ("refused by name" if named else "refused"), str(error)
    return ("equal" if equal(got, expected) else "different"), f"{got} where {expected}"


def equal(got: Any, expected: Any) -> bool:
    """Whether both are the same arrays, sequences of them or nothing, to the last bit."""
    if isinstance(expected, list):
        alike = isinstance(got, list) and len(got) == len(expected)
        return alike and all(map(equal, got, expected))
    if not isinstance(expected, np.ndarray):
        return got is None and expected is None
    return (
        isinstance(got, np.ndarray)
        and (got.dtype, got.shape) == (expected.dtype, expected.shape)
        and got.tobytes() == expected.tobytes()
    )
