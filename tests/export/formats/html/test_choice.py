"""Which runtime a page carries: by the operators of its graph and the operations of a row."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from torch import Tensor, nn

from ptx.export import export
from ptx.export.formats.html.choice import MAX_FLOP, choose_runtime, count_flop, row_sizes
from ptx.export.formats.html.page import engine
from ptx.export.source import describe
from ptx.infer import AgreementError, read_artifact
from ptx.infer.artifact.html_page import WASM, has_block
from ptx.infer.backends.javascript.hosts import open_host
from ptx.infer.errors import UsageError

pytest.importorskip("py_mini_racer", reason="mini-racer is not installed")
Export = Callable[[str, str], Path]
COUNT = """
const count = (text) => {
  const { model, inputs } = JSON.parse(text);
  const opened = ptx.openModel(ptx.fromBase64(model));
  const before = ptx.counted.products;
  const read = ([name, data]) => [name, ptx.fromManifest(data)];
  opened.run(Object.fromEntries(Object.entries(inputs).map(read)));
  return String(ptx.counted.products - before);
};
"""


def graph(
    operator: str, shapes: list[list[int | str]], output: list[int | str | None], **given: Any
) -> bytes:
    """One node: its first input is the graph's, the others are weights."""
    names = [f"i{index}" for index in range(len(shapes))]
    weights = [
        helper.make_tensor(name, TensorProto.FLOAT, sizes, bytes(4 * math.prod(sizes)), raw=True)
        for name, shape in zip(names[1:], shapes[1:], strict=True)
        for sizes in [[int(size) for size in shape]]
    ]
    made = helper.make_graph(
        [helper.make_node(operator, names, ["out"], **given)],
        "one",
        [helper.make_tensor_value_info("i0", TensorProto.FLOAT, shapes[0])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, output)],
        weights,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # 8 outputs, 10×10 places, 3×5×5 of a kernel
        (graph("Conv", [["batch", 3, 14, 14], [8, 3, 5, 5]], ["batch", 8, 10, 10]), 2 * 8 * 100 * 75),
        # by group: each of 8 outputs sees one channel
        (
            graph("Conv", [["batch", 8, 14, 14], [8, 1, 5, 5]], ["batch", 8, 10, 10], group=8),
            2 * 8 * 100 * 25,
        ),
        # every number of the input goes to 4 outputs of 2×2
        (
            graph("ConvTranspose", [["batch", 3, 5, 5], [3, 4, 2, 2]], ["batch", 4, 6, 6]),
            2 * 3 * 25 * 16,
        ),
        (graph("Gemm", [["batch", 784], [784, 10]], ["batch", 10]), 2 * 784 * 10),
        (graph("Gemm", [["batch", 784], [10, 784]], ["batch", 10], transB=1), 2 * 784 * 10),
        (graph("Gemm", [[784, 6], [784, 10]], [6, 10], transA=1), 2 * 6 * 784 * 10),
        (graph("MatMul", [["batch", 7, 5], [5, 3]], ["batch", 7, 3]), 2 * 7 * 5 * 3),
        # 9 steps, 4 gates of 6, of 5 numbers and of 6
        (
            graph("LSTM", [["time", "batch", 5], [1, 24, 5], [1, 24, 6]], ["time", 1, "batch", 6],
                  hidden_size=6),
            2 * 9 * 24 * (5 + 6),
        ),
        # both directions, 3 gates
        (
            graph("GRU", [["time", "batch", 5], [2, 18, 5], [2, 18, 6]], ["time", 2, "batch", 6],
                  hidden_size=6, direction="bidirectional"),
            2 * 9 * 2 * 18 * (5 + 6),
        ),
        (graph("Relu", [["batch", 5]], ["batch", 5]), 0),
    ],
)  # fmt: skip
def test_operations_are_those_counted_by_hand(content: bytes, expected: int) -> None:
    onnx.checker.check_model(onnx.load_from_string(content))
    assert count_flop(content, {"batch": 1, "time": 9}) == expected


def test_a_shape_that_follows_from_numbers_is_not_guessed() -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["indices"]),
        helper.make_node("Cast", ["indices"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["floats", "x"], ["out"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 4])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [2, 4])
    made = helper.make_model(helper.make_graph(nodes, "shapes", [x], [out]))
    assert count_flop(made.SerializeToString(), {}) is None


@pytest.mark.parametrize(
    "model", ["convnet", "mlp", "inception", "lstm", "name-classifier", "char-rnn-cell"]
)
def test_operations_are_twice_the_products_that_the_engine_counts(
    model: str, artifact: Export
) -> None:
    path = artifact(model, "onnx")
    found = read_artifact(path)
    signature = found.require_manifest().signature
    sizes = row_sizes(signature)
    inputs = {
        name: {
            "dtype": array.dtype.name,
            "shape": array.shape,
            "base64": base64.b64encode(array.tobytes()).decode(),
        }
        for name, array in signature.example(sizes, seed=0).items()
    }
    question = {"model": base64.b64encode(found.data).decode(), "inputs": inputs}
    host = open_host()
    host.run(engine().replace("return { openModel", "return { counted, openModel") + COUNT)
    products = int(host.call("count", json.dumps(question)))
    host.close()
    assert products > 0
    assert count_flop(found.data, sizes) == 2 * products


class Wide(nn.Module):
    """A product of `width` by `width`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width, bias=False)
        nn.init.eye_(self.layer.weight)

    def forward(self, numbers: Tensor) -> Tensor:
        product: Tensor = self.layer(numbers)
        return product


def wide(width: int) -> dict[str, Any]:
    axes = ["float32", ["batch", width]]
    return {"name": "wide", "signature": {"inputs": {"x": axes}, "outputs": {"y": axes}}}


class Resized(nn.Module):
    """Twice as wide and high: plain JavaScript has no Resize."""

    def forward(self, image: Tensor) -> Tensor:
        larger: Tensor = nn.functional.interpolate(image, scale_factor=2, mode="bilinear")
        return larger


RESIZED: dict[str, Any] = {
    "name": "resized",
    "signature": {
        "inputs": {"image": ["float32", ["batch", 1, 4, 4]]},
        "outputs": {"larger": ["float32", ["batch", 1, 8, 8]]},
    },
}


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """onnxruntime-web is not there."""
    monkeypatch.setenv("PTX_ORT_WEB", str(tmp_path / "none"))


@pytest.fixture
def at_hand(monkeypatch: pytest.MonkeyPatch, package: Callable[[str], Path]) -> None:
    """It is there."""
    monkeypatch.setenv("PTX_ORT_WEB", str(package("onnxruntime-web") / "dist"))


@pytest.mark.usefixtures("absent")
def test_a_small_graph_is_for_plain_javascript(tmp_path: Path) -> None:
    done = export(Wide(100), "html", tmp_path / "wide.html", **wide(100))
    assert done.choice is not None
    assert (done.choice.runtime, done.choice.warning) == ("javascript", "")
    assert done.choice.reason == "0.0 MFLOP a row, at most 20"
    assert not has_block(done.path.read_bytes(), WASM)


def products_of(width: int) -> bytes:
    return graph("Gemm", [["batch", width], [width, width]], ["batch", width])


@pytest.mark.usefixtures("at_hand")
@pytest.mark.parametrize(("width", "runtime"), [(3162, "javascript"), (3163, "ort")])
def test_the_limit_is_20_million_operations(width: int, runtime: str) -> None:
    assert (2 * width**2 <= MAX_FLOP) == (runtime == "javascript")
    signature = describe(Wide(8), **wide(8)).manifest.signature
    choice = choose_runtime(products_of(width), signature)
    assert choice is not None
    assert (choice.runtime, choice.warning) == (runtime, "")


@pytest.mark.usefixtures("absent")
def test_without_the_package_a_large_graph_is_for_plain_javascript_with_a_word() -> None:
    signature = describe(Wide(8), **wide(8)).manifest.signature
    choice = choose_runtime(products_of(4000), signature)
    assert choice is not None
    assert choice.runtime == "javascript"
    assert choice.warning.startswith(
        "32.0 MFLOP a row are slow in plain JavaScript, and --runtime ort"
    )
    assert "npm install onnxruntime-web@1.30.0" in choice.warning


@pytest.mark.usefixtures("absent")
def test_a_missing_operator_is_refused_with_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(AgreementError, match="does not compute the operator Resize") as caught:
        export(Resized(), "html", tmp_path / "resized.html", **RESIZED)
    assert "npm install onnxruntime-web@1.30.0" in str(caught.value)
    assert not (tmp_path / "resized.html").exists()


@pytest.mark.usefixtures("at_hand")
def test_a_missing_operator_makes_a_page_of_onnx_runtime(tmp_path: Path) -> None:
    done = export(Resized(), "html", tmp_path / "resized.html", **RESIZED)
    assert done.choice is not None
    assert (done.choice.runtime, done.choice.reason) == ("ort", "plain JavaScript lacks Resize")
    assert has_block(done.path.read_bytes(), WASM)


@pytest.mark.usefixtures("at_hand")
def test_without_node_onnx_runtime_is_not_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ptx.export.formats.html.choice.shutil.which", lambda name: None)
    signature = describe(Wide(8), **wide(8)).manifest.signature
    choice = choose_runtime(products_of(4000), signature)
    assert choice is not None
    assert choice.runtime == "javascript"
    assert "needs Node.js" in choice.warning


@pytest.mark.usefixtures("at_hand")
def test_what_is_said_is_not_chosen(tmp_path: Path) -> None:
    trained = describe(Wide(8), **wide(8))
    said = export(replace(trained, runtime="ort"), "html", tmp_path / "wide.ort.html")
    assert said.choice is None
    assert has_block(said.path.read_bytes(), WASM)
    with pytest.raises(UsageError, match="--runtime javascript is for a page"):
        export(replace(trained, runtime="javascript"), "onnx", tmp_path / "wide.onnx")
    with pytest.raises(AgreementError, match="Resize in plain JavaScript: --runtime ort does"):
        export(
            replace(describe(Resized(), **RESIZED), runtime="javascript"),
            "html",
            tmp_path / "r.html",
        )
