"""Networks with packed sequences, in ONNX and `.pt2`, at any number and length of sequences."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ptx.export import describe, export
from ptx.export.formats import EXPORTERS
from ptx.infer import ArtifactError, load
from ptx.infer.backends.pytorch.pt2 import keep_lengths_on_cpu

# torch.export warns of its own parts, and PyTorch that oneDNN has no LSTM with projections.
pytestmark = pytest.mark.filterwarnings("ignore")


class Words(nn.Module):
    """Words of several lengths through an LSTM over packed sequences."""

    SIGNATURE: ClassVar[dict[str, Any]] = {
        "inputs": {
            "words": ["int64", ["batch", "time"], [0, 11]],
            "lengths": ["int64", ["batch"], [1, "time"]],
        },
        "outputs": {"logits": ["float32", ["batch", 3]]},
    }

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.classify = nn.Embedding(12, 6), nn.Linear(10, 3)
        self.layer = nn.LSTM(6, 5, batch_first=True, bidirectional=True)

    def pack(self, words: Tensor, lengths: Tensor) -> PackedSequence:
        return pack_padded_sequence(
            self.embed(words), lengths.cpu(), batch_first=True, enforce_sorted=False
        )


class SortedByTheNetwork(Words):
    def forward(self, words: Tensor, lengths: Tensor) -> Any:
        lengths, order = lengths.sort(descending=True)
        packed = pack_padded_sequence(self.embed(words[order]), lengths.cpu(), batch_first=True)
        hidden = self.layer(packed)[1][0]
        return self.classify(torch.cat([hidden[0], hidden[1]], 1))[order.argsort()]


class MeanOfTheSteps(Words):
    def forward(self, words: Tensor, lengths: Tensor) -> Any:
        outputs, counts = pad_packed_sequence(
            self.layer(self.pack(words, lengths))[0], batch_first=True
        )
        return self.classify(outputs.sum(1) / counts.unsqueeze(1))


class LargestOfTheSteps(Words):
    def forward(self, words: Tensor, lengths: Tensor) -> Any:
        outputs, _ = pad_packed_sequence(
            self.layer(self.pack(words, lengths))[0],
            batch_first=True,
            padding_value=-1e9,
            total_length=words.shape[1],
        )
        return self.classify(outputs.max(1).values)


class EmbeddedWhenPacked(Words):
    def forward(self, words: Tensor, lengths: Tensor) -> Any:
        packed = pack_padded_sequence(words, lengths.cpu(), batch_first=True, enforce_sorted=False)
        hidden = self.layer(packed._replace(data=self.embed(packed.data)))[1][0]
        return self.classify(torch.cat([hidden[0], hidden[1]], 1))


class TwoLayersThatKeepItPacked(Words):
    def __init__(self) -> None:
        super().__init__()
        self.second = nn.GRU(10, 10, batch_first=True)

    def forward(self, words: Tensor, lengths: Tensor) -> Any:
        return self.classify(self.second(self.layer(self.pack(words, lengths))[0])[1][0])


NETWORKS = (
    SortedByTheNetwork,
    MeanOfTheSteps,
    LargestOfTheSteps,
    EmbeddedWhenPacked,
    TwoLayersThatKeepItPacked,
)


@pytest.mark.parametrize("network", NETWORKS)
def test_packed_sequences_are_exported(network: type[Words], tmp_path: Path) -> None:
    built = network()
    trained = describe(built, signature=Words.SIGNATURE)
    words = np.random.default_rng(0).integers(0, 12, (4, 23))
    lengths = np.array([7, 23, 1, 12])
    with torch.no_grad():
        expected = built.eval()(torch.from_numpy(words), torch.from_numpy(lengths))
    for format_name in ("onnx", "pt2"):
        done = export(trained, format_name, tmp_path / f"net.{format_name}")
        with load(done.path, trust=True) as predictor:
            got = predictor.run({"words": words, "lengths": lengths})["logits"]
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_an_export_leaves_the_layers_in_eval_mode_and_without_hooks(tmp_path: Path) -> None:
    trained = describe(MeanOfTheSteps(), signature=Words.SIGNATURE)
    before = dict(vars(trained.network.get_submodule("layer")))
    export(trained, "onnx", tmp_path / "net.onnx")
    layer = trained.network.get_submodule("layer")
    assert not layer.training
    assert not layer._forward_pre_hooks
    assert vars(layer).keys() == before.keys()


def test_lengths_in_a_list_are_refused_with_what_to_do() -> None:
    class Listed(Words):
        def forward(self, words: Tensor, lengths: Tensor) -> Any:
            packed = pack_padded_sequence(
                self.embed(words), lengths.tolist(), batch_first=True, enforce_sorted=False
            )
            hidden = self.layer(packed)[1][0]
            return self.classify(torch.cat([hidden[0], hidden[1]], 1))

    trained = describe(Listed(), signature=Words.SIGNATURE)
    for format_name in ("onnx", "pt2"):
        with pytest.raises(ArtifactError, match=r"tolist\(\)") as caught:
            export(trained, format_name, Path("net"))
        assert caught.value.code == "E-EXPORT"
        assert "\n" not in str(caught.value)
        assert "lengths as a tensor" in str(caught.value)


def test_a_program_on_a_device_takes_its_lengths_from_the_cpu() -> None:
    trained = describe(MeanOfTheSteps(), signature=Words.SIGNATURE)
    content = EXPORTERS["pt2"].convert(trained.traced, opset=None)
    program = torch.export.load(io.BytesIO(content))
    inputs = torch.randint(0, 12, (3, 5)), torch.tensor([2, 5, 1])
    expected = program.module()(*inputs)
    keep_lengths_on_cpu(program, "cpu")  # the moved program, without a device
    assert torch.equal(program.module()(*inputs), expected)
    (packing,) = (n for n in program.graph.nodes if "_pack_padded" in str(n.target))
    assert packing.args[1].kwargs == {"device": torch.device("cpu")}
