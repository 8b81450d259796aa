"""OpenVINO: in float32 or not at all, only where it is asked for, and its errors in our words."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

from ptx.export import describe, export
from ptx.infer import ArtifactError, BackendError, load
from ptx.infer.backends import BACKENDS, openvino_cpu, preferred

Export = Callable[[str, str], Path]
Ptx = Callable[..., Any]
Child = Callable[..., Any]


def test_without_the_package_the_error_says_how_it_is_installed(
    artifact: Export, ptx: Ptx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    path = artifact("linear-model", "onnx")
    with pytest.raises(
        BackendError, match=r"OpenVINO is not installed: pip install 'ptx-toolkit\[openvino\]'"
    ):
        load(path, backend="openvino")
    done = ptx("predict", "4", "--model", path, "--backend", "openvino")
    assert (done.code, done.out) == (3, "")


def test_a_model_that_is_opened_in_another_precision_is_refused(
    artifact: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is where a processor has bfloat16 and the hint is not heeded."""
    asked: dict[str, Any] = {}

    class Core:
        def read_model(self, data: bytes, weights: bytes) -> bytes:
            return data

        def compile_model(self, model: bytes, device: str, settings: dict[str, Any]) -> Any:
            asked.update(settings)
            return SimpleNamespace(output=str, get_property=lambda name: "bf16")

    fake = SimpleNamespace(Type=SimpleNamespace(f32="f32"))
    monkeypatch.setattr(openvino_cpu, "import_openvino", lambda: fake)
    monkeypatch.setattr(openvino_cpu, "open_core", lambda process: Core())
    with pytest.raises(BackendError, match="opened the model in bf16; expected float32"):
        load(artifact("linear-model", "onnx"), backend="openvino", threads=3)
    assert asked == {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 3}


def test_auto_never_takes_it() -> None:
    assert "openvino" in BACKENDS
    assert "openvino" not in preferred()


def test_float64_is_refused_by_name(tmp_path: Path) -> None:
    pytest.importorskip("openvino")

    class Double(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * x

    axes = ["float64", ["batch", 2]]
    signature = {"inputs": {"x": axes}, "outputs": {"y": axes}}
    path = export(
        describe(Double(), signature=signature, task="passthrough"), "onnx", tmp_path / "d.onnx"
    ).path
    with pytest.raises(
        ArtifactError, match=r"'x' of .* is float64, but OpenVINO computes in float32"
    ):
        load(path, backend="openvino")


def test_what_it_cannot_load_or_run_is_an_artifact_error(
    artifact: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    openvino = pytest.importorskip("openvino")
    path = artifact("linear-model", "onnx")
    with load(path, backend="openvino") as predictor:
        backend: Any = predictor.backend
        with pytest.raises(
            ArtifactError, match=r"OpenVINO cannot run .*linear-model.onnx"
        ) as caught:
            backend.run({"x": np.zeros((1, 7), np.float32)})
        assert caught.value.code == "E-ONNX-RUN"

    def refuse(*_: Any) -> None:
        raise RuntimeError("no such\noperator")

    monkeypatch.setattr(openvino.Core, "read_model", refuse)
    with pytest.raises(ArtifactError, match=r"OpenVINO cannot load .*: no such operator") as caught:
        load(path, backend="openvino")
    assert caught.value.code == "E-ONNX-LOAD"


def test_a_signal_is_handled_after_two_models_were_open_and_are_gone(
    artifact: Export, child: Child
) -> None:
    """On a processor with AMX it ended the process, when each had a core of its own."""
    pytest.importorskip("openvino")
    said = child(
        """
import gc, signal, sys
from ptx.infer import load

opened = [load(sys.argv[1], backend="openvino") for _ in range(2)]
while opened:
    opened.pop(0).close()
    gc.collect()
signal.signal(signal.SIGINT, lambda *_: print("handled"))
signal.raise_signal(signal.SIGINT)
""",
        artifact("linear-model", "onnx"),
        timeout=60,
    )
    assert said.stdout == "handled\n"
