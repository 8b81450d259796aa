"""Roundings that the network itself magnifies refuse no right file, and hide no wrong one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ptx.export import describe, export
from ptx.export.check.matrix import make_matrix
from ptx.export.check.precision import PRECISIONS
from ptx.infer import AgreementError, ArtifactError, read_artifact

from .test_unprovable import SIGNATURE, Frozen, Injected

SOUND = {
    "inputs": {"sound": ["float32", ["batch", 1, 300]]},
    "outputs": {"y": ["float32", ["batch", 4, 97]]},
}


class Normalised(nn.Module):
    """Over time, as the first layer of speech networks is: a constant sound leaves rounding alone."""

    def __init__(self, *, traced_epsilon: float = 1e-7) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.traced_epsilon = nn.Conv1d(1, 4, 10, 3, bias=False), traced_epsilon

    def forward(self, sound: Tensor) -> Tensor:
        values = self.layer(0.1 * sound)
        epsilon = self.traced_epsilon if torch._C._get_tracing_state() else 1e-7
        centred: Tensor = values - values.mean(2, keepdim=True)
        return centred / (centred.square().mean(2, keepdim=True).sqrt() + epsilon)


def test_a_constant_input_that_leaves_rounding_alone_is_left_out_and_recorded(
    tmp_path: Path,
) -> None:
    trained = describe(Normalised(), signature=SOUND)
    path = export(trained, "torchscript", tmp_path / "net").path
    left_out = read_artifact(path).require_manifest().verification["ill_conditioned"]
    assert left_out
    assert {title.split()[0] for title in left_out} <= {"ones", "extremes"}
    largest = max(np.abs(case.exact["y"]).max() for case in trained.equivalence_check.cases)
    assert trained.equivalence_check.tolerances["random", "y"] < 1e-4 * largest


class Rectified(Normalised):
    """Rounding alone decides whether a number of a constant sound is 0: half of all runs show it."""

    def forward(self, sound: Tensor) -> Tensor:
        return functional.relu(super().forward(sound)[:, :, 0])


def test_rounding_that_shows_in_half_of_all_runs_is_found() -> None:
    network = Rectified()
    network.layer = nn.Conv1d(1, 64, 10, 3, bias=False)
    signature = {"inputs": SOUND["inputs"], "outputs": {"y": ["float32", ["batch", 64]]}}
    proof = describe(network, signature=signature).equivalence_check
    proof.check_network()
    assert {title.split()[0] for title in proof.ill_conditioned} == {"ones"}


def test_another_epsilon_is_refused_where_constant_inputs_are_left_out(tmp_path: Path) -> None:
    with pytest.raises(AgreementError, match="output 'y' is off by"):
        export(Normalised(traced_epsilon=1e-4), "torchscript", tmp_path / "net", signature=SOUND)


def test_an_ordinary_network_leaves_nothing_out(tmp_path: Path) -> None:
    path = export(Injected(torch.relu), "torchscript", tmp_path / "net", signature=SIGNATURE).path
    assert "ill_conditioned" not in read_artifact(path).require_manifest().verification


def test_a_fault_at_a_constant_input_alone_is_refused() -> None:
    proof = describe(Injected(torch.relu), signature=SIGNATURE).equivalence_check

    def run(inputs: Any) -> dict[str, Any]:
        outputs = proof.reference.eager(inputs)
        return {"y": outputs["y"] + np.float32(1e-4) * (inputs["x"].std() == 0)}

    with pytest.raises(AgreementError, match=r"at (zeros|ones|extremes) input"):
        proof.check(run, "injected")


def test_a_nan_at_an_input_that_is_left_out_is_refused() -> None:
    proof = describe(Normalised(), signature=SOUND).equivalence_check

    def run(inputs: Any) -> dict[str, Any]:
        outputs = proof.reference.eager(inputs)
        return {"y": outputs["y"] * (np.nan if (inputs["sound"] == 1).all() else 1)}

    with pytest.raises(AgreementError, match=r"at ones input.* is not finite"):
        proof.check(run, "injected")


# The network in its own precision as the reference.

PAIR = {
    "inputs": {
        "image": ["float32", ["batch", 3, 96, 96]],
        "flow": ["float32", ["batch", 2, 96, 96]],
    },
    "outputs": {"y": ["float32", ["batch", 3, 96, 96]]},
}


class Warp(nn.Module):
    """Moves pixels by a flow, in float32 whatever it is given; `traced`: how the file does."""

    def __init__(self, **traced: Any) -> None:
        super().__init__()
        self.traced = traced

    def forward(self, image: Tensor, flow: Tensor) -> Tensor:
        rows, columns = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
        places = torch.stack([columns, rows], -1).float() + 3 * flow.float().permute(0, 2, 3, 1)
        how: dict[str, Any] = {"align_corners": True}
        if torch._C._get_tracing_state():
            how.update(self.traced)
        sampled: Tensor = functional.grid_sample(image.float(), 2 * places / 95 - 1, **how)
        return sampled


def test_the_error_of_a_reference_in_float32_is_measured() -> None:
    proof = describe(Warp(), signature=PAIR).equivalence_check
    assert proof.name == "eager float32"
    exact = max(np.abs(case.exact["y"]).max() for case in proof.cases if case.pattern == "random")
    least, tolerance = 32 * 2**-23 * exact, proof.tolerances["random", "y"]
    assert 2 * least < tolerance < PRECISIONS["float32"].ceiling * exact


@pytest.mark.parametrize("traced", [{"align_corners": False}, {"padding_mode": "border"}])
def test_a_file_that_samples_otherwise_is_refused(traced: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(AgreementError, match="output 'y' is off by"):
        export(Warp(**traced), "torchscript", tmp_path / "net", signature=PAIR)


def test_sampling_along_a_flow_is_exported(tmp_path: Path) -> None:
    export(Warp(), "onnx", tmp_path / "net", signature=PAIR)


class InFloat32(nn.Module):
    """A network that is computed in float32 whatever it is given."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network = Injected(between)

    def forward(self, x: Tensor) -> Tensor:
        first, last = self.network.first, self.network.last
        hidden = functional.linear(x.float(), first.weight.float(), first.bias.float())
        hidden = self.network.between(hidden)
        return functional.linear(hidden, last.weight.float(), last.bias.float())


def test_a_mean_over_the_batch_is_refused_in_float32_too(tmp_path: Path) -> None:
    network = InFloat32(lambda x: x - x.mean(dim=0))
    with pytest.raises(ArtifactError) as caught:
        export(network, "torchscript", tmp_path / "net", signature=SIGNATURE)
    assert caught.value.code == "E-ROWS"


# The short matrix of heavy networks.


@pytest.fixture
def heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every network that multiplies takes the short matrix."""
    monkeypatch.setattr("ptx.export.check.matrix.WORK", 0)


def test_a_heavy_network_is_run_on_fewer_rows(heavy: None, tmp_path: Path) -> None:
    path = export(Injected(torch.relu), "onnx", tmp_path / "net", signature=SIGNATURE).path
    verification = read_artifact(path).require_manifest().verification
    assert verification["batches"] == [1, 2, 3]
    assert verification["cases"] == 6


@pytest.mark.parametrize(
    ("network", "code"),
    [
        (lambda: Injected(lambda x: functional.dropout(x)), "E-RANDOM"),
        (lambda: Injected(lambda x: x - x.mean(dim=0)), "E-ROWS"),
        (lambda: nn.Sequential(nn.Linear(8, 8), Frozen()), "E-ROWS"),
        (lambda: Injected(lambda x: (x + 1e6) - 1e6), "E-PRECISION"),
    ],
)
def test_a_heavy_network_that_cannot_be_proved_is_refused(
    network: Callable[[], nn.Module], code: str, heavy: None, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError) as caught:
        export(network(), "torchscript", tmp_path / "net", signature=SIGNATURE)
    assert caught.value.code == code


def test_the_short_matrix_has_each_length_of_each_axis(heavy: None) -> None:
    signature = describe(
        nn.Identity(),
        signature={
            "inputs": {"x": ["float32", ["height", "batch", "width"]]},
            "outputs": {"y": ["float32", ["height", "batch", "width"]]},
        },
    ).manifest.signature
    cases = [sizes for fill, sizes, _ in make_matrix(signature, {}, short=True) if fill == "random"]
    for axis in ("height", "width"):
        assert {sizes[axis] for sizes in cases} == {1, 2, 14, 28, 40}
    assert {sizes["batch"] for sizes in cases} == {1, 2, 3}
    assert all(sizes["height"] != sizes["width"] for sizes in cases)


NEARLY_ZERO = {
    "inputs": {"x": ["float32", ["batch", 64]]},
    "outputs": {"y": ["float32", ["batch", 40]]},
}


def nearly_zero(seed: int) -> nn.Module:
    """Behind its last ReLU half of the columns are 0, but for a few values that are nearly 0."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 40), nn.ReLU()).eval()
    last = network[2]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.bias.zero_()
        before = network[:3](torch.randn(300, 64))
        last.bias[20:] = -before[:, 20:].max(0).values * 0.9999
    return network


@pytest.mark.parametrize("seed", [1, 5, 32, 39])  # all were refused: "allowed 4.6e-14"
def test_columns_that_a_relu_leaves_nearly_zero_refuse_no_right_file(
    seed: int, tmp_path: Path
) -> None:
    done = export(nearly_zero(seed), "onnx", tmp_path / "net", signature=NEARLY_ZERO)
    assert done.tolerance < 1e-4


@pytest.mark.parametrize("seed", [1, 5])
def test_an_error_of_a_nearly_zero_column_is_found(seed: int) -> None:
    """The smallest column with a value is off by a hundredth of it."""
    trained = describe(nearly_zero(seed), signature=NEARLY_ZERO)
    check = trained.equivalence_check
    largest = np.max([np.abs(case.exact["y"]).max(axis=0) for case in check.cases], axis=0)
    column = int(np.argmin(np.where(largest > 1e-3 * largest.max(), largest, np.inf)))
    assert largest[column] < largest.max() / 4

    def run(inputs: Any) -> dict[str, Any]:
        outputs = check.reference.eager(inputs)["y"].copy()
        outputs[:, column] *= 1.01
        return {"y": outputs}

    with pytest.raises(AgreementError):
        check.check(run, "ort-cpu")
