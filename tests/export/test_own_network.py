"""Networks that are not of the catalog: exported, proved, loaded again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ptx.export import TrainedModel, describe, export, read_model
from ptx.export.check.matrix import BATCHES, batch_sizes
from ptx.export.check.precision import PRECISIONS
from ptx.export.check.tolerance import CONSTANT_PATTERNS, FACTOR
from ptx.infer import (
    AgreementError,
    ArtifactError,
    InputError,
    UsageError,
    load,
    read_artifact,
    verify,
)
from ptx.infer.signature import Signature

SIGNATURE = {
    "inputs": {"image": ["float32", ["batch", 3, 16, 16]]},
    "outputs": {"logits": ["float32", ["batch", 3]]},
}
PHOTO = {"kind": "rgb-image", "resize": 18, "size": [16, 16], "mean": [0.5] * 3, "std": [0.25] * 3}
LABELS = ("daisy", "rose", "tulip")
PAIR = {
    "inputs": {"left": ["float32", ["batch", 4]], "right": ["float32", ["batch", 4]]},
    "outputs": {"sum": ["float32", ["batch", 4]], "product": ["float32", ["batch", 4]]},
}


class FlowerNet(nn.Module):
    """A convolution, a normalisation with a counter and a table of indices, as others have."""

    order: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 5, stride=2)
        self.normalisation = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Linear(8, 3)
        self.register_buffer("order", torch.tensor([2, 0, 1]))

    def forward(self, image: Tensor) -> Tensor:
        features = self.normalisation(self.convolution(image)).relu().mean(dim=(2, 3))
        logits: Tensor = self.classifier(self.dropout(features))[:, self.order]
        return logits


class Pair(nn.Module):
    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        return left + right, left * right


def flowers() -> FlowerNet:
    torch.manual_seed(3)
    return FlowerNet()


def custom_model(**changes: Any) -> TrainedModel:
    about: Any = {
        "signature": SIGNATURE,
        "preprocessing": PHOTO,
        "labels": LABELS,
        "task": "classification",
        **changes,
    }
    return describe(flowers(), **about)


def test_a_network_is_exported_in_one_call_and_predicts(tmp_path: Path) -> None:
    network = flowers()
    done = export(
        network,
        "torchscript",
        str(tmp_path / "net.torchscript"),
        signature=SIGNATURE,
        preprocessing=PHOTO,
        labels=LABELS,
        task="classification",
    )
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert done.rows == 0
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    with load(done.path, trust=True) as predictor:
        assert predictor.manifest.model == "flower-net"
        answer = predictor.predict(pixels)
        image = predictor.preprocessing.collate([predictor.preprocessing.transform(pixels)])[
            "image"
        ]
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(image)).softmax(1)[0]
    assert answer.label == LABELS[int(expected.argmax())]
    assert answer.score == pytest.approx(float(expected.max()), rel=1e-5)
    assert all(check.passed for check in verify(done.path, trust=True))


def test_real_samples_join_the_proof(tmp_path: Path) -> None:
    samples = {"image": np.random.default_rng(1).standard_normal((5, 3, 16, 16))}
    trained = custom_model(samples=samples)
    assert trained.samples["image"].dtype == np.float32
    assert export(trained, "torchscript", tmp_path / "net.torchscript").rows == 5


def test_several_inputs_and_outputs_without_a_task_run(tmp_path: Path) -> None:
    path = export(Pair(), "torchscript", tmp_path / "pair", signature=PAIR, name="pair").path
    with load(path, trust=True) as predictor:
        left, right = np.full((2, 4), 3, np.float32), np.full((2, 4), 5, np.float32)
        outputs = predictor.run({"left": left, "right": right})
        assert (outputs["sum"] == 8).all()
        assert (outputs["product"] == 15).all()
        with pytest.raises(UsageError, match=r"'passthrough'.*run\(\)"):
            predictor.predict(left[0])


def test_outputs_that_nothing_reads_say_so(tmp_path: Path) -> None:
    path = export(flowers(), "torchscript", tmp_path / "raw", signature=SIGNATURE).path
    with (
        load(path, trust=True) as predictor,
        pytest.raises(UsageError, match=r"'passthrough'.*run\(\)"),
    ):
        predictor.predict(np.zeros((3, 16, 16), np.float32))


def test_a_checkpoint_of_it_needs_the_network_to_be_named(tmp_path: Path) -> None:
    trained = custom_model(samples={"image": np.ones((2, 3, 16, 16), np.float32)})
    path = tmp_path / "checkpoint.pt"
    trained.save(path)
    again = read_model(path, network=flowers)
    assert again.manifest.weights_sha256 == trained.manifest.weights_sha256
    assert np.array_equal(again.samples["image"], trained.samples["image"])
    with load(path, backend="eager", device="cpu", network=FlowerNet) as predictor:
        got = predictor.run(trained.samples)["logits"]
    # Laid out channels last, a processor may add up in another order: a last place or two.
    expected = trained.equivalence_check.reference.eager(trained.samples)["logits"]
    np.testing.assert_array_max_ulp(got, expected, maxulp=4)
    for call in (lambda: load(path, backend="eager"), lambda: read_model(path)):
        with pytest.raises(
            ArtifactError, match="contains no code: pass the function that creates"
        ) as error:
            call()
        assert error.value.code == "E-NETWORK"


def test_the_reference_is_a_copy_of_the_network(tmp_path: Path) -> None:
    network = flowers()
    trained = describe(network, signature=SIGNATURE)
    with torch.no_grad():
        network.classifier.bias.add_(1)
    done = export(trained, "torchscript", tmp_path / "net")
    assert (
        read_artifact(done.path).require_manifest().weights_sha256
        == trained.manifest.weights_sha256
    )


class Drops(FlowerNet):
    """Whose trace is not what it computes."""

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = super().forward(image)
        return logits if torch._C._get_tracing_state() else logits * 2


def test_a_file_that_disagrees_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(AgreementError, match="at random input, batch 1"):
        export(Drops(), "torchscript", tmp_path / "net", signature=SIGNATURE)
    assert list(tmp_path.iterdir()) == []


class Returns(nn.Module):
    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def forward(self, image: Tensor) -> Any:
        return self.value(image)


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (
            lambda image: image.mean((2, 3))[:, :2],
            r"is float32 \(2, 2\) .*says float32 \(batch, 3\)",
        ),
        (lambda image: image.mean((2, 3)).argmax(1, keepdim=True).expand(-1, 3), "is int64"),
        (lambda image: (image, image), "returns 2 outputs"),
        (lambda image: {"logit": image}, "returns a dict without 'logits'"),
        (lambda image: image @ torch.zeros(3, 3), r"fails in eager float32 on inputs of \[\(2, 3,"),
        (lambda image: image.mean((2, 3)) / 0, "not finite"),
    ],
)
def test_a_network_that_does_not_do_what_is_said_is_refused(forward: Any, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        describe(Returns(forward), signature=SIGNATURE)


def test_what_is_no_network_or_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the network is a function; expected a torch"):
        describe(flowers, signature=SIGNATURE)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="there is no signature"):
        describe(flowers())
    with pytest.raises(ArtifactError, match=r"fails in eager float16 .*\(float\) and .*Half"):
        describe(flowers().half(), signature=SIGNATURE)
    with pytest.raises(UsageError, match="labels cannot be given for a trained model"):
        export(custom_model(), "torchscript", tmp_path / "net", labels=LABELS)
    with pytest.raises(InputError, match="labels are 2, which does not match the output"):
        custom_model(labels=LABELS[:2])
    with pytest.raises(InputError, match=r"shape \(2, 3\)"):
        custom_model(samples={"image": np.zeros((2, 3), np.float32)})


def test_large_inputs_have_a_grid_without_its_largest_batch() -> None:
    def batches(*axes: int | str) -> tuple[int, ...]:
        data = {"inputs": {"x": ["float32", list(axes)]}, "outputs": SIGNATURE["outputs"]}
        return batch_sizes(Signature.from_data(data))

    assert batches("batch", 784) == batches("time", "batch", 28) == BATCHES
    assert batches("batch", 3, 72, 72) == BATCHES
    assert batches("batch", 3, 224, 224) == batches("batch", 2**21) == (1, 2, 3, 7)


def test_the_manifest_says_which_batches_were_proved(tmp_path: Path) -> None:
    class Mean(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image.mean((2, 3))

    large: Any = {**SIGNATURE, "inputs": {"image": ["float32", ["batch", 3, 224, 224]]}}
    path = export(Mean(), "torchscript", tmp_path / "mean", signature=large).path
    assert read_artifact(path).require_manifest().verification["batches"] == [1, 2, 3, 7]


class Ties(nn.Module):
    """The mean over a picture, of numbers that float32 does not hold exactly."""

    def forward(self, image: Tensor) -> Tensor:
        return (image * 0.1 + 0.3).mean(dim=(2, 3))


def added_in_turn(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The same in float32, each of eight sums side by side added in turn, as a runtime may."""
    numbers = inputs["image"] * np.float32(0.1) + np.float32(0.3)
    lanes = numbers.reshape(*numbers.shape[:2], -1, 8)
    sums = np.cumsum(lanes, axis=2, dtype=np.float32)[:, :, -1].sum(axis=2, dtype=np.float32)
    return {"logits": sums / np.float32(numbers[0, 0].size)}


def test_sums_over_alike_positions_may_be_added_in_turn() -> None:
    large: Any = {**SIGNATURE, "inputs": {"image": ["float32", ["batch", 3, 160, 160]]}}
    proof = describe(Ties(), signature=large).equivalence_check
    proof.check(added_in_turn, "a runtime")
    case = next(case for case in proof.cases if case.pattern == "ones")
    error = np.abs(added_in_turn(case.inputs)["logits"] - case.exact["logits"]).max()
    own = np.abs(proof.reference.eager(case.inputs)["logits"] - case.exact["logits"]).max()
    assert error > 2 * FACTOR * own

    def wrong(inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {"logits": added_in_turn(inputs)["logits"] * np.float32(1.00002)}

    with pytest.raises(AgreementError, match="at random input"):
        proof.check(wrong, "a runtime")


def test_alike_positions_change_nothing_for_small_inputs() -> None:
    proof = describe(Ties(), signature=SIGNATURE).equivalence_check
    for kind in CONSTANT_PATTERNS:
        cases = [case for case in proof.cases if case.pattern == kind]
        largest = max(
            max(
                float(np.abs(proof.reference.eager(c.inputs)["logits"] - c.exact["logits"]).max()),
                PRECISIONS["float32"].rounding * float(np.abs(c.exact["logits"]).max()),
            )
            for c in cases
        )
        assert proof.tolerances[kind, "logits"] == FACTOR * largest
