"""Raw samples: what an export carries, from the checkpoint, from the caller, and made up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ptx.export import describe, export, read_model
from ptx.export.golden import assert_golden, golden_budget, with_golden
from ptx.infer import load, read_artifact, verify
from ptx.infer.artifact.golden import input_digest, to_raw_input
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.artifact.sampled import SampledArray
from ptx.infer.errors import AgreementError, ArtifactError, InputError
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.preprocessing.examples import png_bytes
from ptx.infer.replay import wrong_integers
from ptx.infer.signature import Array
from ptx.report.inspection import manifest_facts

Checkpoint = Callable[[str], Path]
Export = Callable[[str, str], Path]

ROWS: dict[str, Any] = {
    "signature": {
        "inputs": {"x": ["float32", ["batch", 2]]},
        "outputs": {"y": ["float32", ["batch", 3]]},
    },
    "preprocessing": {
        "kind": "tabular",
        "names": ["a", "b"],
        "mean": [1.0, 2.0],
        "std": [3.0, 4.0],
    },
    "labels": ["x", "y", "z"],
    "task": "classification",
}


@pytest.mark.parametrize(
    ("model", "values", "kind"),
    [
        ("convnet", 14, bytes),  # ten classes, one on paper, three made up
        ("name-classifier", 4, str),  # the checkpoint's data has one language
        ("diabetes", 5, tuple),  # two classes, three made up
        ("char-rnn", 3, str),
    ],
)
def test_raw_samples_have_the_digest_of_their_arrays(
    artifact: Export, model: str, values: int, kind: type
) -> None:
    manifest = read_artifact(artifact(model, "onnx")).require_manifest()
    assert sum(len(sample.values) for sample in manifest.end_to_end) == values
    preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
    for sample in manifest.end_to_end:
        assert all(isinstance(value, kind) for value in sample.values)
        inputs = preprocessing.collate([preprocessing.transform(value) for value in sample.values])
        assert input_digest(inputs) == sample.sha256
        assert len(sample.predictions) == len(sample.values)


def test_the_answers_are_those_of_single_predictions(artifact: Export) -> None:
    with load(artifact("convnet", "onnx"), backend="ort-cpu") as digits:
        (sample,) = digits.manifest.end_to_end
        for value, answer in zip(sample.values, sample.predictions, strict=True):
            found = digits.predict(value)
            assert found.label == answer.label
            assert found.score == pytest.approx(answer.score, abs=1e-5)


def test_raw_samples_keep_a_manifest_small(artifact: Export) -> None:
    manifest = read_artifact(artifact("convnet", "onnx")).require_manifest()
    assert len(manifest.to_json()) - len(replace(manifest, end_to_end=()).to_json()) < 60_000


def test_a_network_of_ones_own_takes_examples(tmp_path: Path) -> None:
    examples = [(1.5, 2.5), np.array([0.0, 7.0])]
    trained = describe(torch.nn.Linear(2, 3), **ROWS, examples=examples)
    export(trained, "onnx", tmp_path / "a.onnx")
    (sample,) = read_artifact(tmp_path / "a.onnx").require_manifest().end_to_end
    assert sample.values[:2] == ((1.5, 2.5), (0.0, 7.0))
    assert len(sample.values) == 5
    trained.save(tmp_path / "a.pt")
    own = read_model(tmp_path / "a.pt", network=lambda: torch.nn.Linear(2, 3))
    assert own.examples == ((1.5, 2.5), (0.0, 7.0))


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ((1.0, 2.0, 3.0), "example 0: the row has 3 numbers; expected 2 numbers"),
        ("a,b", "example 0: 'a,b' is not 2 numbers"),
        (b"no numbers", "example 0: "),
        (Path("row.csv"), "example 0 is a PosixPath; expected the bytes of an image file"),
        ((1.0, np.nan), "example 0 is a tuple; expected .* finite numbers"),
    ],
)
def test_an_example_that_cannot_be_used_is_refused(
    tmp_path: Path, example: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        export(torch.nn.Linear(2, 3), "onnx", tmp_path / "a.onnx", **ROWS, examples=[example])
    assert not (tmp_path / "a.onnx").exists()


def test_without_a_preprocessing_the_golden_samples_have_the_answers(tmp_path: Path) -> None:
    about = {name: value for name, value in ROWS.items() if name != "preprocessing"}
    done = export(torch.nn.Linear(2, 3), "onnx", tmp_path / "a.onnx", **about)
    manifest = read_artifact(done.path).require_manifest()
    assert manifest.end_to_end == ()
    assert [len(sample.predictions) for sample in manifest.golden] == [3, 1]


def test_outputs_that_the_task_does_not_read_are_refused(tmp_path: Path) -> None:
    about = {**ROWS, "task": "probabilities"}
    with pytest.raises(ArtifactError, match="the outputs are not probabilities"):
        export(torch.nn.Linear(2, 3), "onnx", tmp_path / "a.onnx", **about)


def test_a_predictor_that_answers_otherwise_fails_the_export(
    artifact: Export, checkpoint: Checkpoint
) -> None:
    trained = read_model(checkpoint("convnet"))
    golden: Manifest = with_golden(
        trained.manifest, trained.equivalence_check, trained.examples, 100_000
    )
    with load(artifact("convnet", "onnx"), backend="ort-cpu") as digits:
        assert_golden(digits, golden)
        digits.preprocessing.resize_mode = "letterbox"  # type: ignore[attr-defined]
        with pytest.raises(
            AgreementError, match="end-to-end sample 1, preprocessing: 14 raw inputs"
        ):
            assert_golden(digits, golden)


class Marked(torch.nn.Module):
    """A picture to a picture and to a mask of where it is bright."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.layer(x)
        return y, (y > 0.5).to(torch.uint8)


PICTURE = ["batch", 3, 224, 224]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose golden samples would be 26 MB with all numbers."""
    signature = {
        "inputs": {"x": ["float32", PICTURE]},
        "outputs": {"y": ["float32", PICTURE], "mask": ["uint8", PICTURE]},
    }
    path = tmp_path_factory.mktemp("large") / "large.onnx"
    return export(Marked(), "onnx", path, signature=signature).path


def test_large_pictures_have_small_golden_samples(large: Path) -> None:
    checks = verify(large, backend="ort-cpu")
    assert all(check.passed for check in checks)
    manifest = read_artifact(large).require_manifest()
    assert [sample.inputs["x"].shape[0] for sample in manifest.golden] == [3, 1]
    assert len(manifest.to_json()) - len(replace(manifest, golden=()).to_json()) < golden_budget(0)
    for sample in manifest.golden:
        exact = Marked().double()(torch.from_numpy(sample.inputs["x"]).double())
        for stored, expected in zip(sample.outputs.values(), exact, strict=True):
            assert isinstance(stored, SampledArray)
            expected = expected.detach().numpy()
            assert (stored.shape, stored.values.dtype) == (expected.shape, expected.dtype)
            assert np.array_equal(stored.values, stored.take(expected))
            assert stored.values.max() == expected.max()
            assert stored.values.min() == expected.min()
            assert not stored.wrong_blocks(expected).any()
            assert set(stored.indices // (3 * 224 * 224)) == set(range(len(expected)))


def one_pixel(y: Array) -> None:
    y[0, 2, 100, 100] += 1


def corner(y: Array) -> None:
    y[-1, 0, -1, -1] += 1


def shifted(y: Array) -> None:
    y[...] = np.roll(y, 1, axis=3)


def other_row(y: Array) -> None:
    y[...] = y[::-1]


def other_channels(y: Array) -> None:
    y[...] = y[:, ::-1]


def slightly(y: Array) -> None:
    y += np.where(np.arange(224) == 50, 1, 0).astype(y.dtype)  # one column of the picture


@pytest.mark.parametrize("name", ["y", "mask"])
@pytest.mark.parametrize(
    "change", [one_pixel, corner, shifted, other_row, other_channels, slightly]
)
def test_another_large_output_is_found(
    large: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Array], None], name: str
) -> None:
    with load(large, backend="ort-cpu") as predictor:
        run = predictor.backend.run

        def changed(inputs: Any) -> dict[str, Array]:
            outputs = {key: array.copy() for key, array in run(inputs).items()}
            change(outputs[name])
            return outputs

        assert_golden(predictor, predictor.manifest)
        monkeypatch.setattr(predictor.backend, "run", changed)
        with pytest.raises(AgreementError, match=f"sample [12], {name}"):
            assert_golden(predictor, predictor.manifest)


class Nearest(torch.nn.Module):
    """Which of two numbers is larger; in the first 100 columns they differ by rounding alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        same = x[:, :100] * 0.1 + x[:, :100] * 0.7
        other = torch.cat([same, -x[:, 100:]], 1)
        return torch.stack([x * 0.8, other]).argmax(0)


def test_of_large_integers_those_that_rounding_decides_may_differ(tmp_path: Path) -> None:
    signature = {
        "inputs": {"x": ["float32", ["batch", 2000]]},
        "outputs": {"y": ["int64", ["batch", 2000]]},
    }
    path = export(Nearest(), "onnx", tmp_path / "a.onnx", signature=signature).path
    assert all(check.passed for check in verify(path, backend="ort-cpu"))
    sample = read_artifact(path).require_manifest().golden[0]
    stored, ties = sample.outputs["y"], sample.ties["y"]
    assert isinstance(stored, SampledArray)
    tied = stored.indices[ties.indices]
    assert tied.size
    assert (tied % 2000 < 100).all()
    exact = Nearest()(torch.from_numpy(sample.inputs["x"]).double()).numpy()
    assert stored.values.dtype == np.int64
    other = exact.copy()
    other.flat[tied] = 1 - other.flat[tied]
    assert not wrong_integers(stored.take(other), stored.values, ties).any()
    assert not stored.wrong_blocks(other).any()
    free = np.setdiff1d(stored.indices, tied)
    other.flat[free[-1]] = 1 - other.flat[free[-1]]
    assert wrong_integers(stored.take(other), stored.values, ties).sum() == 1
    assert stored.wrong_blocks(other).any()


def describe_wide(outputs: int) -> Any:
    torch.manual_seed(0)
    signature = {
        "inputs": {"x": ["float32", ["batch", 8000]]},
        "outputs": {"y": ["float32", ["batch", outputs]]},
    }
    samples = {"x": np.random.default_rng(0).normal(size=(3, 8000)).astype(np.float32)}
    network = torch.nn.Linear(8000, outputs)
    return describe(network, signature=signature, samples=samples), samples["x"]


@pytest.mark.parametrize(("outputs", "real"), [(1, [1]), (400, [3, 1])])
def test_real_inputs_are_carried_where_they_fit(
    tmp_path: Path, outputs: int, real: list[int]
) -> None:
    """Three rows are 128 kB in a manifest: more than 64 kB, less than a twentieth of 13 MB."""
    trained, samples = describe_wide(outputs)
    path = export(trained, "onnx", tmp_path / "a.onnx").path
    manifest = read_artifact(path).require_manifest()
    assert [s.inputs["x"].shape[0] for s in manifest.golden if not s.is_seeded] == real
    for sample in manifest.golden:
        if not sample.is_seeded:
            assert np.array_equal(sample.inputs["x"], samples[: len(sample.inputs["x"])])
    assert sum(sample.is_seeded for sample in manifest.golden) == 1
    size = path.stat().st_size
    assert len(manifest.to_json()) - len(replace(manifest, golden=()).to_json()) < golden_budget(
        size
    )
    assert all(check.passed for check in verify(path, backend="ort-cpu"))


def test_an_example_that_is_too_large_is_left_out_and_noted(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    examples = [png_bytes(Image.fromarray(pixels)) for pixels in (noise, noise[:20, :30])]
    assert len(examples[0]) > golden_budget(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 24 * 20, 2))
    about: dict[str, Any] = {
        "signature": {
            "inputs": {"x": ["float32", ["batch", 3, 24, 20]]},
            "outputs": {"y": ["float32", ["batch", 2]]},
        },
        "preprocessing": {"kind": "rgb-image", "size": [24, 20], "resize": [24, 20]},
        "labels": ["a", "b"],
        "task": "classification",
    }
    path = export(network, "onnx", tmp_path / "a.onnx", **about, examples=examples).path
    manifest = read_artifact(path).require_manifest()
    values = [value for sample in manifest.end_to_end for value in sample.values]
    assert examples[1] in values
    assert examples[0] not in values
    assert manifest.verification["examples_omitted"] == 1
    assert dict(manifest_facts(manifest))["golden samples"].endswith("1 example omitted, too large")


def test_what_no_manifest_can_carry_is_refused_before_the_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = [letter * 3_000_000 for letter in "abc"]
    with pytest.raises(ArtifactError, match="shorten the labels") as caught:
        export(torch.nn.Linear(2, 3), "onnx", tmp_path / "a.onnx", **{**ROWS, "labels": labels})
    assert caught.value.code == "E-EXPORT"
    monkeypatch.setattr("ptx.export.golden.SEEDED_LIMIT", 7)
    with pytest.raises(ArtifactError, match="the inputs of one row") as caught:
        export(torch.nn.Linear(2, 3), "onnx", tmp_path / "a.onnx", **ROWS)
    assert caught.value.code == "E-EXPORT"
    assert not (tmp_path / "a.onnx").exists()


def test_rows_that_are_large_come_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ptx.export.golden.SEEDED_LIMIT", 8)  # one row of two numbers
    path = export(torch.nn.Linear(2, 3), "onnx", tmp_path / "a.onnx", **ROWS).path
    golden = read_artifact(path).require_manifest().golden
    assert [sample.inputs["x"].shape for sample in golden] == [(1, 2)]


def test_what_is_no_raw_input_is_refused() -> None:
    assert to_raw_input(4.0) == (4.0,)
    refused: list[Any] = [{}, [], [[1.0]], [10**400], ["a"], None]
    for value in refused:
        with pytest.raises(ValueError, match=r"."):
            to_raw_input(value)


def test_random_golden_inputs_are_those_of_the_short_matrix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So that no answer in float64 is computed for them alone."""
    monkeypatch.setattr("ptx.export.check.matrix.WORK", 0)
    tensor = ["float32", ["batch", 3]]
    signature = {"inputs": {"x": tensor}, "outputs": {"y": tensor}}
    trained = describe(torch.nn.Linear(3, 3), signature=signature)
    path = export(trained, "torchscript", tmp_path / "net").path
    run = {input_digest(case.inputs) for case in trained.equivalence_check.cases}
    golden = read_artifact(path).require_manifest().golden
    assert golden
    assert all(input_digest(sample.inputs) in run for sample in golden)
