"""What an export starts from, and what it does not start from."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ptx.export import export, read_model
from ptx.infer import ArtifactError, InputError, UsageError, read_artifact
from ptx.infer.artifact import zip_archive
from ptx.models import CATALOG, build
from ptx.models import checkpoint as checkpoints

Checkpoint = Callable[[str], Path]


def saved(content: object, folder: Path) -> Path:
    path = folder / "model.pth"
    torch.save(content, path)
    return path


def seeded(model: str) -> nn.Module:
    torch.manual_seed(5)
    return build(model)


def digest_ok(checkpoint: Path, folder: Path, **changes: Any) -> Path:
    """The checkpoint with another manifest."""
    artifact = read_artifact(checkpoint)
    content = checkpoints.dumps(checkpoints.loads(artifact.data))
    path = folder / "checkpoint.pt"
    manifest = replace(artifact.require_manifest(), **changes)
    path.write_bytes(zip_archive.embed_manifest(content, manifest.to_json()))
    return path


def test_a_checkpoint_gives_its_network_manifest_and_samples(checkpoint: Checkpoint) -> None:
    path = checkpoint("convnet")
    trained = read_model(path)
    artifact = read_artifact(path)
    assert not trained.network.training
    assert not any(parameter.requires_grad for parameter in trained.network.parameters())
    assert (
        checkpoints.weights_digest(trained.network.state_dict()) == trained.manifest.weights_sha256
    )
    assert trained.manifest == replace(
        artifact.require_manifest(), checkpoint_sha256=artifact.sha256
    )
    assert trained.samples["image"].shape == (64, 1, 28, 28)
    assert trained.samples["image"].dtype == np.float32


def test_the_models_name_may_be_said_again(checkpoint: Checkpoint) -> None:
    assert (
        read_model(checkpoint("linear-model"), model="linear-model").manifest.model
        == "linear-model"
    )
    with pytest.raises(UsageError, match="is a checkpoint of linear-model, not of convnet"):
        read_model(checkpoint("linear-model"), model="convnet")


# A bare state dict.


@pytest.mark.parametrize("wrap", [lambda network: network, nn.DataParallel])
def test_a_bare_state_dict_with_the_models_name_exports(
    wrap: Callable[[nn.Module], nn.Module], tmp_path: Path
) -> None:
    network = seeded("linear-model")
    path = saved(wrap(network).state_dict(), tmp_path)
    trained = read_model(path, model="linear-model")
    assert trained.samples == {}
    assert trained.manifest.labels == CATALOG["linear-model"].labels
    assert trained.manifest.checkpoint_sha256 == read_artifact(path).sha256
    exported = export(trained, "torchscript", tmp_path / "model.torchscript")
    manifest = read_artifact(exported.path).require_manifest()
    assert manifest.weights_sha256 == checkpoints.weights_digest(network.state_dict())
    assert exported.rows == 0


def test_a_bare_state_dict_without_the_models_name_is_wrong_usage(tmp_path: Path) -> None:
    path = saved(seeded("linear-model").state_dict(), tmp_path)
    with pytest.raises(
        UsageError, match=r"model.pth' is a bare .*its weights fit linear-model and log.*"
    ):
        read_model(path)
    path = saved(nn.Linear(3, 5).state_dict(), tmp_path)
    with pytest.raises(UsageError, match="its weights fit none of them"):
        read_model(path)
    with pytest.raises(UsageError, match="no model 'convet'; did you mean 'convnet'"):
        read_model(path, model="convet")


def test_a_state_dict_of_another_model_is_refused_by_the_names_of_its_weights(
    tmp_path: Path,
) -> None:
    path = saved(seeded("linear-model").state_dict(), tmp_path)
    with pytest.raises(
        ArtifactError,
        match=r"linear.weight has shape \(1, 1\), expected \(10, 1, 5, 5\) of features",
    ):
        read_model(path, model="convnet")
    with pytest.raises(ArtifactError, match=r"linear.bias \(1,\) is unknown"):
        read_model(path, model="linear-regression")


def test_samples_can_be_given_with_a_bare_state_dict(tmp_path: Path) -> None:
    path = saved(seeded("linear-model").state_dict(), tmp_path)
    samples = {"x": np.arange(4.0)[:, None]}  # float64: what the guard makes float32
    trained = read_model(path, model="linear-model", samples=samples)
    assert trained.samples["x"].dtype == np.float32
    assert np.array_equal(trained.samples["x"], samples["x"])


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({"x": np.zeros((3, 2), np.float32)}, r"input 'x' has shape \(3, 2\)"),
        ({"y": np.zeros((3, 1), np.float32)}, "'x'"),
        ({"x": np.full((3, 1), np.nan, np.float32)}, "expected finite numbers"),
    ],
)
def test_samples_that_do_not_fit_are_refused(
    samples: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = saved(seeded("linear-model").state_dict(), tmp_path)
    with pytest.raises(InputError, match=message):
        read_model(path, model="linear-model", samples=samples)


def test_a_checkpoints_own_samples_are_taken_before_given_ones(checkpoint: Checkpoint) -> None:
    given = {"x": np.full((2, 1), 99.0, np.float32)}
    assert read_model(checkpoint("linear-model"), samples=given).samples["x"].max() < 99


# What is no trained.


@pytest.mark.parametrize("format_name", ["onnx", "torchscript", "pt2"])
def test_an_artifact_is_no_source(format_name: str, artifact: Callable[[str, str], Path]) -> None:
    path = artifact("linear-model", format_name)
    with pytest.raises(ArtifactError, match="expected a checkpoint to export"):
        read_model(path)


class _Shell:
    """Unpickling this makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch '{self.marker}'",)


@pytest.mark.parametrize("evil", [True, False])
def test_a_pickled_object_is_refused_in_our_words(evil: bool, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    path = saved({"a": _Shell(marker)} if evil else seeded("linear-model"), tmp_path)
    with pytest.raises(ArtifactError, match="save only the state dict") as caught:
        read_model(path, model="linear-model")
    assert "weights_only" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not marker.exists()


def test_a_checkpoint_that_has_changed_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    archive = zip_archive.read_archive(checkpoint("linear-model").read_bytes(), name="it")
    members = dict(archive.members)
    tensor = next(name for name in members if name.startswith("data/"))
    members[tensor] = bytes([members[tensor][0] ^ 1]) + members[tensor][1:]
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(zip_archive._write(archive.root, members))
    with pytest.raises(ArtifactError, match="has changed since it was written") as caught:
        read_model(path)
    assert caught.value.code == "E-HASH"


def test_weights_that_are_not_those_of_the_manifest_are_refused(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """Sealed anew, so that only the weights' own sha256 tells."""
    assert read_model(digest_ok(checkpoint("linear-model"), tmp_path))
    path = digest_ok(checkpoint("linear-model"), tmp_path, weights_sha256="0" * 64)
    with pytest.raises(ArtifactError, match="do not match the sha256 in its manifest") as caught:
        read_model(path)
    assert caught.value.code == "E-HASH"


def test_a_checkpoint_of_a_model_that_is_not_in_the_catalog_is_refused(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    path = digest_ok(checkpoint("linear-model"), tmp_path, model="resnet-1000")
    with pytest.raises(ArtifactError, match="the catalog has no model 'resnet-1000'"):
        read_model(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such file"):
        read_model(tmp_path / "none.pt")


def test_a_file_that_is_cut_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    data = checkpoint("linear-model").read_bytes()
    path = tmp_path / "checkpoint.pt"
    for size in (0, 1, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(ArtifactError):
            read_model(path)


def test_the_legacy_form_of_torch_save_is_told_apart(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    weights = seeded("linear-model").state_dict()
    torch.save(weights, buffer, _use_new_zipfile_serialization=False)
    path = tmp_path / "model.pth"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(ArtifactError, match="legacy checkpoint"):
        read_model(path, model="linear-model")
