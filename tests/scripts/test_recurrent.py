"""scripts/checks/recurrent.py: a small part of its table, and that a wrong file is found."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from torch import nn

SCRIPT = Path(__file__).parents[2] / "scripts" / "checks" / "recurrent.py"

# PyTorch warns that oneDNN has no LSTM with projections.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("recurrent_layers", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return vars(module)


@pytest.mark.parametrize(
    "options",
    [
        {"layer": "LSTM-projected", "bidirectional": True, "layers": 2, "states": "in-out"},
        {"layer": "LSTM-projected", "bidirectional": True, "packed": True},
        {"layer": "GRU", "layers": 2, "packed": True, "states": "in-out"},
        {"layer": "RNN-relu", "batch_first": True, "bidirectional": True, "packed": True},
        {"layer": "RNN-tanh", "layers": 2, "states": "in-out"},
    ],
)
def test_a_recurrent_layer_is_exported_and_right(
    options: dict[str, Any], script: dict[str, Any], tmp_path: Path
) -> None:
    results = script["run"](script["Combination"](**options), script["FORMATS"], tmp_path)
    assert {name: result.verdict for name, result in results.items()} == dict.fromkeys(
        script["FORMATS"], "right"
    )


def test_outputs_of_another_layer_are_wrong(script: dict[str, Any]) -> None:
    combination = script["Combination"]("GRU")
    network = script["Recurrent"](combination).eval()
    signature = script["describe"](network, signature=combination.signature()).manifest.signature
    inputs = signature.example({"batch": 2, "time": 3})
    outputs = script["run_torch"](network)(inputs)
    assert script["equal"](network, inputs, dict(enumerate(outputs)))
    nn.init.zeros_(network.layer.bias_hh_l0)
    assert not script["equal"](network, inputs, dict(enumerate(outputs)))
