"""Networks that no file could agree with, and those that only look so: injected, in every format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ptx.export import EXPORTERS, TrainedModel, describe, export
from ptx.export.check.precision import PRECISIONS
from ptx.infer import AgreementError, ArtifactError, load, read_artifact

SIGNATURE = {
    "inputs": {"x": ["float32", ["batch", 8]]},
    "outputs": {"y": ["float32", ["batch", 3]]},
}


class Injected(nn.Module):
    """Two layers with something between them."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 3)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.between(self.first(x)))
        return y


class Frozen(nn.Module):
    """A batch normalisation that eval() does not reach."""

    def __init__(self) -> None:
        super().__init__()
        self.normalisation = nn.BatchNorm1d(8)

    def train(self, mode: bool = True) -> Frozen:
        return self

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.normalisation(torch.cat([x, -x]))[: len(x), :3]
        return y


class Counting(nn.Module):
    """Which keeps a state from one call to the next."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        return x[:, :3] * self.calls


REFUSED: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "dropout in forward": (
        lambda: Injected(lambda x: nn.functional.dropout(x)),
        "E-RANDOM",
        r"two runs of the network .* differ, at random input, batch 1: it draws random numbers",
    ),
    "noise": (
        lambda: Injected(lambda x: x + 1e-3 * torch.randn_like(x)),
        "E-RANDOM",
        r"two runs of the network over the same input differ",
    ),
    "a state": (Counting, "E-RANDOM", r"or keeps a state"),
    "the mean over the batch": (
        lambda: Injected(lambda x: x - x.mean(dim=0)),
        "E-ROWS",
        r"depends on the rest of its batch, at random input, batch 3: output 'y' of row 0",
    ),
    "normalised by the batch": (
        Frozen,
        "E-ROWS",
        r"a batch normalization that eval\(\) leaves in training mode",
    ),
    "a difference of large numbers": (
        lambda: Injected(lambda x: (x + 1e6) - 1e6),
        "E-PRECISION",
        r"output 'y'.* of eager float32 is off by [\d.e-]+, and its largest number is [\d.]+: float32",
    ),
}


@pytest.mark.parametrize("injected", REFUSED)
@pytest.mark.parametrize("format_name", EXPORTERS)
@pytest.mark.filterwarnings("ignore")  # of the exporters, about themselves
def test_a_network_that_no_file_could_agree_with_is_refused(
    injected: str, format_name: str, tmp_path: Path
) -> None:
    network, code, message = REFUSED[injected]
    with pytest.raises(ArtifactError, match=message) as caught:
        export(network(), format_name, tmp_path / "net", signature=SIGNATURE)
    assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []


def test_a_backend_with_two_answers_to_one_input_is_refused() -> None:
    proof = describe(Injected(torch.relu), signature=SIGNATURE).equivalence_check
    calls: list[None] = []

    def run(inputs: Any) -> dict[str, Any]:
        calls.append(None)
        outputs = proof.reference.eager(inputs)
        return {"y": np.nextafter(outputs["y"], np.float32(9))} if len(calls) % 2 else outputs

    with pytest.raises(
        AgreementError, match="two runs of injected over the same input differ, at"
    ) as caught:
        proof.check(run, "injected")
    assert caught.value.code == "E-RANDOM"


# Outputs that mix scales.

HEADS = {
    "one output": {"inputs": SIGNATURE["inputs"], "outputs": {"head": ["float32", ["batch", 3]]}},
    "two outputs": {
        "inputs": SIGNATURE["inputs"],
        "outputs": {"pixels": ["float32", ["batch", 2]], "sure": ["float32", ["batch", 1]]},
    },
}


class Box(nn.Module):
    """Two pixels of ±4000 and a probability."""

    def __init__(self, *, parted: bool, fault: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.parted, self.fault = nn.Linear(8, 3), parted, fault

    def forward(self, x: Tensor) -> Any:
        parts = self.layer(x)
        pixels, sure = 4000 * torch.tanh(parts[:, :2]), torch.sigmoid(parts[:, 2:])
        if torch._C._get_tracing_state():
            sure = sure + self.fault
        return (pixels, sure) if self.parted else torch.cat([pixels, sure], dim=1)


def box(form: str, fault: float = 0.0) -> TrainedModel:
    return describe(Box(parted=form == "two outputs", fault=fault), signature=HEADS[form])


@pytest.mark.parametrize("form", HEADS)
def test_a_probability_beside_pixels_is_held_to_its_own_size(form: str, tmp_path: Path) -> None:
    column = "output 'head', column 2," if form == "one output" else "output 'sure'"
    with pytest.raises(
        AgreementError, match=rf"{column} is off by [\d.e-]+; allowed are [\d.e-]+;"
    ):
        export(box(form, 1e-3), "torchscript", tmp_path / "net")
    assert list(tmp_path.iterdir()) == []
    export(box(form), "torchscript", tmp_path / "net")


def test_no_tolerance_is_above_the_ceiling() -> None:
    proof = describe(Injected(lambda x: (x + 1e4) - 1e4), signature=SIGNATURE).equivalence_check
    largest = np.max([np.abs(case.exact["y"]).max(axis=0) for case in proof.cases], axis=0)
    for columns in proof.column_tolerances.values():
        assert (columns <= PRECISIONS["float32"].ceiling * largest).all()
    assert np.isclose(
        proof.column_tolerances["random", "y"], PRECISIONS["float32"].ceiling * largest
    ).any()


def test_a_small_column_of_logits_is_allowed_what_the_others_are(tmp_path: Path) -> None:
    """One logit that is a hundred times smaller than the others, from the same sums."""
    network = Injected(torch.relu)
    with torch.no_grad():
        network.last.weight[1] *= 0.01
        network.last.bias[1] = 0.0
    for format_name in EXPORTERS:
        export(network, format_name, tmp_path / format_name, signature=SIGNATURE)


# In place.


class InPlace(nn.Module):
    """Changes what it is given: a leading ReLU, a mean that is taken off."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mean, self.relu, self.layer = (
            nn.Parameter(torch.randn(8)),
            nn.ReLU(True),
            nn.Linear(8, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(self.relu(x.sub_(self.mean)))
        return y


@pytest.mark.parametrize("format_name", EXPORTERS)
def test_a_network_that_works_in_place_is_exported_and_leaves_its_inputs(
    format_name: str, tmp_path: Path
) -> None:
    trained = describe(InPlace(), signature=SIGNATURE, samples={"x": np.ones((4, 8), np.float32)})
    path = export(trained, format_name, tmp_path / "net").path
    assert (trained.samples["x"] == 1).all()
    x = np.ones((2, 8), np.float32)
    with load(path, trust=True, device="cpu") as predictor:
        first = predictor.run({"x": x})["y"]
        assert (x == 1).all()
        assert np.array_equal(predictor.run({"x": x})["y"], first)
    np.testing.assert_allclose(
        first, trained.equivalence_check.reference.exact({"x": x})["y"], rtol=1e-5
    )


# Float32 made in forward.


class Recurrent(nn.Module):
    """The tutorial's: h0 and c0 are zeros of float32, whatever the weights are."""

    def __init__(self, dtype: torch.dtype | None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.last, self.dtype = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 3), dtype

    def forward(self, x: Tensor) -> Tensor:
        h0 = torch.zeros(1, x.size(0), 16, dtype=self.dtype)
        c0 = torch.zeros(1, x.size(0), 16, dtype=self.dtype)
        states, _ = self.lstm(x, (h0, c0))
        y: Tensor = self.last(states[:, -1])
        return y


SEQUENCE = {**SIGNATURE, "inputs": {"x": ["float32", ["batch", 5, 8]]}}


@pytest.mark.parametrize(
    ("dtype", "reference"),
    [(None, "eager float64 (default dtype float64)"), (torch.float32, "eager float32")],
)
@pytest.mark.parametrize("format_name", EXPORTERS)
@pytest.mark.filterwarnings("ignore")
def test_float32_zeros_in_forward_are_proved_by_a_reference_that_is_named(
    dtype: torch.dtype | None, reference: str, format_name: str, tmp_path: Path
) -> None:
    before = torch.get_default_dtype()
    done = export(Recurrent(dtype), format_name, tmp_path / "net", signature=SEQUENCE)
    assert torch.get_default_dtype() == before
    assert done.reference == reference
    assert read_artifact(done.path).require_manifest().verification["reference"] == reference


def test_the_reference_of_float32_is_the_tighter_one() -> None:
    exact, rough = (
        describe(Recurrent(dtype), signature=SEQUENCE).equivalence_check.tolerances["random", "y"]
        for dtype in (None, torch.float32)
    )
    assert 0 < rough <= exact * (1 + 1e-6)


def test_the_default_dtype_is_restored_where_the_network_fails() -> None:
    class Fails(Recurrent):
        def forward(self, x: Tensor) -> Tensor:
            if torch.get_default_dtype() == torch.float64:
                raise ValueError("no")
            return super().forward(x)

    before = torch.get_default_dtype()
    assert describe(Fails(None), signature=SEQUENCE).equivalence_check.name == "eager float32"
    assert torch.get_default_dtype() == before


class Rounds(Injected):
    """Which turns what it is given into float32 at once."""

    def forward(self, x: Tensor) -> Tensor:
        weights = [p.float() for p in (self.first.weight, self.last.weight)]
        return x.float() @ weights[0].T @ weights[1].T


def test_a_network_that_computes_in_float32_anyway_is_not_called_float64() -> None:
    assert (
        describe(Rounds(torch.relu), signature=SIGNATURE).equivalence_check.name == "eager float32"
    )
    assert (
        describe(Injected(torch.relu), signature=SIGNATURE).equivalence_check.name
        == "eager float64"
    )
