"""For every numeric fault of the table `locate` names the node or module that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from ptx.export.diff.locate import Diagnosis, Location
from ptx.export.formats import EXPORTERS
from ptx.infer import ArtifactError, read_artifact

from .fault import Fault, Good
from .table import FAULTS

Make = Callable[[str, str], Good]
pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporters, about themselves

_FORWARD = "forward"
# The node of the file that must be named; of TorchScript the module.
NODES = {
    "one weight has the other sign": "Gemm node_linear",
    "one weight of the black border": "Gemm node_linear",
    "two rows of the last layer swapped": "Gemm node_linear",
    "the bias dropped": "Gemm node_linear_2",
    "weights rounded to float16": "Gemm node_linear",
    "weights rounded as by TF32": "Gemm node_linear",
    "the weights of another training": "Linear layers.1",
    "the same under golden samples that allow everything": "Linear layers.1",
    "the last sigmoid missing": "Identity node_sigmoid_2",
    "a sigmoid twice": "Sigmoid probability",
    "a softmax in the file": f"Perceptron {_FORWARD}",
    "a softmax over the batch": f"CharRNN {_FORWARD}",
    "the classes reversed in the graph": f"CharRNN {_FORWARD}",
    "two outputs swapped": "Gemm node_linear_1",
    "a probability next to pixels is off": "Add box",
    "the pixels scaled by 255 once more": "Mul injected",
    "the image transposed": f"Perceptron {_FORWARD}",
    "the epsilon of a batch normalisation": (
        "BatchNormalization node__native_batch_norm_legit_no_training__0"
    ),
    "max pooling with ceil_mode": "MaxPool node_max_pool2d",
    "average pooling that counts its padding": "AveragePool node_avg_pool2d",
    "the reset gate before the product": "GRU node_gru__1",
    "the gates of an LSTM in another order": "Concat node_Concat_25",
    "the padding is read": f"NameClassifier {_FORWARD}",
    "the time axis reversed": f"LSTMClassifier {_FORWARD}",
    "the time axis frozen": f"CharRNN {_FORWARD}",
}
REFUSED = {"an output renamed", "the batch axis frozen"}  # no backend opens such a file
NUMERIC = [fault for fault in FAULTS if fault.injection.place in ("conversion", "both")]


@pytest.fixture(scope="module")
def locate(good: Make) -> Callable[[Fault, Path], Location]:
    @cache
    def diagnosis(model: str, format_name: str) -> Diagnosis:
        return Diagnosis(good(model, format_name).trained)

    def find(fault: Fault, folder: Path) -> Location:
        model = good(fault.model, fault.format)
        fault.injection.workspace(model, folder / "planted")
        artifact = read_artifact(folder / "planted" / f"{fault.model}.{fault.format}")
        backend = EXPORTERS[fault.format].backend
        return diagnosis(fault.model, fault.format).locate(artifact, backend)

    return find


@pytest.mark.parametrize("fault", [f for f in NUMERIC if f.name not in REFUSED], ids=str)
def test_the_changed_node_is_named(
    fault: Fault, locate: Callable[[Fault, Path], Location], tmp_path: Path
) -> None:
    found = locate(fault, tmp_path)
    assert found.disagrees
    assert found.step is not None, found.reason
    assert (found.step.node, found.sure) == (NODES[fault.name], True)


@pytest.mark.parametrize("fault", [f for f in NUMERIC if f.name in REFUSED], ids=str)
def test_a_file_that_no_backend_opens_is_refused(
    fault: Fault, locate: Callable[[Fault, Path], Location], tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError):
        locate(fault, tmp_path)
