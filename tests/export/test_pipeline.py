"""From a checkpoint to an artifact: what is written, and what is not."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ptx.export import EXPORTERS, TrainedModel, export, read_model
from ptx.export.check.equivalence import EquivalenceCheck
from ptx.export.check.matrix import BATCHES, INVARIANCE_BATCH, LENGTHS
from ptx.export.check.tolerance import FACTOR
from ptx.export.golden import GOLDEN_ROWS
from ptx.infer import (
    AgreementError,
    ArtifactError,
    OutputError,
    UsageError,
    load,
    read_artifact,
    verify,
)
from ptx.infer.signature import Signature
from ptx.models import build

Checkpoint = Callable[[str], Path]
Export = Callable[[str, str], Path]

QUICK = "torchscript"  # the format that converts fastest; what is tested here is the same for all


def test_what_was_written_and_proved_is_told(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "digits.torchscript"
    exported = export(read_model(checkpoint("softmax-regression")), QUICK, path)
    assert (exported.path, exported.format) == (path, QUICK)
    assert exported.size == path.stat().st_size
    assert exported.rows == 64
    # Five batches of real and random numbers; zeros, ones and extremes at two of them; all samples.
    assert exported.cases == 5 * 2 + 2 * 3 + 1
    assert 0 < exported.error <= exported.tolerance < 1e-4
    assert list(tmp_path.iterdir()) == [path]


def test_a_program_is_announced_before_it_stands_there(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """Who was killed between the two would have a file of their own that they do not trust."""
    path = tmp_path / "line.torchscript"
    told: list[tuple[str, bool]] = []
    exported = export(
        read_model(checkpoint("linear-model")),
        QUICK,
        path,
        announce=lambda sha256: told.append((sha256, path.exists())),
    )
    assert told == [(exported.sha256, False)]


@pytest.mark.parametrize("format_name", EXPORTERS)
def test_the_manifest_tells_the_proof_the_versions_and_the_checkpoint(
    format_name: str, artifact: Export, checkpoint: Checkpoint
) -> None:
    manifest = read_artifact(artifact("lstm", format_name)).require_manifest()
    former = read_artifact(checkpoint("lstm"))
    assert manifest.checkpoint_sha256 == former.sha256
    assert manifest.training == former.require_manifest().training
    found = manifest.verification
    assert (found["reference"], found["factor"]) == ("eager float64", FACTOR)
    assert (found["batches"], found["lengths"]) == (list(BATCHES), list(LENGTHS))
    assert found["cases"] > len(BATCHES) * len(LENGTHS)
    assert found["labels"] == 64
    errors = found["backends"][EXPORTERS[format_name].backend]["logits"]
    assert 0 < errors["error"] <= errors["tolerance"] < 1e-4
    expected = {"ptx", "torch"} | (
        {"onnx", "onnxscript", "opset"} if format_name in ("onnx", "html") else set()
    )
    assert set(manifest.versions) == expected
    assert manifest.versions["torch"] == torch.__version__
    assert manifest.versions.get("opset", "21") == "21"


@pytest.mark.parametrize("model", ["lstm", "name-classifier", "char-rnn", "linear-model"])
def test_golden_samples_are_real_inputs_and_a_random_one_with_float64_answers(
    model: str, artifact: Export, checkpoint: Checkpoint
) -> None:
    trained = read_model(checkpoint(model))
    signature = trained.manifest.signature
    proof = EquivalenceCheck(trained.network, signature, trained.samples)
    golden = read_artifact(artifact(model, QUICK)).require_manifest().golden
    spec = signature.inputs[0]
    have = trained.samples[spec.name].shape[spec.batch_axis]
    sizes = [sample.inputs[spec.name].shape[spec.batch_axis] for sample in golden]
    # The random one is left out where real samples are too few, and random ones stand for them.
    assert sizes in ([*GOLDEN_ROWS, INVARIANCE_BATCH], list(GOLDEN_ROWS))
    assert len(sizes) == len(GOLDEN_ROWS) + (have >= max(GOLDEN_ROWS))
    for index, (rows, sample) in enumerate(zip(sizes, golden, strict=True)):
        if rows <= have and index < len(GOLDEN_ROWS):
            for own in signature.inputs:
                real = trained.samples[own.name].take(range(rows), axis=own.batch_axis)
                assert np.array_equal(sample.inputs[own.name], real)
        for name, outputs in proof.reference.exact(sample.inputs).items():
            assert np.asarray(sample.outputs[name]).dtype == np.float64
            np.testing.assert_array_equal(sample.outputs[name], outputs)
            assert 0 < sample.tolerance[name] < 1e-4


def test_with_fewer_real_samples_than_a_golden_sample_has_rows_it_is_random(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """The word that `char-rnn` learns from is its only sample."""
    trained = read_model(checkpoint("char-rnn"))
    assert trained.samples["sequence"].shape == (5, 1, 4)
    path = export(trained, QUICK, tmp_path / "model.torchscript").path
    several, one = read_artifact(path).require_manifest().golden
    assert several.inputs["sequence"].shape == (max(LENGTHS), 3, 4)
    assert np.array_equal(one.inputs["sequence"], trained.samples["sequence"])
    assert all(check.passed for check in verify(path, device="cpu", trust=True))


def test_without_real_samples_the_golden_samples_are_random(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    trained = replace(read_model(checkpoint("softmax-regression")), samples={})
    exported = export(trained, QUICK, tmp_path / "model.torchscript")
    assert exported.rows == 0
    golden = read_artifact(exported.path).require_manifest().golden
    assert [sample.inputs["image"].shape for sample in golden] == [(3, 784), (1, 784)]
    assert all(check.passed for check in verify(exported.path, device="cpu", trust=True))


@pytest.mark.parametrize("format_name", EXPORTERS)
def test_a_network_in_training_mode_is_exported_in_eval_mode(
    format_name: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    trained = read_model(checkpoint("convnet"))
    training = TrainedModel(trained.network.train(), trained.manifest, trained.samples)
    path = export(training, format_name, tmp_path / "model").path
    assert training.network.training  # the caller's network is left as it was
    pictures = {"image": trained.samples["image"][:4]}
    with load(path, backend=EXPORTERS[format_name].backend, device="cpu", trust=True) as predictor:
        first, second = predictor.run(pictures), predictor.run(pictures)
    assert np.array_equal(first["logits"], second["logits"])
    with torch.no_grad():
        expected = trained.network.eval()(torch.from_numpy(pictures["image"])).numpy()
    np.testing.assert_allclose(first["logits"], expected, rtol=0, atol=1e-5)


def test_the_opset_that_is_asked_for_stands_in_the_manifest(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    trained = read_model(checkpoint("linear-model"))
    path = export(trained, "onnx", tmp_path / "model.onnx", opset=18).path
    assert read_artifact(path).require_manifest().versions["opset"] == "18"
    with pytest.raises(UsageError, match="opset is 17; expected an integer from 18 to 26"):
        export(trained, "onnx", path, opset=17)
    assert read_artifact(path).require_manifest().versions["opset"] == "18"


# Nothing is written by halves, and what cannot be written is found out first.


@pytest.fixture
def no_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("work was begun")

    for name, exporter in EXPORTERS.items():
        monkeypatch.setitem(EXPORTERS, name, replace(exporter, convert=fail))
    monkeypatch.setattr("ptx.export.source.EquivalenceCheck", fail)


@pytest.mark.usefixtures("no_conversion")
def test_a_place_that_cannot_be_written_is_found_out_before_the_work(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    trained = read_model(checkpoint("linear-model"))
    with pytest.raises(OutputError, match="is a folder; expected a file name"):
        export(trained, QUICK, tmp_path)
    with pytest.raises(OutputError, match="does not exist"):
        export(trained, QUICK, tmp_path / "none" / "model.torchscript")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_conversion")
def test_an_unknown_format_is_found_out_before_the_work(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no format 'onx'; did you mean 'onnx'"):
        export(read_model(checkpoint("linear-model")), "onx", tmp_path / "model.onnx")


def test_a_full_disk_leaves_what_was_there(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.torchscript"
    path.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        export(read_model(checkpoint("linear-model")), QUICK, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_in_the_place_before_the_proof_is_done(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.torchscript"
    seen: list[list[Path]] = []
    check = EquivalenceCheck.check

    def spy(self: EquivalenceCheck, *args: Any) -> Any:
        seen.append(list(tmp_path.iterdir()))
        return check(self, *args)

    monkeypatch.setattr(EquivalenceCheck, "check", spy)
    export(read_model(checkpoint("linear-model")), QUICK, path)
    assert seen == [[]]
    assert list(tmp_path.iterdir()) == [path]


def test_an_interruption_leaves_what_was_there(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.torchscript"
    path.write_bytes(b"old")

    def interrupted(self: EquivalenceCheck, *args: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(EquivalenceCheck, "check", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(read_model(checkpoint("linear-model")), QUICK, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_export_replaces_the_old_one(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "model.torchscript"
    path.write_bytes(b"old")
    export(read_model(checkpoint("linear-model")), QUICK, path)
    assert read_artifact(path).require_manifest().model == "linear-model"


def test_a_file_that_the_runtime_cannot_load_is_not_written(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = checkpoint("linear-model").read_bytes()

    exporter = replace(EXPORTERS[QUICK], convert=lambda traced, *, opset: content)  # a checkpoint
    monkeypatch.setitem(EXPORTERS, QUICK, exporter)
    with pytest.raises((ArtifactError, UsageError)):
        export(read_model(checkpoint("linear-model")), QUICK, tmp_path / "model.torchscript")
    assert list(tmp_path.iterdir()) == []


def test_a_trace_that_froze_the_batch_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """TorchScript keeps the size it saw; torch itself says nothing."""

    class Frozen(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = build("linear-model")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            # Written as the traced size by the trace; eager follows the input.
            nothing = torch.zeros(int(x.shape[0]), 1, dtype=x.dtype)
            y: torch.Tensor = self.inner(x)
            return y + nothing

    trained = read_model(checkpoint("linear-model"))
    frozen = replace(trained, network=Frozen().eval().requires_grad_(False), samples={})
    with pytest.raises(
        AgreementError, match=r"at random input, batch 1: output 'y' has shape \(5,"
    ):
        export(frozen, "torchscript", tmp_path / "model.torchscript")
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_another_number_of_classes_exports(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    trained = read_model(checkpoint("softmax-regression"))
    config = {**trained.manifest.config, "classes": 3}
    signature = Signature.from_data(
        {
            "inputs": {"image": ["float32", ["batch", 784]]},
            "outputs": {"logits": ["float32", ["batch", 3]]},
        }
    )
    manifest = replace(trained.manifest, config=config, signature=signature, labels=("a", "b", "c"))
    network = build("softmax-regression", config).eval().requires_grad_(False)
    path = export(
        TrainedModel(network, manifest, trained.samples), "onnx", tmp_path / "model.onnx"
    ).path
    with load(path, backend="ort-cpu") as predictor:
        outputs = predictor.run({"image": trained.samples["image"]})
    assert outputs["logits"].shape == (64, 3)
