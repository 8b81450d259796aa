"""Inputs and outputs of every type: exported to every format, proved, run; or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ptx.export import EXPORTERS, compare, describe, export, read_model
from ptx.infer import AgreementError, ArtifactError, InputError, UsageError, load, verify
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.predictor import Predictor
from ptx.infer.replay import wrong_integers
from ptx.infer.signature import DTYPES

from .networks.wider import KINDS, Detector, Floats, Integers, Pixels, Segmentation

FLOATS = ("float16", "float32", "float64", "bfloat16")
EXAMPLES = {"detector": Detector, "segmentation": Segmentation, "pixels": Pixels}


def signature_of(kind: str, given: int, gives: int) -> dict[str, Any]:
    return {
        "inputs": {"x": [kind, ["batch", given]]},
        "outputs": {"y": [kind, ["batch", gives]]},
    }


def proved(network: nn.Module, format_name: str, path: Path, signature: Any) -> dict[str, Any]:
    """Export, verify, run on five rows; the outputs beside those of the network: name → both."""
    export(network, format_name, path, signature=signature)
    assert all(check.passed for check in verify(path, trust=True))
    with load(path, trust=True) as predictor:
        text = predictor.manifest.to_json()
        assert Manifest.from_json(text.encode(), name="it").to_json() == text
        inputs = predictor.signature.example({"batch": 5}, seed=7)
        outputs = predictor.run(inputs)
        empty = predictor.run({name: array[:0] for name, array in inputs.items()})
        for spec in predictor.signature.outputs:
            assert outputs[spec.name].dtype == spec.numpy_dtype == empty[spec.name].dtype
            assert empty[spec.name].shape == (0, *spec.sample_axes)
    with torch.no_grad():
        tensors = [
            torch.from_numpy(inputs[name]).to(KINDS[data[0]])
            for name, data in signature["inputs"].items()
        ]
        answer = network.eval()(*tensors)
    expected = answer if isinstance(answer, tuple) else (answer,)
    return {
        name: (outputs[name], tensor.to(torch.float64 if tensor.is_floating_point() else None))
        for name, tensor in zip(outputs, expected, strict=True)
    }


@pytest.mark.parametrize("format_name", EXPORTERS)
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_exported_proved_and_run(
    example: str, format_name: str, tmp_path: Path
) -> None:
    network = EXAMPLES[example]()
    found = proved(network, format_name, tmp_path / "net", network.SIGNATURE)
    for got, expected in found.values():
        if got.dtype.kind == "f":
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("format_name", EXPORTERS)
@pytest.mark.parametrize("kind", DTYPES)
def test_every_type_goes_in_and_comes_out(kind: str, format_name: str, tmp_path: Path) -> None:
    if (kind, format_name) in {("bfloat16", "onnx"), ("bfloat16", "html"), ("float16", "html")}:
        pytest.skip("refused: the tests below")
    floats = kind in FLOATS
    network = Floats(kind) if floats else Integers()
    signature = signature_of(kind, 6, 3 if floats else 6)
    ((got, expected),) = proved(network, format_name, tmp_path / "net", signature).values()
    eps = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 1e-6, "float64": 1e-14}.get(kind, 0.0)
    np.testing.assert_allclose(got, expected, atol=eps, rtol=0)


def test_a_page_computes_nothing_in_float16(tmp_path: Path) -> None:
    with pytest.raises(AgreementError, match="a page does not compute Gemm in float16"):
        export(Floats("float16"), "html", tmp_path / "net", signature=signature_of("float16", 6, 3))


@pytest.mark.parametrize("kind", DTYPES)
def test_the_proof_tries_every_type_at_both_ends(kind: str) -> None:
    network, gives = (Floats(kind), 3) if kind in FLOATS else (Integers(), 6)
    proof = describe(network, signature=signature_of(kind, 6, gives)).equivalence_check
    found = {case.pattern: case.inputs["x"] for case in proof.cases if case.sizes["batch"] == 2}
    ends = {
        "uint8": (0, 255),
        "int8": (-128, 127),
        "int32": (0, 1000),
        "int64": (0, 1000),
        "bool": (False, True),
    }.get(kind, (-3, 3))
    assert set(np.unique(found["extremes"])) == set(ends)
    assert (found["zeros"] == 0).all()
    assert (found["ones"] == (1 if kind in FLOATS else ends[1])).all()
    assert all(array.dtype == DTYPES[kind] for array in found.values())


def test_ranges_are_heeded_in_the_proof() -> None:
    signature: Any = {
        "inputs": {"x": ["int8", ["batch", 4], [-5, -2]]},
        "outputs": {"y": ["int8", ["batch", 4]]},
    }
    cases = describe(Integers(), signature=signature).equivalence_check.cases
    assert {int(n) for case in cases for n in np.unique(case.inputs["x"])} == {-5, -4, -3, -2}
    assert {int(n) for case in cases if case.pattern == "zeros" for n in case.inputs["x"].flat} == {
        -2
    }
    signature["inputs"]["x"][2] = [0, 200]
    with pytest.raises(InputError, match="range up to 200; int8 holds -128 to 127"):
        describe(Integers(), signature=signature)


class Doubles(nn.Module):
    """Which rounds its input to float32 where it is told to."""

    def __init__(self, rough: bool) -> None:
        super().__init__()
        self.rough = rough

    def forward(self, x: Tensor) -> Tensor:
        return (x.float().double() if self.rough else x) * 3


def test_float64_is_held_to_its_own_digits(tmp_path: Path) -> None:
    """A file that computes in float32 is refused; so is one that rounds its inputs alone."""
    proof = describe(
        Doubles(rough=False), signature=signature_of("float64", 4, 4)
    ).equivalence_check
    assert 0 < proof.tolerances["random", "y"] < 1e-12

    def rough(inputs: Any) -> dict[str, Any]:
        return {"y": inputs["x"].astype(np.float32).astype(np.float64) * 3}

    with pytest.raises(AgreementError, match="output 'y' is off by"):
        proof.check(rough, "injected")


@pytest.mark.parametrize(("kind", "largest"), [("float16", 2**-5), ("bfloat16", 2**-3)])
def test_half_precision_is_held_to_what_it_shows(kind: str, largest: float) -> None:
    proof = describe(Floats(kind), signature=signature_of(kind, 6, 3)).equivalence_check
    assert proof.name == "eager float64"
    magnitude = max(float(np.abs(case.exact["y"]).max()) for case in proof.cases)
    for (_, _), allowed in proof.tolerances.items():
        assert 0 < allowed <= largest * magnitude

    def off(inputs: Any) -> dict[str, Any]:
        outputs = proof.reference.eager(inputs)
        return {"y": (outputs["y"] * 1.2).astype(outputs["y"].dtype)}

    with pytest.raises(AgreementError, match=r"output 'y'.* is off by"):
        proof.check(off, "injected")


@pytest.mark.parametrize("places", [1, 400])
def test_one_wrong_integer_fails_the_proof(places: int) -> None:
    proof = describe(Segmentation(), signature=Segmentation.SIGNATURE).equivalence_check
    assert proof.name == "eager float64 (default dtype float64)"

    def run(inputs: Any) -> dict[str, Any]:
        classes = proof.reference.eager(inputs)["classes"].copy()
        flat = classes.reshape(-1)
        flat[:places] = (flat[:places] + 1) % 5
        return {"classes": classes}

    with pytest.raises(
        AgreementError, match=r"output 'classes' differs in [\d,]+ of 256 places: \d"
    ):
        proof.check(run, "injected")


@final
class Injected:
    """Answers what it is told to."""

    name, device = "injected", "cpu"

    def __init__(self, run: Any) -> None:
        self.run = run

    def close(self) -> None:
        pass


BEST = {
    "inputs": {"x": ["float32", ["batch", 4]]},
    "outputs": {"best": ["int64", ["batch"]], "sum": ["float32", ["batch"]]},
}


class Leaning(nn.Module):
    """The larger of two numbers that rounding parts: their difference is lost in float32."""

    def __init__(self, cut: float) -> None:
        super().__init__()
        self.cut = cut

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = x[:, :1] * 3
        near = torch.where(x[:, 1:2] > self.cut, first * (1 + 1e-12), first + 1)
        return torch.cat([first, near], dim=1).argmax(dim=1), x.sum(dim=1)


def test_where_rounding_decides_either_index_is_right_and_no_third(tmp_path: Path) -> None:
    proof = describe(Leaning(cut=0.5), signature=BEST).equivalence_check
    inputs = {"x": np.array([[1, 1, 0, 0], [2, -1, 0, 0], [3, -1, 0, 0]], np.float32)}
    expected = proof.reference.expect(inputs)
    assert expected.exact["best"].tolist() == [1, 1, 1]
    assert expected.eager["best"].tolist() == [0, 1, 1]
    assert expected.ties["best"].indices.tolist() == [0]
    assert set(expected.ties["best"].values[:, 0].tolist()) == {0, 1}
    for answer, passed in (([0, 1, 1], True), ([1, 1, 1], True), ([2, 1, 1], False)):
        got = np.array(answer)
        wrong = wrong_integers(got, expected.exact["best"], expected.ties["best"])
        assert wrong.any() != passed
    assert wrong_integers(np.array([0, 0, 1]), expected.exact["best"], expected.ties["best"])[1]
    for format_name in EXPORTERS:
        export(Leaning(cut=0.5), format_name, tmp_path / "net", signature=BEST)
        assert all(check.passed for check in verify(tmp_path / "net", trust=True))


class Twins(nn.Module):
    """The better of two scores that a few roundings of float32 part."""

    def __init__(self) -> None:
        super().__init__()
        row = torch.arange(1.0, 5.0)
        self.rows = nn.Parameter(torch.stack([row, row * (1 + 1e-6)]))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.rows.T).argmax(dim=1)


def test_scores_that_a_backend_may_turn_round_are_found_where_eager_does_not() -> None:
    signature = {
        "inputs": {"x": ["float32", ["batch", 4]]},
        "outputs": {"best": ["int64", ["batch"]]},
    }
    proof = describe(Twins(), signature=signature).equivalence_check
    expected = proof.reference.expect({"x": np.ones((3, 4), np.float32)})
    assert proof.name == "eager float64"
    assert expected.exact["best"].tolist() == expected.eager["best"].tolist() == [1, 1, 1]
    assert expected.ties["best"].indices.tolist() == [0, 1, 2]


def test_where_rounding_decides_most_integers_there_is_no_proof() -> None:
    proof = describe(Leaning(cut=-5), signature=BEST).equivalence_check
    with pytest.raises(
        ArtifactError, match=r"rounding decides [\d,]+ of [\d,]+ numbers of output 'best'"
    ):
        proof.check_network()


@pytest.mark.parametrize("kind", ["string", "str", "complex64", "uint16", "float8_e4m3fn"])
def test_another_type_is_refused_by_name(kind: str) -> None:
    for signature in (signature_of(kind, 6, 6), signature_of("int64", 6, 6)):
        if kind not in str(signature):
            signature["outputs"]["y"][0] = kind
        with pytest.raises(InputError, match=f"has dtype '{kind}'; known: float16, .*bool"):
            describe(Integers(), signature=signature)


@pytest.mark.parametrize(
    ("returned", "stated", "message"),
    [
        (torch.complex64, "float32", "output 'y' is complex64 .* the signature says float32"),
        (torch.bfloat16, "float32", "output 'y' is bfloat16; the signature says float32"),
        (torch.float32, "bfloat16", "output 'y' is float32; the signature says bfloat16"),
        (torch.float8_e4m3fn, "float32", "output 'y' is float8_e4m3fn; the signature says float32"),
        (torch.int32, "int64", "output 'y' is int32 .* the signature says int64"),
        (torch.float64, "float32", "output 'y' is float64 .* the signature says float32"),
    ],
)
def test_an_output_of_another_type_is_told(
    returned: torch.dtype, stated: str, message: str
) -> None:
    class Casting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.to(returned)

    signature = signature_of("float32", 3, 3)
    signature["outputs"]["y"][0] = stated
    with pytest.raises(ArtifactError, match=message):
        describe(Casting(), signature=signature)


def test_bfloat16_in_onnx_is_refused_with_what_to_do(tmp_path: Path) -> None:
    advice = "is bfloat16, which ONNX Runtime .*: export to torchscript or pt2, or convert"
    with pytest.raises(ArtifactError, match=f"tensor 'x' {advice}"):
        export(
            Floats("bfloat16"), "onnx", tmp_path / "net", signature=signature_of("bfloat16", 6, 3)
        )

    class Inside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Floats("bfloat16")

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.inner(x.to(self.inner.first.weight.dtype)).to(x.dtype)
            return y

    with pytest.raises(ArtifactError, match=f"weight 'inner.first.weight' {advice}"):
        export(Inside(), "onnx", tmp_path / "net", signature=signature_of("float32", 6, 3))
    assert not (tmp_path / "net").exists()


def test_complex_weights_are_refused_by_name() -> None:
    network = Floats("float32")
    network.register_buffer("turns", torch.ones(2, dtype=torch.complex64))
    with pytest.raises(UsageError, match="weight 'turns' is complex64; expected bfloat16, float16"):
        describe(network, signature=signature_of("float32", 6, 3))


def test_an_integer_output_under_a_task_that_reads_floats_is_refused() -> None:
    signature = signature_of("int64", 6, 6)
    with pytest.raises(
        InputError, match="'y' is int64, and the task 'classification' needs floats"
    ):
        describe(Integers(), signature=signature, task="classification", labels=list("abcdef"))
    assert describe(Integers(), signature=signature).manifest.task == "passthrough"


@pytest.mark.parametrize("kind", FLOATS)
def test_a_classifier_of_any_float_type_ranks_its_labels(kind: str, tmp_path: Path) -> None:
    samples = {"x": np.random.default_rng(0).standard_normal((20, 6))}
    done = export(
        Floats(kind),
        "torchscript",
        tmp_path / "net",
        signature=signature_of(kind, 6, 3),
        task="classification",
        labels=["a", "b", "c"],
        samples=samples,
    )
    assert done.rows == 20
    with load(done.path, trust=True) as predictor:
        answer = predictor.predict(np.ones(6, DTYPES[kind]))
    with torch.no_grad():
        scores = Floats(kind)(torch.ones(1, 6, dtype=KINDS[kind])).double().softmax(1)[0]
    assert answer.label == "abc"[int(scores.argmax())]
    assert answer.score == pytest.approx(float(scores.max()), rel=1e-6)


def test_compare_counts_an_integer_that_is_wrong() -> None:
    trained = describe(Segmentation(), signature=Segmentation.SIGNATURE)
    inputs = trained.manifest.signature.example({"batch": 4})

    def rotten(given: Any) -> dict[str, Any]:
        classes = trained.equivalence_check.reference.eager(given)["classes"].copy()
        classes[2, 0, 0] = 4 - classes[2, 0, 0]
        return {"classes": classes}

    predictors = [
        Predictor(trained.manifest, lambda run=run: Injected(run))  # type: ignore[misc]
        for run in (trained.equivalence_check.reference.eager, rotten)
    ]
    right, wrong = compare(trained.equivalence_check, predictors, [(np.arange(4), inputs)]).results
    assert right.passed
    assert not wrong.passed
    assert wrong.first == 2
    assert wrong.tolerance == 0.0 < wrong.error


@pytest.mark.parametrize("kind", FLOATS)
def test_a_checkpoint_keeps_the_type_of_its_weights(kind: str, tmp_path: Path) -> None:
    def made() -> nn.Module:
        return Floats(kind)

    path = tmp_path / "checkpoint.pt"
    trained = describe(made(), signature=signature_of(kind, 6, 3), samples={"x": np.ones((4, 6))})
    trained.save(path)
    again = read_model(path, network=made)
    assert again.manifest.weights_sha256 == trained.manifest.weights_sha256
    assert again.equivalence_check.reference.precision.name == kind
    with load(path, network=made, backend="eager") as predictor:
        (result,) = compare(
            again.equivalence_check, [predictor], [(np.arange(4), again.samples)]
        ).results
        assert result.passed
        assert result.output == "y"
