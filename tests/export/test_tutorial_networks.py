"""A state dict of each documented network as typed in a tutorial: the file answers as that network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ptx.export import export, read_model
from ptx.infer import load
from ptx.models import CATALOG

from .networks.tutorial import TYPED


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(11)
    network = make().eval()
    for parameter in network.parameters():  # no weight is small enough to hide behind another
        torch.nn.init.uniform_(parameter, -0.3, 0.3)
    return network


def test_every_documented_network_is_typed_here() -> None:
    assert {model for model, _ in TYPED} == set(CATALOG)


@pytest.mark.parametrize(
    ("model", "make"), TYPED, ids=[f"{model}-{make.__name__}" for model, make in TYPED]
)
def test_a_tutorials_state_dict_is_exported_and_answers_as_its_network(
    model: str, make: Callable[[], nn.Module], tmp_path: Path
) -> None:
    network = seeded(make)
    path = tmp_path / "model.pth"
    torch.save(network.state_dict(), path)
    trained = read_model(path, model=model)
    exported = export(trained, "torchscript", tmp_path / "model.torchscript")
    signature = trained.manifest.signature
    sizes = {**dict.fromkeys(signature.dynamic_axes, 5), "batch": 3}
    inputs = signature.example(sizes, seed=4)
    if model == "name-classifier":
        inputs["lengths"] = np.array([5, 2, 4])
        inputs["characters"][1, 2:] = inputs["characters"][2, 4:] = 0
    with torch.no_grad():
        expected = network(*(torch.from_numpy(array) for array in inputs.values())).numpy()
    with load(exported.path, trust=True, device="cpu") as predictor:
        (got,) = predictor.run(inputs).values()
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
