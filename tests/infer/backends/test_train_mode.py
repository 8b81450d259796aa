"""A TorchScript file that was saved in train mode is refused before anything of it runs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ptx.infer import ArtifactError, load, read_artifact
from ptx.infer.artifact import zip_archive

Export = Callable[[str, str], Path]


def network(rate: float = 0.5) -> nn.Module:
    return nn.Sequential(nn.Linear(1, 1), nn.Dropout(rate))


class Always(nn.Module):
    """Dropout that `eval()` does not reach."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.dropout(x)


def saved(module: nn.Module, path: Path, manifest: str, *, traced: bool) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch.jit is deprecated
        if traced:
            script = torch.jit.trace(module, torch.ones(2, 1), check_trace=False)  # type: ignore[no-untyped-call]
        else:
            script = torch.jit.script(module)
        buffer = io.BytesIO()
        torch.jit.save(script, buffer)
    path.write_bytes(zip_archive.embed_manifest(buffer.getvalue(), manifest))
    return path


@pytest.fixture
def manifest(artifact: Export) -> str:
    return read_artifact(artifact("linear-model", "torchscript")).require_manifest().to_json()


@pytest.mark.parametrize("traced", [False, True], ids=["scripted", "traced"])
def test_dropout_in_train_mode_is_refused(manifest: str, tmp_path: Path, traced: bool) -> None:
    path = saved(network().train(), tmp_path / "train.torchscript", manifest, traced=traced)
    with pytest.raises(
        ArtifactError, match=r"was saved in training mode .*call network.eval\(\)"
    ) as caught:
        load(path, device="cpu", trust=True)
    assert (caught.value.code, caught.value.exit_code) == ("E-TRAIN-MODE", 4)


def test_one_part_in_train_mode_is_refused_by_its_name(manifest: str, tmp_path: Path) -> None:
    module = network().eval()
    module.get_submodule("1").train()
    path = saved(module, tmp_path / "part.torchscript", manifest, traced=False)
    with pytest.raises(ArtifactError, match=r"in training mode \(1\)"):
        load(path, device="cpu", trust=True)


def test_a_dropout_that_eval_does_not_reach_is_refused(manifest: str, tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(1, 1), Always()).eval()
    path = saved(module, tmp_path / "always.torchscript", manifest, traced=True)
    with pytest.raises(ArtifactError, match=r"in training mode \(dropout\)"):
        load(path, device="cpu", trust=True)


@pytest.mark.parametrize("traced", [False, True], ids=["scripted", "traced"])
def test_in_eval_mode_it_answers_the_same_twice(
    manifest: str, tmp_path: Path, traced: bool
) -> None:
    path = saved(network().eval(), tmp_path / "eval.torchscript", manifest, traced=traced)
    with load(path, device="cpu", trust=True) as predictor:
        assert predictor.predict(4).value == predictor.predict(4).value
