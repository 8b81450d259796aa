"""An export that disagrees does not exist: injected wrong files are refused, and none is written."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from ptx.export import TrainedModel, export, read_model
from ptx.export.check.equivalence import EquivalenceCheck
from ptx.export.check.matrix import BATCHES, LENGTHS, first_rows, make_matrix, sample_sizes
from ptx.export.check.precision import PRECISIONS
from ptx.export.check.tolerance import FACTOR
from ptx.export.formats import EXPORTERS
from ptx.export.guards import TRACED
from ptx.export.tracing import Traced, trace
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.errors import AgreementError, ArtifactError, InputError
from ptx.infer.signature import Signature
from ptx.models import CATALOG, build

Checkpoint = Callable[[str], Path]
Array = NDArray[Any]
Edit = Callable[[Any], None]

OLD = b"the artifact that was there before"


def manifest_of(model: str) -> Manifest:
    entry = CATALOG[model]
    return Manifest(
        model=model,
        task=entry.task,
        signature=Signature.from_data(entry.signature),
        preprocessing=dict(entry.preprocessing),
        labels=entry.labels,
        config=dict(entry.config),
    )


def seeded(model: str) -> nn.Module:
    torch.manual_seed(0)
    return build(model).eval().requires_grad_(False)


def trained_of(model: str, samples: dict[str, Array] | None = None) -> TrainedModel:
    return TrainedModel(seeded(model), manifest_of(model), samples or {})


@cache
def converted(model: str) -> bytes:
    """The right ONNX file of the seeded network."""
    return EXPORTERS["onnx"].convert(trace(seeded(model), manifest_of(model).signature), opset=None)


def inject(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Let the next export be `content` and its conversion take no time."""

    def convert(traced: Traced, *, opset: int | None) -> bytes:
        return content

    for name, exporter in EXPORTERS.items():
        monkeypatch.setitem(EXPORTERS, name, replace(exporter, convert=convert))


def edited(model: str, edit: Edit) -> bytes:
    proto = onnx.load_from_string(converted(model))
    edit(proto)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def assert_refused(trained: TrainedModel, path: Path, match: str) -> None:
    """Without and with a file in the artifact's place: it is left as it was, and none beside it."""
    for before in (None, OLD):
        if before is not None:
            path.write_bytes(before)
        with pytest.raises(AgreementError, match=match):
            export(trained, "onnx", path)
        assert (path.read_bytes() if path.exists() else None) == before
        assert [entry for entry in path.parent.iterdir() if entry != path] == []


# Edits of a graph.


def behind_output(*nodes: Any, constants: Mapping[str, Array] | None = None) -> Edit:
    """Put nodes that turn `clean` into `answer` between the graph and its first output."""

    def edit(proto: Any) -> None:
        graph = proto.graph
        name = graph.output[0].name
        for node in graph.node:
            node.output[:] = ["clean" if output == name else output for output in node.output]
        for node in nodes:
            node.output[:] = [name if output == "answer" else output for output in node.output]
        graph.node.extend(nodes)
        for key, array in (constants or {}).items():
            graph.initializer.append(numpy_helper.from_array(array, key))

    return edit


def before_inputs(*nodes: Any, constants: Mapping[str, Array]) -> Edit:
    """Put nodes that turn `raw` into `cut` between the graph and its first input."""

    def edit(proto: Any) -> None:
        graph = proto.graph
        name = graph.input[0].name
        for node in graph.node:
            node.input[:] = ["cut" if value == name else value for value in node.input]
        for node in nodes:
            node.input[:] = [name if value == "raw" else value for value in node.input]
        for node in reversed(nodes):
            graph.node.insert(0, node)
        for key, array in constants.items():
            graph.initializer.append(numpy_helper.from_array(array, key))

    return edit


def freeze_batch(proto: Any) -> None:
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = manifest_of("mlp").signature.distinct_sizes(
            TRACED
        )["batch"]


def rename_output(proto: Any) -> None:
    name = proto.graph.output[0].name
    proto.graph.output[0].name = "scores"
    for node in proto.graph.node:
        node.output[:] = ["scores" if output == name else output for output in node.output]


def return_doubles(proto: Any) -> None:
    behind_output(helper.make_node("Cast", ["clean"], ["answer"], to=TensorProto.DOUBLE))(proto)
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE


def forget_shapes(proto: Any) -> None:
    del proto.graph.value_info[:]
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")


def twice_the_rows(proto: Any) -> None:
    behind_output(helper.make_node("Concat", ["clean", "clean"], ["answer"], axis=0))(proto)
    forget_shapes(proto)


def without_last_axis(proto: Any) -> None:
    node = helper.make_node("Squeeze", ["clean", "last"], ["answer"])
    behind_output(node, constants={"last": np.array([1])})(proto)
    forget_shapes(proto)


def nan_at_batch_7(proto: Any) -> None:
    behind_output(
        helper.make_node("Shape", ["clean"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["rows"]),
        helper.make_node("Equal", ["rows", "seven"], ["is_seven"]),
        helper.make_node("Where", ["is_seven", "nan", "clean"], ["answer"]),
        constants={
            "zero": np.array(0),
            "seven": np.array(7),
            "nan": np.array(np.nan, np.float32),
        },
    )(proto)


def first_three_steps(proto: Any) -> None:
    """What a loop that was unrolled at the traced length computes: the rest is never read."""
    before_inputs(
        helper.make_node("Slice", ["raw", "begin", "end", "axis"], ["cut"]),
        constants={"begin": np.array([0]), "end": np.array([3]), "axis": np.array([0])},
    )(proto)
    forget_shapes(proto)


def reset_after(proto: Any) -> None:
    changed = 0
    for node in proto.graph.node:
        for attribute in node.attribute:
            if attribute.name == "linear_before_reset":
                assert attribute.i == 1
                attribute.i = 0
                changed += 1
    assert changed == 4  # two directions of two layers


def one_weight(name: str, factor: float) -> Edit:
    """Multiply the largest of the weights whose name ends so."""

    def edit(proto: Any) -> None:
        (tensor,) = (t for t in proto.graph.initializer if t.name.endswith(name))
        array = numpy_helper.to_array(tensor).copy()
        array.flat[np.abs(array).argmax()] *= factor
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    return edit


WRONG: dict[str, tuple[str, Edit, str]] = {
    "batch frozen": (
        "mlp",
        freeze_batch,
        r"input 'image' as tensor\(float\) \[5, 784\]; its manifest says float32 \(batch, 784\)",
    ),
    "a weight of a line": (
        "linear-model",
        one_weight("linear.weight", 1.001),
        r"at random input, batch 1: output 'y' is off by [\d.e-]+; allowed are [\d.e-]+$",
    ),
    "a weight of a convolution": (
        "convnet",
        one_weight("features.0.weight", 1.001),
        r"at random input, batch \d+: output 'logits' is off by [\d.e-]+; allowed are [\d.e-]+$",
    ),
    "a weight of a last layer": (
        "mlp",
        one_weight("layers.5.bias", 1.001),
        r"output 'logits' is off by [\d.e-]+; allowed are [\d.e-]+$",
    ),
    "NaN at batch 7": (
        "mlp",
        nan_at_batch_7,
        r"ort-cpu disagrees with eager float64 at random input, batch 7: output 'logits' is not fin",
    ),
    "output renamed": (
        "mlp",
        rename_output,
        r"outputs \['scores'\]; its manifest says \['logits'\]",
    ),
    "doubles": ("mlp", return_doubles, r"output 'logits' as tensor\(double\)"),
    "twice the rows": ("mlp", twice_the_rows, r"has shape \(2, 10\); expected \(1, 10\)"),
    "an axis less": ("linear-model", without_last_axis, r"has shape \(1,\); expected \(1, 1\)"),
    "time unrolled": (
        "lstm",
        first_three_steps,
        r"at random input, batch 1, time 14: output 'logits' is off by [\d.]+; allowed are [\d.e-]+$",
    ),
    "GRU resets after": (
        "name-classifier",
        reset_after,
        r"at random input, batch 1, time 1: output 'logits' is off by [\d.]+; allowed are [\d.e-]+$",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_export_is_refused_and_leaves_no_file(
    wrong: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model, edit, message = WRONG[wrong]
    inject(monkeypatch, edited(model, edit))
    assert_refused(trained_of(model), tmp_path / "model.onnx", message)


@pytest.mark.parametrize("model", sorted({model for model, _, _ in WRONG.values()}))
def test_the_graph_without_an_edit_is_accepted(
    model: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    inject(monkeypatch, edited(model, lambda proto: None))
    assert export(trained_of(model), "onnx", tmp_path / "model.onnx").path.exists()


def test_what_an_exporter_does_to_the_network_does_not_reach_the_reference(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trained = trained_of("linear-model")
    before = {name: tensor.clone() for name, tensor in trained.network.state_dict().items()}

    def convert(traced: Traced, *, opset: int | None) -> bytes:
        for parameter in traced.network.parameters():
            parameter.mul_(1.001)
        return edited("linear-model", one_weight("linear.weight", 1.001))

    for name, exporter in EXPORTERS.items():
        monkeypatch.setitem(EXPORTERS, name, replace(exporter, convert=convert))
    assert_refused(trained, tmp_path / "model.onnx", "output 'y' is off by")
    for name, tensor in trained.network.state_dict().items():
        assert torch.equal(tensor, before[name])


# Labels.


def near_tie() -> tuple[TrainedModel, Edit]:
    """A network whose first two classes differ by less than float32 tells on its real samples alone.

    The edit moves one bias by less than the tolerance: enough to exchange the two.
    """
    torch.manual_seed(0)
    network = build("neural-network").eval().requires_grad_(False)
    *_, last = network.modules()
    assert isinstance(last, nn.Linear)
    last.weight[:2] = 0.0
    last.bias[:2] = torch.tensor([5.0 + 2**-20, 5.0])
    samples = {"image": np.zeros((64, 28, 28), np.float32)}

    def edit(proto: Any) -> None:
        nodes = [helper.make_node("Add", ["clean", "moved"], ["answer"])]
        moved = np.zeros(10, np.float32)
        moved[1] = 2**-19
        behind_output(*nodes, constants={"moved": moved})(proto)

    return TrainedModel(network, manifest_of("neural-network"), samples), edit


def test_labels_that_differ_on_real_samples_alone_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trained, edit = near_tie()
    right = EXPORTERS["onnx"].convert(
        trace(trained.network, trained.manifest.signature), opset=None
    )
    proto = onnx.load_from_string(right)
    edit(proto)
    wrong = proto.SerializeToString()
    inject(monkeypatch, wrong)
    path = tmp_path / "model.onnx"
    assert_refused(trained, path, "ort-cpu gives another label on 64 of 64 real samples")
    # Within the tolerance it is: without real samples nothing is wrong with it.
    path.unlink()
    assert export(TrainedModel(trained.network, trained.manifest, {}), "onnx", path).rows == 0
    inject(monkeypatch, right)
    assert export(trained, "onnx", path).rows == 64


def test_real_samples_behind_the_largest_batch_are_held_to_the_tolerance_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A fault that shows above 10 alone, which only the seventieth sample is."""
    samples = np.zeros((70, 1), np.float32)
    samples[-1] = 20.0
    edit = behind_output(
        helper.make_node("Clip", ["clean", "lowest", "highest"], ["answer"]),
        constants={
            "lowest": np.array(-5.0, np.float32),
            "highest": np.array(5.0, np.float32),
        },
    )
    network = seeded("linear-model")
    network.load_state_dict(
        {"linear.weight": torch.tensor([[0.45]]), "linear.bias": torch.tensor([0.0])}
    )
    right = EXPORTERS["onnx"].convert(
        trace(network, manifest_of("linear-model").signature), opset=None
    )
    proto = onnx.load_from_string(right)
    edit(proto)
    inject(monkeypatch, proto.SerializeToString())
    trained = TrainedModel(network, manifest_of("linear-model"), {"x": samples})
    # The extremes of what was seen are in the grid as well, at batch 2, and tell first.
    with pytest.raises(AgreementError, match="at extremes input, batch 2: output 'y' is off"):
        export(trained, "onnx", tmp_path / "model.onnx")
    monkeypatch.setattr("ptx.export.check.matrix._range", lambda samples: (0.0, 0.0))
    assert_refused(
        replace(trained), tmp_path / "model.onnx", "at real input, batch 70: output 'y' is off"
    )


# The grid.


def sizes_in(signature: Signature, samples: Mapping[str, Array], kind: str) -> set[tuple[int, ...]]:
    return {tuple(sizes.values()) for k, sizes, _ in make_matrix(signature, samples) if k == kind}


@pytest.mark.parametrize("model", CATALOG)
def test_the_grid_crosses_the_batches_with_the_lengths(model: str) -> None:
    signature = manifest_of(model).signature
    axes = [BATCHES] + [LENGTHS] * (len(signature.dynamic_axes) - 1)
    assert sizes_in(signature, {}, "random") == set(itertools.product(*axes))
    for kind in ("zeros", "ones", "extremes"):
        assert len(sizes_in(signature, {}, kind)) >= 2
    assert sizes_in(signature, {}, "real") == set()


@pytest.mark.parametrize("model", CATALOG)
def test_no_size_of_the_grid_is_the_traced_one(model: str) -> None:
    signature = manifest_of(model).signature
    traced = signature.distinct_sizes(TRACED)
    assert set(BATCHES) >= {1, 2, 3, 7, 64}
    assert set(LENGTHS) >= {1, 2, 14, 28, 40}
    assert len(set(traced.values())) == len(traced)
    assert min(traced.values()) >= 2  # torch.export freezes a dimension of size 1
    assert traced["batch"] not in BATCHES
    assert traced.get("time") not in LENGTHS


@pytest.mark.parametrize("model", CATALOG)
def test_every_input_of_the_grid_fits_the_signature(model: str) -> None:
    from ptx.infer.checks import check_inputs

    signature = manifest_of(model).signature
    samples = signature.example({"batch": 5, "time": 6})
    fills = set()
    for fill, sizes, inputs in make_matrix(signature, samples):
        assert check_inputs(signature, inputs)[1] == sizes
        fills.add(fill)
    assert fills == {"real", "random", "zeros", "ones", "extremes"}


def test_real_samples_are_cut_to_each_size_that_they_fill_and_stand_whole_at_the_end() -> None:
    signature = manifest_of("lstm").signature
    samples = {"sequence": np.random.default_rng(0).random((28, 5, 28), np.float32)}
    real = [(sizes, inputs) for k, sizes, inputs in make_matrix(signature, samples) if k == "real"]
    sizes = [tuple(sizes.values()) for sizes, _ in real]
    assert sizes == [*itertools.product((1, 2, 3), (1, 2, 14, 28)), (5, 28)]
    for (batch, time), (_, inputs) in zip(sizes, real, strict=True):
        assert np.array_equal(inputs["sequence"], samples["sequence"][:time, :batch])


def test_a_cut_names_length_is_at_most_what_is_left_of_it() -> None:
    signature = manifest_of("name-classifier").signature
    samples = {"characters": np.full((3, 20), 65), "lengths": np.array([20, 5, 1])}
    cut = {tuple(s.values()): i for k, s, i in make_matrix(signature, samples) if k == "real"}
    assert cut[3, 14]["lengths"].tolist() == [14, 5, 1]
    assert cut[3, 14]["characters"].shape == (3, 14)
    assert cut[3, 20]["lengths"].tolist() == [20, 5, 1]


def test_the_first_rows_are_at_their_own_length() -> None:
    signature = manifest_of("lstm").signature
    samples = {"sequence": np.random.default_rng(0).random((20, 5, 28), np.float32)}
    assert sample_sizes(signature, samples) == {"batch": 5, "time": 20}
    rows = first_rows(signature, samples, 3)
    assert rows is not None
    assert np.array_equal(rows["sequence"], samples["sequence"][:, :3])
    assert first_rows(signature, samples, 6) is None
    assert first_rows(signature, {}, 1) is None


# The proof.


class Halves(nn.Module):
    """x/2 + 1/3, or what is set."""

    def __init__(self, weight: float = 0.5, bias: float = 1 / 3) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 1)
        self.linear.load_state_dict(
            {"weight": torch.tensor([[weight]]), "bias": torch.tensor([bias])}
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x)
        return y


def line(weight: float = 0.5, bias: float = 1 / 3) -> EquivalenceCheck:
    return EquivalenceCheck(Halves(weight, bias), manifest_of("linear-model").signature, {})


def test_the_reference_is_the_network_in_float64() -> None:
    x = np.array([[1.0], [3.0]], np.float32)
    exact = line().reference.exact({"x": x})["y"]
    assert exact.dtype == np.float64
    # The weights are those of float32, the arithmetic is not.
    assert np.array_equal(exact, x.astype(np.float64) * 0.5 + np.float64(np.float32(1 / 3)))
    assert line().reference.eager({"x": x})["y"].dtype == np.float32


def test_the_reference_is_in_eval_mode_and_leaves_the_network_as_it_was() -> None:
    network = build("dropout-mlp").train()
    proof = EquivalenceCheck(network, manifest_of("dropout-mlp").signature, {})
    x = {"image": np.ones((2, 784), np.float32)}
    assert np.array_equal(proof.reference.exact(x)["logits"], proof.reference.exact(x)["logits"])
    assert np.array_equal(proof.reference.eager(x)["logits"], proof.reference.eager(x)["logits"])
    assert network.training
    assert next(network.parameters()).dtype == torch.float32


def test_the_tolerance_is_derived_from_eagers_own_error() -> None:
    proof = EquivalenceCheck(seeded("mlp"), manifest_of("mlp").signature, {})
    for kind in ("random", "extremes"):
        own = floor = 0.0
        for case in proof.cases:
            if case.pattern == kind:
                eager = proof.reference.eager(case.inputs)["logits"].astype(np.float64)
                own = max(own, float(np.abs(eager - case.exact["logits"]).max()))
                floor = max(
                    floor,
                    PRECISIONS["float32"].rounding * float(np.abs(case.exact["logits"]).max()),
                )
        assert own > 0
        assert proof.tolerances[kind, "logits"] == FACTOR * max(own, floor)
    assert FACTOR == 8.0


def test_the_tolerance_is_where_the_line_is_drawn() -> None:
    proof = line()
    kinds = {case.pattern for case in proof.cases}
    proof.column_tolerances = {(kind, "y"): np.array([0.5]) for kind in kinds}

    def off_by(offset: float) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
        return lambda inputs: {"y": proof.reference.eager(inputs)["y"] + np.float32(offset)}

    assert proof.check(off_by(0.49), "injected")["y"]["error"] == pytest.approx(0.49, abs=1e-5)
    for offset in (0.51, -0.51):
        with pytest.raises(AgreementError, match=r"y' is off by 0.51; allowed are 0.5$"):
            proof.check(off_by(offset), "injected")


def test_the_error_and_its_tolerance_are_reported_for_each_output() -> None:
    proof = line()
    found = proof.check(proof.reference.eager, "eager")
    assert set(found) == {"y"}
    assert 0 < found["y"]["error"] <= found["y"]["tolerance"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("weight", "bias"), [(0.5, 1 / 3), (0.0, 0.0)])
def test_an_answer_that_is_not_finite_never_passes(
    value: float, weight: float, bias: float
) -> None:
    proof = line(weight, bias)

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {"y": np.full_like(inputs["x"], value)}

    with pytest.raises(AgreementError, match="batch 1: output 'y' is not finite"):
        proof.check(run, "injected")


def test_a_network_that_answers_nothing_but_zero_is_held_to_zero() -> None:
    proof = line(0.0, 0.0)
    zeros = {"error": 0.0, "tolerance": 0.0}
    assert proof.check(lambda inputs: {"y": 0 * inputs["x"]}, "zero") == {"y": zeros}
    with pytest.raises(AgreementError, match=r"is off by 1e-30; allowed are 0$"):
        proof.check(lambda inputs: {"y": np.full_like(inputs["x"], 1e-30)}, "injected")


@pytest.mark.parametrize(
    ("weight", "bias", "precision"),
    [
        (float("nan"), 0.0, "float64"),
        (float("inf"), 0.0, "float64"),
        (0.5, float("nan"), "float64"),
        # Finite in float64: as a tolerance float32's infinite error would let everything pass.
        (3e38, 0.0, "float32"),
    ],
)
def test_a_network_that_is_not_finite_itself_is_no_reference(
    weight: float, bias: float, precision: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    message = f"output 'y' of eager {precision} is not finite"
    proof = line(weight, bias)
    with pytest.raises(ArtifactError, match=message):
        proof.check(lambda inputs: {"y": 0 * inputs["x"]}, "injected")
    inject(monkeypatch, converted("linear-model"))
    trained = TrainedModel(Halves(weight, bias), manifest_of("linear-model"), {})
    with pytest.raises((ArtifactError, AgreementError)):
        export(trained, "onnx", tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_backend_names_the_case() -> None:
    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        raise InputError("no such size")

    with pytest.raises(AgreementError, match=r"^injected fails at random input, batch 1: no such"):
        line().check(run, "injected")


def test_real_samples_of_a_checkpoint_reach_the_grid(checkpoint: Checkpoint) -> None:
    trained = read_model(checkpoint("softmax-regression"))
    assert trained.samples["image"].shape == (64, 784)
    real = sizes_in(trained.manifest.signature, trained.samples, "real")
    assert real == {(batch,) for batch in BATCHES}
