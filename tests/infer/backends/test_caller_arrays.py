"""No backend writes into its caller's arrays, and no output is memory that somebody else holds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ptx.export import describe, export
from ptx.infer import load
from ptx.infer.backends import BACKENDS
from ptx.infer.predictor import Predictor

HERE = [name for name in BACKENDS if name != "ort-cuda"]  # runs on any machine
if find_spec("openvino") is None:
    HERE.remove("openvino")
SIGNATURE = {
    "inputs": {"x": ["float32", ["batch", 4]]},
    "outputs": {name: ["float32", ["batch", 4]] for name in ("changed", "again", "weight")},
}

Open = Callable[[str], Predictor]


class Borrowing(nn.Module):
    """Works in place, returns what it was given, one tensor twice and a weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.arange(4.0))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        changed = nn.functional.relu(x.sub_(self.mean), inplace=True)
        return changed, changed, self.mean.expand(x.shape[0], 4)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Open:
    """`opened(backend)`: the injected network on the CPU, at `predictor.backend` without any check."""
    trained = describe(Borrowing(), signature=SIGNATURE)

    @cache
    def open_one(backend: str) -> Predictor:
        kind = BACKENDS[backend].artifact_format
        path: Path = tmp_path_factory.mktemp(backend) / "net"
        if kind == "checkpoint":
            trained.save(path)
        else:
            export(trained, kind, path)
        network = Borrowing if kind == "checkpoint" else None
        return load(path, backend=backend, device="cpu", trust=True, network=network)

    return open_one


def given(rows: int) -> dict[str, np.ndarray]:
    return {"x": np.full((rows, 4), 2.5, np.float32)}


@pytest.mark.parametrize("rows", [1, 3, 64])
@pytest.mark.parametrize("backend", HERE)
@pytest.mark.filterwarnings("ignore")
def test_a_run_leaves_its_inputs_as_they_were(opened: Open, backend: str, rows: int) -> None:
    run = opened(backend).backend.run
    inputs = given(rows)
    first, second = run(inputs), run(inputs)
    assert (inputs["x"] == 2.5).all()
    expected = np.maximum(2.5 - np.arange(4, dtype=np.float32), 0)
    for outputs in (first, second):
        assert np.array_equal(outputs["changed"], np.tile(expected, (rows, 1)))


@pytest.mark.parametrize("rows", [1, 3, 64])
@pytest.mark.parametrize("backend", HERE)
@pytest.mark.filterwarnings("ignore")
def test_an_output_shares_its_memory_with_nobody(opened: Open, backend: str, rows: int) -> None:
    run = opened(backend).backend.run
    inputs = given(rows)
    first, second = run(inputs), run(inputs)
    arrays = [inputs["x"], *first.values(), *second.values()]
    for place, array in enumerate(arrays):
        assert not any(np.shares_memory(array, other) for other in arrays[place + 1 :])


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.filterwarnings("ignore")
def test_who_writes_into_an_output_changes_no_later_answer(opened: Open, backend: str) -> None:
    run = opened(backend).backend.run
    expected = {name: array.copy() for name, array in run(given(2)).items()}
    for array in run(given(2)).values():
        array[:] = 99
    for name, array in run(given(2)).items():
        assert np.array_equal(array, expected[name])
