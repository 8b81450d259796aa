"""scripts/checks/own_networks.py: a network of torchvision from export to a prediction."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "checks" / "own_networks.py"


def test_a_network_of_torchvision_is_proved_and_predicts_a_photograph(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main = runpy.run_path(str(SCRIPT))["main"]
    assert main(["--networks", "mobilenet_v3_small", "--formats", "onnx"]) == 0
    *_, line = capsys.readouterr().out.splitlines()
    assert line.startswith("mobilenet_v3_small")
    assert line.endswith("agrees")


def test_a_prediction_that_is_not_torchvision_s_fails(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    script = runpy.run_path(str(SCRIPT))
    case = script["make_case"]("mobilenet_v3_small")
    photo = script["make_photo"](tmp_path / "photo.jpg")
    label, score = case.answer(photo)
    done = script["export"](case.trained(photo), "torchscript", tmp_path / "net.torchscript")
    assert script["check"](done, photo, (label, score)) == "agrees"
    assert script["check"](done, photo, (label, score * 1.001)).startswith("FAILS")
    assert script["check"](done, photo, ("another", score)).startswith("FAILS")
