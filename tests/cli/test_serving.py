"""What `ptx serve` opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ptx.cli.commands.serve import find_source
from ptx.cli.workspace import Workspace
from ptx.infer import Options
from ptx.serve import ServerSettings, settings


@pytest.mark.parametrize(
    ("workers", "requested", "expected"), [(1, None, None), (2, None, 4), (16, None, 1), (2, 3, 3)]
)
def test_workers_share_the_cpus(
    artifact: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    requested: int | None,
    expected: int | None,
) -> None:
    monkeypatch.setattr(settings, "available_cpus", lambda: 8)
    source = find_source(
        Workspace(tmp_path),
        f"a={artifact('convnet', 'onnx')}",
        "ort-cpu",
        Options(threads=requested),
        ServerSettings(workers=workers),
    )
    with source.open() as predictor:
        assert predictor.backend._options.threads == expected  # type: ignore[attr-defined]


def test_a_backend_that_cannot_be_interrupted_is_served_without_a_time_limit(
    artifact: Any, tmp_path: Path
) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed (extra openvino)")
    source = find_source(
        Workspace(tmp_path),
        f"a={artifact('convnet', 'onnx')}",
        "openvino",
        Options(timeout=60.0),
        ServerSettings(),
    )
    with source.open() as predictor:
        assert predictor.backend.name == "openvino"
