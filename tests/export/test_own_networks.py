"""Networks of others: outputs by name, packed sequences, masks; or why not, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ptx.export import describe, export
from ptx.export.formats import EXPORTERS
from ptx.export.formats.onnx_ import mask_with_infinity
from ptx.export.tracing import trace
from ptx.infer import ArtifactError, load
from ptx.infer.backends.ort.cpu import import_onnxruntime
from ptx.infer.signature import Signature

from .networks.own import KINDS, Attention, Detector, Neighbours, Packed, Returns

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("format_name", EXPORTERS)
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_taken_by_their_names(kind: str, format_name: str, tmp_path: Path) -> None:
    network = Returns(KINDS[kind])
    before = list(network.state_dict())
    export(network, format_name, tmp_path / "net", signature=network.SIGNATURE)
    assert type(network) is Returns
    assert list(network.state_dict()) == before
    x = np.random.default_rng(0).standard_normal((5, 4), np.float32)
    with torch.no_grad():
        embedding = network.embed(torch.from_numpy(x)).tanh()
        expected = {"logits": network.classify(embedding), "embedding": embedding}
    with load(tmp_path / "net", trust=True) as predictor:
        for name, got in predictor.run({"x": x}).items():
            np.testing.assert_allclose(got, expected[name], atol=1e-6)


def test_a_checkpoint_of_such_a_network_is_run(tmp_path: Path) -> None:
    network = Returns(KINDS["dict"])
    describe(network, signature=network.SIGNATURE).save(tmp_path / "net.pt")
    with load(tmp_path / "net.pt", network=lambda: Returns(KINDS["dict"])) as predictor:
        assert predictor.run({"x": np.ones((2, 4), np.float32)})["embedding"].shape == (2, 3)


@pytest.mark.parametrize(
    ("put", "message"),
    [
        (lambda logits, _: {"logit": logits}, "a dict without 'logits'; did you mean 'logit'"),
        (
            lambda logits, _: {"logits": logits, "embedding": 3},
            "dict of Tensor, int; expected tens",
        ),
        (lambda logits, _: "text", r"a str; expected tensors for \['logits', 'embedding'\]"),
        (lambda logits, _: [logits], "returns 1 outputs; its manifest says 2"),
    ],
)
def test_what_holds_no_such_outputs_says_so(put: Any, message: str) -> None:
    with pytest.raises(ArtifactError, match=message) as caught:
        describe(Returns(put), signature=Returns.SIGNATURE)
    assert caught.value.code == "E-OUTPUT"


def test_a_detector_is_refused_with_a_reason_and_a_way() -> None:
    message = r"a list of mappings, .* number of boxes depends .* wrap the network in a module"
    with pytest.raises(ArtifactError, match=message):
        describe(Detector(), signature=Detector.SIGNATURE)


@pytest.mark.parametrize("way", Neighbours.WAYS)
def test_an_answer_by_the_rest_of_the_batch_is_refused(way: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="a row depends on the rest of its batch") as caught:
        export(Neighbours(way), "onnx", tmp_path / "net", signature=Neighbours.SIGNATURE)
    assert caught.value.code == "E-ROWS"


@pytest.mark.parametrize("layer", [nn.GRU, nn.LSTM])
def test_packed_sequences_are_exported_to_onnx(layer: Any, tmp_path: Path) -> None:
    done = export(Packed(layer), "onnx", tmp_path / "net", signature=Packed.SIGNATURE)
    assert done.error <= done.tolerance
    with load(done.path) as predictor:
        words = np.random.default_rng(0).integers(0, 12, (3, 9))
        one = predictor.run({"words": words[1:2, :4], "lengths": np.array([4])})["logits"]
        three = predictor.run({"words": words, "lengths": np.array([9, 4, 1])})["logits"]
    np.testing.assert_allclose(one[0], three[1], atol=1e-6)


def test_a_branch_on_values_is_not_converted() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.GRU(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum().item() > 0 else -x

    signature = Signature.from_data(
        {"inputs": {"x": ["float32", ["batch", 4]]}, "outputs": {"y": ["float32", ["batch", 4]]}}
    )
    with pytest.raises(Exception, match=r"torch\.export"):
        EXPORTERS["onnx"].convert(trace(Branches(), signature), opset=None)


def test_a_query_that_may_look_at_nothing_is_answered_with_zeros_in_onnx() -> None:
    network = Attention().eval()
    traced = trace(network, Signature.from_data(Attention.SIGNATURE))
    content = EXPORTERS["onnx"].convert(traced, opset=None)
    session = import_onnxruntime().InferenceSession(content, providers=["CPUExecutionProvider"])
    words = torch.randint(0, 12, (3, 4))
    for mask in (torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]), torch.ones(3, 4).long()):
        (got,) = session.run(None, {"words": words.numpy(), "mask": mask.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(got, network(words, mask), atol=1e-6)


@pytest.mark.parametrize("least", [np.finfo(np.float32).min, -1e4])
def test_no_other_mask_is_touched(least: float) -> None:
    import onnx.parser

    text = (
        '<ir_version: 8, opset_import: ["" : 17]> net (float[N,3] x, bool[N,3] m) => (float[N,3] y)'
        f" <float zero = {{0.0}}, float low = {{{least!r}}}>"
        " { a = Where(m, zero, low) b = Add(x, a) s = Softmax(b) n = IsNaN(s) y = Where(n, zero, s) }"
    )
    model = onnx.parser.parse_model(text.replace("np.float32(", "").replace(")}", "}"))
    mask_with_infinity(model)
    names = [item.name for item in model.graph.initializer]
    assert model.graph.node[0].input[2] == ("low" if least == -1e4 else names[-1])
    assert len(names) == (2 if least == -1e4 else 3)


def test_a_table_of_positions_bounds_the_time_of_a_pt2_file(tmp_path: Path) -> None:
    traced = trace(Attention().eval(), Signature.from_data(Attention.SIGNATURE))
    content = EXPORTERS["pt2"].convert(traced, opset=None)
    (tmp_path / "net.pt2").write_bytes(content)
    program = torch.export.load(tmp_path / "net.pt2").module()
    network = Attention().eval()
    for batch, time in ((1, 1), (7, 64), (2, 3)):
        words, mask = torch.randint(0, 12, (batch, time)), torch.ones(batch, time).long()
        assert torch.allclose(program(words, mask), network(words, mask), atol=1e-6)
    with pytest.raises((AssertionError, RuntimeError)):
        program(torch.zeros(1, 65).long(), torch.ones(1, 65).long())


def test_weights_that_no_onnx_file_holds_are_refused_before_the_proof(tmp_path: Path) -> None:
    class Large(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1, dtype=torch.float32))
            self.register_buffer("table", torch.zeros(1).expand(2**29 + 1))
            self.runs = 0

        def __deepcopy__(self, memo: Any) -> Large:
            return self

        def double(self) -> Large:
            return self

        def forward(self, x: Tensor) -> Tensor:
            self.runs += 1
            return x * self.weight

    network = Large()
    spec = {"float": ["float32", ["batch", 2]]}
    signature = {"inputs": {"x": spec["float"]}, "outputs": {"y": spec["float"]}}
    trained = describe(network, signature=signature)
    before = network.runs
    message = r"weights are 2\.00 GiB, .* onnx holds less .* torchscript or pt2, or .* half\(\)"
    with pytest.raises(ArtifactError, match=message):
        export(trained, "onnx", tmp_path / "net")
    assert network.runs == before
