"""Reports of networks and files that are not in the catalog."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from torch import nn

from ptx.report.confusion import class_rows
from ptx.report.reporting import list_layers
from ptx.trainers import Evaluation

NETWORK = """
import torch
from torch import nn

class Always(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(2, 2)
        nn.init.zeros_(self.last.weight)
        self.last.bias.data = torch.tensor([1.0, 0.0])
    def forward(self, row):
        return self.last(row)
"""
SPEC = {
    "name": "risk",
    "inputs": {"row": ["float32", ["batch", 2]]},
    "outputs": {"logits": ["float32", ["batch", 2]]},
    "task": "classification",
    "labels": ["low", "high"],
    "preprocessing": {"kind": "tabular", "names": ["age", "weight"]},
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ptx: Any) -> Iterator[Path]:
    """A folder with a network that is exported, and a table."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "risky.py").write_text(NETWORK)
    (tmp_path / "net.json").write_text(json.dumps(SPEC))
    rows = [f"{age},{60 + age},{int(age > 20)}" for age in range(40)]
    (tmp_path / "rows.csv").write_text("\n".join(["age,weight,risk", *rows]))
    done = ptx("export", "risky:Always", "--spec", "net.json")
    assert done.code == 0, done.err
    yield tmp_path
    sys.modules.pop("risky", None)


def test_a_table_shows_that_every_row_gets_the_same_label(project: Path, ptx: Any) -> None:
    done = ptx("report", "risk", "--network", "risky:Always", "--data", "rows.csv")
    assert done.code == 0, done.err
    page = (project / "runs" / "risk" / "report.html").read_text()
    assert "Every row is predicted as low" in page
    assert "<h2>Classes</h2>" in page
    assert "<td>last</td>" in page  # of the table of layers
    done = ptx("evaluate", "risk", "--data", "rows.csv")
    assert "every row is predicted as 'low'" in done.err


def test_without_data_the_backends_are_compared_all_the_same(project: Path, ptx: Any) -> None:
    done = ptx("report", "risk", "--network", "risky:Always", "--output", "page.html")
    assert done.code == 0, done.err
    page = (project / "page.html").read_text()
    assert "Nothing was evaluated" in page
    assert "ort-cpu" in page
    assert "Confusion matrix" not in page


def test_an_onnx_file_of_another_tool_has_a_report(tmp_path: Path, ptx: Any) -> None:
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 3]) for n in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Tanh", ["x"], ["y"])], "theirs", values[:1], values[1:]
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9),
        tmp_path / "theirs.onnx",
    )
    done = ptx("report", tmp_path / "theirs.onnx", "--output", tmp_path / "page.html")
    assert done.code == 0, done.err
    page = (tmp_path / "page.html").read_text()
    assert "compared with the graph in float64" in page
    assert "no training history" not in page


def test_the_lowest_f1_comes_first_and_nothing_is_divided_by_zero() -> None:
    matrix = np.array([[8, 2, 0], [1, 9, 0], [5, 0, 0]])
    assert class_rows(matrix, ["a", "b", "c"]) == [
        ("c", "5", "-", "0.0 %", "0.0 %"),
        ("a", "10", "57.1 %", "80.0 %", "66.7 %"),
        ("b", "10", "81.8 %", "90.0 %", "85.7 %"),
    ]


def test_every_weight_is_counted_in_one_layer() -> None:
    """Attention has weights of its own and a layer within it."""
    network = nn.TransformerEncoderLayer(8, 2, 16)
    layers = list_layers(network)
    assert sum(weights for *_, weights in layers) == sum(
        one.numel() for one in network.parameters()
    )
    assert ("self_attn", "MultiheadAttention", 3 * 8 * 8 + 3 * 8) in layers
    assert ("dropout", "Dropout", 0) in layers


@pytest.mark.parametrize(
    ("confusion", "only"),
    [([[3, 0], [2, 0]], 0), ([[3, 0], [1, 1]], None), ([[0, 3], [0, 0]], None)],
)
def test_one_label_for_all_rows_is_noticed(confusion: list[list[int]], only: int | None) -> None:
    matrix: Any = np.array(confusion)
    assert Evaluation(5, 0.5, matrix, None, np.zeros(0, np.int64)).only_label == only
