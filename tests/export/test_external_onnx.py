"""ONNX files of other tools: the reference in float64, and the artifact that they become."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import ptx.export
from ptx.export.external_onnx import OnnxNetwork
from ptx.infer import AgreementError, ArtifactError, UsageError, load, read_artifact, verify
from ptx.infer.external.spec import ModelSpec


def export_plainly(network: nn.Module, path: Path, example: torch.Tensor, **options: Any) -> Path:
    """As people export without ptx."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # this exporter is deprecated, and what most files were made by
        torch.onnx.export(
            network.eval(),
            (example,),
            path,
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            **options,
        )
    return path


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)
    )


@pytest.fixture
def dynamic(network: nn.Module, tmp_path: Path) -> Path:
    axes = {"x": {0: "n"}, "y": {0: "n"}}
    return export_plainly(network, tmp_path / "a.onnx", torch.ones(1, 3, 8, 8), dynamic_axes=axes)


def test_an_adopted_file_is_an_artifact_with_the_same_outputs(
    network: nn.Module, dynamic: Path, tmp_path: Path
) -> None:
    adopted = tmp_path / "adopted.onnx"
    done = ptx.export.adopt(read_artifact(dynamic), adopted)
    assert done.reference == "the graph in float64"
    assert done.manifest.golden
    assert done.manifest.signature.to_data() == {
        "inputs": {"x": ["float32", ["batch", 3, 8, 8]]},
        "outputs": {"y": ["float32", ["batch", 5]]},
    }
    assert all(check.passed for check in verify(adopted))
    images = torch.randn(4, 3, 8, 8)
    with load(adopted, backend="ort-cpu") as predictor:
        outputs = predictor.run({"x": images.numpy()})["y"]
    with torch.inference_mode():
        assert np.abs(outputs - network(images).numpy()).max() < 1e-5
    graphs = [onnx.load(path).graph.SerializeToString() for path in (dynamic, adopted)]
    assert graphs[0] == graphs[1]


def test_a_fixed_batch_becomes_dynamic_where_the_graph_allows_it(
    network: nn.Module, tmp_path: Path
) -> None:
    fixed = export_plainly(network, tmp_path / "fixed.onnx", torch.ones(1, 3, 8, 8))
    ptx.export.adopt(read_artifact(fixed), tmp_path / "adopted.onnx")
    with load(tmp_path / "adopted.onnx", backend="ort-cpu") as predictor:
        assert predictor.run({"x": np.ones((3, 3, 8, 8), np.float32)})["y"].shape == (3, 5)


@pytest.mark.parametrize(
    ("shape", "options"), [([1, 4], {}), ([1, -1], {}), ([1, 4], {"allowzero": 1})]
)
def test_a_batch_that_reshapes_fix_becomes_dynamic(
    shape: list[int], options: dict[str, Any], tmp_path: Path
) -> None:
    """As `x.view(1, -1)` and torch's own exporters write it."""
    node = helper.make_node("Reshape", ["x", "w"], ["y"], **options)
    path = one_node(tmp_path / "view.onnx", node, {"w": np.array(shape)}, [1, 2, 2])
    ptx.export.adopt(read_artifact(path), tmp_path / "adopted.onnx")
    with load(tmp_path / "adopted.onnx", backend="ort-cpu") as predictor:
        outputs = predictor.run({"x": np.arange(12, dtype=np.float32).reshape(3, 2, 2)})
    assert np.array_equal(outputs["y"], np.arange(12).reshape(3, 4))


def one_node(
    save: Path, node: onnx.NodeProto, weights: dict[str, Any], shape: list[Any], **types: int
) -> Path:
    """A file of one operator from `x` to `y`."""
    values = [
        helper.make_tensor_value_info("x", types.get("x", TensorProto.FLOAT), shape),
        helper.make_tensor_value_info("y", types.get("y", TensorProto.FLOAT), None),
    ]
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph([node], "one", values[:1], values[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, save)
    return save


@pytest.mark.parametrize(
    ("node", "weights", "shape"),
    [
        # a batch that the graph itself fixes
        (
            helper.make_node("Concat", ["x", "w"], ["y"], axis=1),
            {"w": np.ones((1, 3), np.float32)},
            [1, 3],
        ),
        # an output whose size depends on the values
        (helper.make_node("NonZero", ["x"], ["y"]), {}, ["n", 3]),
        # no batch
        (helper.make_node("Relu", ["x"], ["y"]), {}, []),
    ],
)
def test_what_has_no_batch_of_any_size_is_refused(
    node: onnx.NodeProto, weights: dict[str, Any], shape: list[Any], tmp_path: Path
) -> None:
    integer = {"y": TensorProto.INT64} if node.op_type == "NonZero" else {}
    path = one_node(tmp_path / "one.onnx", node, weights, shape, **integer)
    with pytest.raises(ArtifactError) as refused:
        ptx.export.adopt(read_artifact(path), tmp_path / "adopted.onnx")
    assert refused.value.code == "E-ONNX-SIGNATURE"
    assert not (tmp_path / "adopted.onnx").exists()


def test_a_batch_that_the_graph_fixes_is_named(tmp_path: Path) -> None:
    node = helper.make_node("Concat", ["x", "w"], ["y"], axis=1)
    path = one_node(tmp_path / "one.onnx", node, {"w": np.ones((1, 3), np.float32)}, [1, 3])
    with pytest.raises(ArtifactError, match="dynamic_shapes"):
        ptx.export.read_external(read_artifact(path))


def test_rows_that_depend_on_each_other_are_refused(tmp_path: Path) -> None:
    node = helper.make_node("Softmax", ["x"], ["y"], axis=0)
    path = one_node(tmp_path / "mixed.onnx", node, {}, ["n", 3])
    with pytest.raises(ArtifactError) as refused:
        ptx.export.adopt(read_artifact(path), tmp_path / "adopted.onnx")
    assert "batch" in str(refused.value)


def test_the_reference_is_in_float64(dynamic: Path) -> None:
    model = ptx.export.read_external(read_artifact(dynamic))
    images = torch.randn(2, 3, 8, 8)
    in_float64 = OnnxNetwork(model.content, model.manifest.signature).double()
    (single,), (double,) = model.network(images), in_float64(images.double())
    assert double.dtype == torch.float64
    assert 0 < float((single.double() - double).abs().max()) < 1e-5


def test_a_backend_that_computes_something_else_is_found(
    dynamic: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from ptx.infer.backends.ort.cpu import OrtCpuBackend

    run = OrtCpuBackend.run

    def wrong(self: OrtCpuBackend, inputs: Any) -> Any:
        return {name: array * np.float32(1.001) for name, array in run(self, inputs).items()}

    monkeypatch.setattr(OrtCpuBackend, "run", wrong)
    with pytest.raises(AgreementError):
        ptx.export.adopt(read_artifact(dynamic), tmp_path / "adopted.onnx")


def test_an_operator_that_has_no_float64_is_compared_with_onnx_runtime(tmp_path: Path) -> None:
    node = helper.make_node("FusedMatMul", ["x", "w"], ["y"], domain="com.microsoft", alpha=2.0)
    path = one_node(tmp_path / "own.onnx", node, {"w": np.eye(3, dtype=np.float32)}, ["n", 3])
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, path)
    done = ptx.export.adopt(read_artifact(path), tmp_path / "adopted.onnx")
    assert done.reference == "ONNX Runtime without optimizations"
    assert all(check.passed for check in verify(tmp_path / "adopted.onnx"))


def test_weights_in_another_file_are_joined(
    network: nn.Module, dynamic: Path, tmp_path: Path
) -> None:
    apart = tmp_path / "apart.onnx"
    onnx.save(onnx.load(dynamic), apart, save_as_external_data=True, location="w", size_threshold=0)
    done = ptx.export.adopt(read_artifact(apart), tmp_path / "adopted.onnx")
    assert done.size > 2000
    (tmp_path / "w").unlink()
    assert all(check.passed for check in verify(tmp_path / "adopted.onnx"))


def test_integers_need_their_range(tmp_path: Path) -> None:
    table = np.random.default_rng(0).standard_normal((10, 4)).astype(np.float32)
    node = helper.make_node("Gather", ["w", "x"], ["y"])
    path = one_node(tmp_path / "ids.onnx", node, {"w": table}, ["n", "t"], x=TensorProto.INT64)
    artifact = read_artifact(path)
    with pytest.raises(ArtifactError) as refused:
        ptx.export.adopt(artifact, tmp_path / "adopted.onnx")
    assert '"int64"' in str(refused.value)
    spec = ModelSpec.from_data(
        {
            "inputs": {"x": ["int64", ["batch", "t"], [0, 9]]},
            "outputs": {"y": ["float32", ["batch", "t", 4]]},
        }
    )
    assert ptx.export.adopt(artifact, tmp_path / "adopted.onnx", spec).cases > 10


def test_an_integer_output_is_compared_too(tmp_path: Path) -> None:
    """Which integers rounding decides is found with copies of the graph in float64."""
    node = helper.make_node("ArgMax", ["x"], ["y"], axis=1, keepdims=0)
    path = one_node(tmp_path / "class.onnx", node, {}, ["n", 5], y=TensorProto.INT64)
    done = ptx.export.adopt(read_artifact(path), tmp_path / "adopted.onnx")
    assert done.reference == "the graph in float64"
    assert all(check.passed for check in verify(tmp_path / "adopted.onnx"))


def test_an_artifact_is_not_adopted_again(dynamic: Path, tmp_path: Path) -> None:
    adopted = tmp_path / "adopted.onnx"
    ptx.export.adopt(read_artifact(dynamic), adopted)
    with pytest.raises(UsageError):
        ptx.export.adopt(read_artifact(adopted), tmp_path / "again.onnx")
