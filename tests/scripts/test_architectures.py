"""scripts/checks/architectures.py and one_architecture.py: outcomes, and the page of them."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ptx.infer import UsageError

CHECKS = Path(__file__).parents[2] / "scripts" / "checks"


@pytest.fixture(scope="module")
def worker() -> dict[str, Any]:
    return runpy.run_path(str(CHECKS / "one_architecture.py"))


@pytest.fixture
def tiny(worker: dict[str, Any]) -> Any:
    """A convolution with its input."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    return worker["Architecture"](network, (worker["Input"]("image", ("batch", 3, 8, 8)),))


@pytest.mark.parametrize("exporter", ["export_plainly", "export_with_ptx"])
def test_a_right_file_agrees_on_other_inputs(
    exporter: str, worker: dict[str, Any], tiny: Any, tmp_path: Path
) -> None:
    found = worker["attempt"](tiny, worker[exporter], tmp_path / "net.onnx")
    assert found["outcome"] == "right"
    assert 0 <= found["difference"] < 1e-5
    assert found["seconds"] > 0


class Another(nn.Module):
    """Differs from a network by a twentieth."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        outputs: Tensor = self.network(image) * 1.05
        return outputs


def test_the_file_of_another_network_is_wrong(
    worker: dict[str, Any], tiny: Any, tmp_path: Path
) -> None:
    def exporter(architecture: Any, path: Path) -> None:
        changed = worker["Architecture"](Another(architecture.network).eval(), architecture.inputs)
        worker["export_plainly"](changed, path)

    found = worker["attempt"](tiny, exporter, tmp_path / "net.onnx")
    assert found["outcome"].startswith("wrong: differs by")


def raising(error: Exception) -> Callable[[Any, Path], None]:
    def exporter(architecture: Any, path: Path) -> None:
        raise error

    return exporter


@pytest.mark.parametrize(
    ("exporter", "outcome"),
    [
        (raising(UsageError("no\nsecond line")), "refused: E-USAGE: no"),
        (raising(ValueError("a bug")), "fails: ValueError: a bug"),
        (lambda architecture, path: path.write_bytes(b"no model"), "wrong: "),
    ],
)
def test_what_went_wrong_is_said_in_a_line(
    exporter: Any, outcome: str, worker: dict[str, Any], tiny: Any, tmp_path: Path
) -> None:
    found = worker["attempt"](tiny, exporter, tmp_path / "net.onnx")
    assert found["outcome"].startswith(outcome)
    assert "\n" not in found["outcome"]


def test_random_weights_give_numbers_of_a_usual_size(worker: dict[str, Any]) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 5))
    nn.init.normal_(network[0].weight, std=1e3)  # type: ignore[arg-type]  # a parameter
    nn.init.zeros_(network[3].weight)  # type: ignore[arg-type]
    architecture = worker["Architecture"](
        network.eval(), (worker["Input"]("image", ("batch", 3, 8, 8)),)
    )
    worker["settle"](architecture)
    outputs = network(*architecture.random({"batch": 4}, 3)).detach()
    assert not network[1].training
    assert 0.01 < float(outputs.std()) < 100


def record(name: str, ptx: str, plain: str = "right") -> dict[str, Any]:
    return {
        "name": name,
        "parameters": 1000,
        "date": "2030-01-02",
        "ptx": {"outcome": ptx, "seconds": 3.0},
        "plain": {"outcome": plain, "seconds": 2.0},
        "versions": {"torch": "2.15"},
    }


def test_the_page_counts_outcomes_by_library() -> None:
    page = runpy.run_path(str(CHECKS / "architectures.py"))["page"](
        [
            record("timm:a", "right"),
            record("timm:b", "refused: E-ROWS: a|b"),
            record("transformers:c", "wrong: differs by 1.0e+00"),
            {"name": "timm:d", "parameters": 7, "date": "2030-01-03", "stopped": "more than 3 GB"},
        ]
    )
    assert "4 of the 150 networks in scripts/checks/architectures.txt so far" in page
    assert "2030-01-02 to 2030-01-03 with torch 2.15" in page
    assert "| timm | 3 | 1 | 1 | 0 | 1 | 1.5 |" in page
    assert "| transformers | 1 | 0 | 0 | 1 | 0 |  |" in page
    assert "| all | 4 | 1 | 1 | 1 | 1 | 1.5 |" in page
    assert "| a | timm | 1,000 | right | 3.0 | right | 2.0 | 1.5 |" in page
    assert "| b | timm | 1,000 | refused: E-ROWS: a\\|b | 3.0 | right | 2.0 |  |" in page
    assert "| d | timm | 7 | stopped: more than 3 GB |  |  |  |  |" in page


def test_the_names_are_of_known_libraries_and_each_stands_once(worker: dict[str, Any]) -> None:
    names = worker["NAMES"].read_text().split()
    assert len(names) == len(set(names)) >= 121
    assert {name.partition(":")[0] for name in names} == set(worker["BUILDERS"])
