"""Times of the nodes of a file, and the errors beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ptx.export import PROFILED_BACKENDS, describe, export, locate, profile_nodes
from ptx.infer import UsageError, read_artifact
from ptx.report import node_table

from .faults import plant
from .harness import subject

pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporters, about themselves

FORMATS = {"ort-cpu": "onnx", "pt2": "pt2", "torchscript": "torchscript"}
SIGNATURE = {
    "inputs": {"rows": ["float32", ["batch", 64]]},
    "outputs": {"scores": ["float32", ["batch", 4]]},
}


class Wide(nn.Module):
    """One layer has 250 times the work of the others."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow, self.wide = nn.Linear(64, 4), nn.Linear(4, 250_000)
        self.last = nn.Linear(4, 4)

    def forward(self, rows: Tensor) -> Tensor:
        few = torch.tanh(self.narrow(rows))
        scores: Tensor = self.last(few + self.wide(few)[:, :4])
        return scores


@pytest.mark.parametrize("backend", FORMATS)
def test_the_slowest_node_has_its_module_and_its_error(backend: str, tmp_path: Path) -> None:
    trained = describe(Wide(), signature=SIGNATURE, name="wide")
    path = tmp_path / f"wide.{FORMATS[backend]}"
    export(trained, FORMATS[backend], path)
    artifact = read_artifact(path)
    inputs = artifact.require_manifest().signature.example({"batch": 3})
    found = profile_nodes(
        artifact,
        inputs,
        backend=backend,
        seconds=0.05,
        location=locate(trained, artifact, backend=backend),
    )
    assert (found.backend, found.batch) == (backend, 3)
    assert found.runs >= 3
    slowest = found.slowest()[0]
    assert slowest.step is not None
    assert slowest.step.origin.module == "wide"
    assert 0 < slowest.step.local.error < slowest.step.local.tolerance
    assert slowest.seconds > found.seconds / 4
    data = json.loads(json.dumps(found.to_data()))
    assert sum(node["time_share"] for node in data["nodes"]) == pytest.approx(1)
    assert {"wide", "narrow"} <= {node["module"] for node in data["nodes"]}
    assert " wide " in node_table(found).splitlines()[2]


def test_the_error_of_a_planted_fault_is_beside_the_time_of_its_fused_node() -> None:
    one = subject("vision")
    planted = plant(one.content, "weight", 0, 0)
    assert planted is not None
    artifact = one.artifact(planted[0])
    inputs = artifact.require_manifest().signature.example({"batch": 2})
    location = one.locate(planted[0])
    found = profile_nodes(artifact, inputs, seconds=0.01, location=location)
    wrong = [node for node in found.nodes if node.step is not None and node.step.disagrees]
    assert [node.step for node in wrong] == [location.step]
    assert wrong[0].node.startswith("Conv ")


def test_a_backend_without_a_profile_by_node_is_refused() -> None:
    one = subject("vision")
    assert "openvino" not in PROFILED_BACKENDS
    with pytest.raises(UsageError, match="openvino"):
        profile_nodes(one.artifact(one.content), {}, backend="openvino")
