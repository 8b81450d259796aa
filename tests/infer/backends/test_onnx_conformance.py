"""What ONNX itself says of an ONNX runtime, asked of `ort-cpu`: the cases that the onnx package carries.

`ort-cpu` must do what plain ONNX Runtime does, with the same bytes, and where that fails, fail with an
error of ptx. A share runs with the other tests, all of it with PTX_ONNX_ALL=1.
"""

from __future__ import annotations

import os
import unittest
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx.backend.base import Backend, BackendRep
from onnx.backend.test import BackendTest

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.backends import Options, open_backend
from ptx.infer.backends.ort.cpu import import_onnxruntime
from ptx.infer.errors import PtxError

SHARE = 1 if "PTX_ONNX_ALL" in os.environ else 8  # one of so many cases
LIGHT = ("squeezenet", "shufflenet")  # of the light models, those that take well under a second
CASES = 2033  # that the onnx package had when this was written


class NotSupportedError(Exception):
    """Plain ONNX Runtime cannot do it either."""


class DifferenceError(Exception):
    """`ort-cpu` does something else than plain ONNX Runtime."""


class OrtCpu(Backend):  # type: ignore[misc, unused-ignore]
    """`ort-cpu` for the runner of the onnx package, beside a plain session of ONNX Runtime."""

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device == "CPU"

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **options: Any) -> BackendRep:
        return Prepared(model.SerializeToString())


class Prepared(BackendRep):  # type: ignore[misc, unused-ignore]
    def __init__(self, data: bytes) -> None:
        onnxruntime = import_onnxruntime()
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 4
        settings.intra_op_num_threads = 1
        artifact = Artifact(Path("case.onnx"), "onnx", data, manifest=None, digest_ok=False)
        self.plain, self.wrapped = both(
            lambda: onnxruntime.InferenceSession(data, settings, ["CPUExecutionProvider"]),
            lambda: open_backend("ort-cpu", artifact, Options(threads=1)),
        )

    def run(self, inputs: Sequence[Any], **options: Any) -> tuple[Any, ...]:
        names = [item.name for item in self.plain.get_inputs()]
        given = dict(zip(names, inputs, strict=False))
        expected, got = both(
            lambda: self.plain.run(None, given),
            lambda: list(self.wrapped.run(given).values()),
        )
        if not same(expected, got):
            raise DifferenceError("other bytes")
        return tuple(got)


def both(plain: Callable[[], Any], wrapped: Callable[[], Any]) -> tuple[Any, Any]:
    """What the two give; NotSupportedError where both fail as they should."""
    failure: Exception | None = None
    expected = None
    try:
        expected = plain()
    except Exception as error:  # ONNX Runtime's have no base class of their own
        failure = error
    try:
        got = wrapped()
    except PtxError as error:
        if failure is None:
            raise DifferenceError(f"{error.code}: {error}") from error
        raise NotSupportedError(str(failure)) from error
    except Exception as error:
        raise DifferenceError(f"{type(error).__name__} is no error of ptx: {error}") from error
    if failure is not None:
        raise DifferenceError("an answer where there is none") from failure
    return expected, got


def same(expected: Any, got: Any) -> bool:
    """Whether two outputs are the same, bit for bit: arrays, sequences of them, None, texts."""
    if isinstance(expected, list | tuple):
        return len(expected) == len(got) and all(map(same, expected, got))
    if isinstance(expected, np.ndarray) and expected.dtype != object:
        return (expected.dtype, expected.shape, expected.tobytes()) == (
            got.dtype,
            got.shape,
            got.tobytes(),
        )
    return bool(np.array_equal(expected, got))


def cases() -> dict[str, Callable[[unittest.TestCase], None]]:
    """Name → what runs the case, of all that the onnx package has for the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some cases overflow on purpose while they are made
        groups = BackendTest(OrtCpu, __name__).test_cases.values()
    found = {
        f"{group.__name__}.{name}": getattr(group, name)
        for group in groups
        for name in dir(group)
        if name.startswith("test_") and name.endswith("_cpu")
    }
    return dict(sorted(found.items()))


def test_ort_cpu_does_what_plain_onnx_runtime_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counts: dict[str, Counter[str]]
) -> None:
    monkeypatch.setenv("ONNX_HOME", str(tmp_path))
    chosen = cases()
    assert len(chosen) >= CASES
    names = [
        name
        for index, name in enumerate(chosen)
        if (index % SHARE == 0 and "RealModel" not in name)
        or (SHARE > 1 and any(light in name for light in LIGHT))
        or SHARE == 1
    ]
    outcomes, differing = counts["onnx conformance"], []
    outcomes["cases"] = len(names)
    for name in names:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                chosen[name](unittest.TestCase())
            outcomes["passed"] += 1
        except NotSupportedError:
            outcomes["not supported by ONNX Runtime"] += 1
        except DifferenceError as error:
            differing.append(f"{name}: {error}")
        except Exception:  # what ONNX Runtime answers is not what the case expects
            outcomes["another answer of ONNX Runtime"] += 1
    outcomes["different with ort-cpu"] = len(differing)
    assert differing == []
    assert outcomes["passed"] > 0.6 * len(names)
