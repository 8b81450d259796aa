"""At which sizes a file is right: it takes these, and refuses all others."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ptx.export import describe, export
from ptx.export.formats import EXPORTERS
from ptx.export.source import TrainedModel
from ptx.infer import AgreementError, ArtifactError, InputError, load
from ptx.infer.artifact.artifact import read_artifact
from ptx.infer.backends import Options, open_backend
from ptx.infer.backends.ort.cpu import import_onnxruntime
from ptx.infer.limits import Limits

pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporters, about themselves

BACKENDS = {
    "onnx": ("ort-cpu", "openvino"),
    "torchscript": ("torchscript",),
    "pt2": ("pt2",),
    "html": ("javascript",),
}
MODULES = {"openvino": "openvino", "javascript": "py_mini_racer"}
SEQUENCE = ["float32", ["batch", "time", 4]]
Make = Callable[[], nn.Module]


class Network(nn.Module):
    """One layer with known weights, and what `then` makes of it."""

    SIGNATURE: Mapping[str, Any] = {
        "inputs": {"x": SEQUENCE},
        "outputs": {"y": ["float32", ["batch", "time", 4]]},
    }

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 4)
        self.table = nn.Embedding(64, 4)
        self.register_buffer("mask", torch.ones(64, 64).tril().bool())
        self.convolution = nn.Conv1d(4, 4, 3, padding=1, stride=2)
        self.unpadded = nn.Conv1d(4, 4, 3)


class Pooled(Network):
    SIGNATURE: Mapping[str, Any] = {
        "inputs": {"x": SEQUENCE},
        "outputs": {"y": ["float32", ["batch", 4]]},
    }


class LongerThan40(Network):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y * 2 if x.shape[1] > 40 else y


class ShorterThan4(Network):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y * 2 if x.shape[1] < 4 else y


class CausalMask(Network):
    """As GPT-Neo: the mask of 64 positions is cut to the length of keys and queries."""

    def forward(self, x: Tensor) -> Tensor:
        keys = self.layer(x)
        time, length = x.size(-2), keys.size(-2)
        mask = self.mask[length - time : length, :length]
        scores = torch.where(mask, x @ keys.transpose(1, 2), -1e9)
        return scores.softmax(-1) @ x


class CutTable(Network):
    """The output is a part of a table alone: `Min(64, time)` is the size of its axis."""

    def forward(self, x: Tensor) -> Tensor:
        rows = self.table.weight[: x.shape[1]].unsqueeze(0)
        return rows.expand(x.shape[0], -1, -1) * 2


class Positions(Network):
    """torch.export does not see that the indices end with the table."""

    def forward(self, x: Tensor) -> Tensor:
        rows: Tensor = self.table(torch.arange(x.shape[1], device=x.device))
        return x + rows


class Unpadded(Pooled):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.unpadded(x.transpose(1, 2))
        return y.mean(-1)


class Halved(Pooled):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x[:, ::2])
        return y.mean(1)


class Strided(Pooled):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.convolution(x.transpose(1, 2))
        return y.mean(-1)


class CausalUnlessOne(Network):
    """As Hugging Face's attention: no mask where there is one word."""

    def forward(self, x: Tensor) -> Tensor:
        scores = x @ x.transpose(1, 2)
        if x.shape[1] > 1:
            steps = torch.arange(x.shape[1], device=x.device)
            scores = torch.where(steps[:, None] >= steps, scores, -1e9)
        return scores.softmax(-1) @ x


class TwoWays(Network):
    """As kornia's Laplacian: the same numbers in another way where there are many."""

    def forward(self, x: Tensor) -> Tensor:
        if x.numel() < 9000:
            return x * 3
        return x + x + x


class AnyNumber(nn.Module):
    SIGNATURE: Mapping[str, Any] = {
        "inputs": {"x": SEQUENCE, "z": SEQUENCE},
        "outputs": {"y": ["float32", ["batch", "time", 4]]},
    }

    def forward(self, *x: Tensor) -> Tensor:
        return x[0] * 2 + x[1]


LIMITED: dict[str, tuple[Make, int, int | None]] = {
    "a branch on the length": (LongerThan40, 1, 40),
    "a branch on short ones": (ShorterThan4, 4, None),
    "a causal mask": (CausalMask, 1, 64),
    "a table that is cut": (CutTable, 1, 64),
    "a table of positions": (Positions, 1, 64),
    "no padding": (Unpadded, 3, None),
}
FREE: dict[str, Make] = {
    "every second step": Halved,
    "a stride of 2": Strided,
    "no mask for one": CausalUnlessOne,
    "two ways": TwoWays,
    "forward(*x)": AnyNumber,
}


def model_of(make: Make, **said: Any) -> TrainedModel:
    network = make().eval()
    return describe(network, **{"signature": network.SIGNATURE, "name": "sized", **said})


def check_answers(
    model: TrainedModel, path: Path, format_name: str, right: list[int], wrong: list[int]
) -> None:
    """Each backend answers as the network at the right lengths, and refuses the wrong ones."""
    signature = model.manifest.signature
    for name in BACKENDS[format_name]:
        pytest.importorskip(MODULES.get(name, "torch"))
        with load(path, backend=name, trust=True) as predictor:
            for batch, time in ((2 + time % 3, time) for time in right):
                inputs = signature.example({"batch": batch, "time": time})
                (got,) = predictor.run(inputs).values()
                expected = model.network(*map(torch.from_numpy, inputs.values())).numpy()
                assert got.shape == expected.shape
                np.testing.assert_allclose(got, expected, atol=1e-4)
            for time in wrong:
                with pytest.raises(InputError, match=f"time is {time}") as caught:
                    predictor.run(signature.example({"batch": 2, "time": time}))
                assert caught.value.code == "E-SHAPE"


@pytest.mark.parametrize("format_name", EXPORTERS)
@pytest.mark.parametrize("case", LIMITED)
def test_a_file_takes_the_lengths_at_which_it_is_right(
    case: str, format_name: str, tmp_path: Path
) -> None:
    make, least, most = LIMITED[case]
    model = model_of(make)
    path = tmp_path / "file"
    export(model, format_name, path)
    assert dict(read_artifact(path).require_manifest().signature.limits) == {
        "time": Limits(least, most)
    }
    right = [least, least + 1, 12, 33, most or 300]
    wrong = ([least - 1] if least > 1 else []) + ([] if most is None else [most + 1, 10 * most])
    check_answers(model, path, format_name, right, wrong)
    lengths = {case.sizes["time"] for case in model.equivalence_check.cases}
    assert {least, most or least} <= lengths
    assert all(least <= length <= (most or length) for length in lengths)


@pytest.mark.parametrize("format_name", EXPORTERS)
@pytest.mark.parametrize("case", FREE)
def test_what_is_right_at_every_length_has_no_limits(
    case: str, format_name: str, tmp_path: Path
) -> None:
    model = model_of(FREE[case])
    export(model, format_name, tmp_path / "file")
    assert model.traced.signature.limits == {}
    check_answers(model, tmp_path / "file", format_name, [1, 2, 3, 4, 5, 40, 65, 1001], [])


class Rows(Network):
    SIGNATURE: Mapping[str, Any] = {
        "inputs": {"x": ["float32", ["batch", 4]]},
        "outputs": {"y": ["float32", ["batch", 4]]},
    }

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y * 2 if x.shape[0] > 100 else y


class ManyNumbers(Network):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y * 2 if x.shape[0] * x.shape[1] > 9000 else y


class OddLengths(Pooled):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x).mean(1)
        return y * 2 if x.shape[1] % 2 == 0 else y


class OneLength(Network):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y * 2 if x.shape[1] == 333 else y


class EqualLengths(Network):
    SIGNATURE: Mapping[str, Any] = {
        "inputs": {"x": SEQUENCE, "z": ["float32", ["batch", "length", 4]]},
        "outputs": {"y": ["float32", ["batch", 4]]},
    }

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        if x.shape[1] > z.shape[1]:
            return x.mean(1)
        return z.mean(1)


REFUSED: dict[str, tuple[Make, str, str]] = {
    "a branch on the batch": (Rows, "E-ROWS", "batch <= 100"),
    "a branch on all numbers": (ManyNumbers, "E-ROWS", r"batch\*time <= 9000"),
    "a branch on even lengths": (OddLengths, "E-EXPORT-AXES", "time"),
    "a branch on two lengths": (EqualLengths, "E-EXPORT-AXES", "length"),
}


@pytest.mark.parametrize("format_name", EXPORTERS)
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_right_within_no_limits_is_refused(
    case: str, format_name: str, tmp_path: Path
) -> None:
    make, code, decisive = REFUSED[case]
    with pytest.raises(ArtifactError, match=decisive) as caught:
        export(model_of(make), format_name, tmp_path / "file")
    assert caught.value.code == code
    assert not (tmp_path / "file").exists()


def test_a_single_length_that_a_guard_leaves_out_is_checked(tmp_path: Path) -> None:
    with pytest.raises(AgreementError, match="333"):
        export(model_of(OneLength), "torchscript", tmp_path / "file")


# What torch.export cannot trace: a pool over a free length.


class PooledRows(Pooled):
    def forward(self, x: Tensor) -> Tensor:
        y = functional.max_pool1d(x.transpose(1, 2), 2).mean(-1)
        return y * 2 if x.shape[0] > 100 else y


class PooledLengths(Pooled):
    def forward(self, x: Tensor) -> Tensor:
        y = functional.max_pool1d(x.transpose(1, 2), 2).mean(-1)
        return y * 2 if x.shape[1] > 500 else y


class PooledPositions(Pooled):
    def forward(self, x: Tensor) -> Tensor:
        x = x + self.table(torch.arange(x.shape[1]))
        return functional.max_pool1d(functional.pad(x.transpose(1, 2), (0, 1)), 2).mean(-1)


@pytest.mark.parametrize("make", [PooledRows, PooledLengths])
def test_a_branch_of_what_cannot_be_traced_shows_far_beyond_the_grid(
    make: Make, tmp_path: Path
) -> None:
    signature = {**make.SIGNATURE, "axes": {"time": [2]}}  # type: ignore[attr-defined]
    model = model_of(make, signature=signature)
    assert model.traced.program is None
    with pytest.raises(AgreementError):
        export(model, "torchscript", tmp_path / "file")


def test_what_cannot_be_traced_ends_where_the_network_does(tmp_path: Path) -> None:
    model = model_of(PooledPositions)
    export(model, "torchscript", tmp_path / "file")
    assert model.traced.program is None
    assert dict(model.traced.signature.limits) == {"time": Limits(1, 64)}
    check_answers(model, tmp_path / "file", "torchscript", [1, 2, 64], [65])


# What an exporter decides by sizes.


def test_a_decomposition_for_one_length_is_refused_in_onnx_alone(tmp_path: Path) -> None:
    class Adaptive(Pooled):
        def forward(self, x: Tensor) -> Tensor:
            return functional.adaptive_avg_pool1d(x.transpose(1, 2), 3).mean(-1)

    model = model_of(Adaptive)
    with pytest.raises(ArtifactError, match="time") as caught:
        export(model, "onnx", tmp_path / "file")
    assert caught.value.code == "E-EXPORT-AXES"
    export(model, "pt2", tmp_path / "file")
    check_answers(model, tmp_path / "file", "pt2", [1, 2, 7, 33], [])


# Limits that are stated.


def test_limits_that_are_stated_are_kept(tmp_path: Path) -> None:
    signature = {**CausalMask.SIGNATURE, "axes": {"time": [2, 32]}}
    model = model_of(CausalMask, signature=signature)
    export(model, "onnx", tmp_path / "file")
    assert dict(read_artifact(tmp_path / "file").require_manifest().signature.limits) == {
        "time": Limits(2, 32)
    }
    check_answers(model, tmp_path / "file", "onnx", [2, 32], [1, 33])


def test_limits_beyond_those_of_the_network_are_refused(tmp_path: Path) -> None:
    signature = {**CausalMask.SIGNATURE, "axes": {"time": [1, 128]}}
    with pytest.raises(ArtifactError, match="1 to 64") as caught:
        export(model_of(CausalMask, signature=signature), "torchscript", tmp_path / "file")
    assert caught.value.code == "E-EXPORT-AXES"


def test_samples_that_are_longer_than_the_network_takes_are_refused(tmp_path: Path) -> None:
    samples = {"x": np.zeros((2, 41, 4), np.float32)}
    with pytest.raises(InputError, match="time is 41"):
        export(model_of(LongerThan40, samples=samples), "torchscript", tmp_path / "file")


# Without ptx, and behind its check.


@pytest.mark.parametrize(("make", "wrong"), [(LongerThan40, 41), (Unpadded, 2)])
def test_the_graph_itself_refuses_other_lengths(make: Make, wrong: int) -> None:
    traced = model_of(make).traced
    runtime = import_onnxruntime()
    content = EXPORTERS["onnx"].convert(traced, opset=None)
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    session.run(None, {"x": np.zeros((2, 12, 4), np.float32)})
    with pytest.raises(Exception, match="Reshape"):
        session.run(None, {"x": np.zeros((2, wrong, 4), np.float32)})
    program = torch.export.load(io.BytesIO(EXPORTERS["pt2"].convert(traced, opset=None))).module()
    program(torch.zeros(2, 12, 4))
    with pytest.raises((AssertionError, RuntimeError)):
        program(torch.zeros(2, wrong, 4))


def test_a_page_refuses_other_lengths_itself(tmp_path: Path) -> None:
    pytest.importorskip("py_mini_racer")
    path = tmp_path / "sized.html"
    export(model_of(LongerThan40), "html", path)
    backend = open_backend("javascript", read_artifact(path), Options(device="cpu", trust=True))
    backend.run({"x": np.zeros((2, 40, 4), np.float32)})
    with pytest.raises(ArtifactError, match="axis-limits: time, 41, 1, 40"):
        backend.run({"x": np.zeros((2, 41, 4), np.float32)})
    backend.close()
