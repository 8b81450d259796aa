"""The package `ptx` itself: what it offers, and that importing it loads nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ptx

Child = Callable[..., Any]


def test_the_version_is_that_of_the_distribution() -> None:
    assert ptx.__version__ == version("ptx-toolkit")


def test_load_is_the_library_s_own(artifact: Callable[[str, str], Path]) -> None:
    from ptx.infer import load

    assert ptx.load is load
    with ptx.load(artifact("linear-model", "onnx"), backend="ort-cpu") as predictor:
        assert predictor.predict(4.0).value is not None
    assert set(ptx.__all__) == {"__version__", "load"}
    assert not hasattr(ptx, "unknown")


def test_importing_it_loads_no_sub_package(child: Child) -> None:
    done = child(
        "import sys, ptx\n"
        "print([name for name in sys.modules if name.startswith('ptx.') or name == 'numpy'])"
    )
    assert done.stdout == "[]\n"


def test_the_package_runs_as_a_module(child: Child) -> None:
    done = child("import runpy, sys\nsys.argv = ['ptx', 'models']\nrunpy.run_module('ptx')")
    assert "linear-regression" in done.stdout
