"""The faults of the forms of an export, each with the words in which it is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from ptx.export import describe, embed_preprocessing, export, quantize_weights, read_model
from ptx.export.formats import EXPORTERS, check_format
from ptx.export.quantize.qdq import quantize
from ptx.infer import Manifest, load, read_artifact
from ptx.infer.artifact.html_page import append_digest
from ptx.infer.backends import openvino_cpu

from .nearest import LABELS, SIZE, Nearest, Overflowing, Recurrent, known, nearest
from .refusing import Refusal, Shop, change_byte, hold

WEIGHTS, PIXELS, INT8 = "`--quantize-weights`", "`--embed-preprocessing`", "`--compute int8`"
MANIFEST, OPENVINO, PAGE = "the manifest", "OpenVINO", "`--format html`"


def spoil(number: float) -> Any:
    """The network with one weight of that number."""
    trained = nearest()
    with torch.no_grad():
        trained.network.get_parameter("last.weight").view(-1)[3] = number
    return trained


def rewritten(
    path: Path, change: Callable[[Manifest], Manifest], graph: Callable[[Any], None]
) -> Path:
    """The file written anew, with a good content digest, after its manifest and its graph were
    changed.
    """
    artifact = read_artifact(path)
    model = onnx.load_from_string(artifact.data)
    del model.metadata_props[:]
    graph(model.graph)
    manifest = change(artifact.require_manifest())
    path.write_bytes(
        EXPORTERS["onnx"].embed_manifest(model.SerializeToString(), manifest.to_json())
    )
    return path


def kept(_: Any) -> None:
    """Nothing is changed."""


def bent(_: Shop) -> None:
    """The exporter computes with the weights."""

    class Bent(nn.Linear):
        def forward(self, row: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(row, self.weight.tanh(), self.bias)

    trained = quantize_weights(nearest(Bent(SIZE, len(LABELS))), "int8")
    export(trained, "onnx", _.folder / "bent.onnx")


def two_gibibytes(_: Shop) -> None:
    with torch.device("meta"):
        check_format("onnx", network=nn.Linear(2**15, 2**14 + 1))


def run_pixels(shop: Shop, pixels: Any) -> None:
    trained = embed_preprocessing(read_model(shop.checkpoint("softmax-regression")))
    path = export(trained, "onnx", shop.folder / "pixels.onnx").path
    with load(path, backend="ort-cpu") as predictor:
        predictor.run({"pixels": pixels})


def own_label(_: Shop) -> None:
    axes = ["float32", ["batch", 1, 28, 28]]
    outputs = {"label": ["float32", ["batch", 10]]}
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    embed_preprocessing(
        describe(
            network,
            signature={"inputs": {"image": axes}, "outputs": outputs},
            task="classification",
            preprocessing={"kind": "gray-image", "size": [28, 28], "resize_mode": "letterbox"},
            labels=list("0123456789"),
        )
    )


def empty_picture(shop: Shop) -> None:
    path = shop.folder / "empty.png"
    path.write_bytes(b"")
    shop.say("predict", path, "--model", shop.artifact("softmax-regression", "onnx"))


def quantised_by(shop: Shop, make: Callable[..., bytes], **changes: Any) -> None:
    shop.patch.setattr("ptx.export.quantize.qdq.quantize", make)
    shop.export_int8(**changes)


def mixed_up(content: bytes, *rest: Any) -> bytes:
    """Two classes change places behind the quantizer."""
    model = onnx.load_from_string(quantize(content, *rest))
    for one in model.graph.initializer:
        if one.name == "last.weight_quantized":
            one.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(one)[[1, 0, 2]], one.name))
    changed: bytes = model.SerializeToString()
    return changed


def dynamic(shop: Shop) -> Callable[..., bytes]:
    """Ranges of each batch by itself, as others offer it."""

    def make(content: bytes, *_: Any) -> bytes:
        from onnxruntime.quantization import quantize_dynamic

        model, path = onnx.load_from_string(content), shop.folder / "dynamic"
        del model.graph.value_info[:]
        quantize_dynamic(model, path)
        made = path.read_bytes()
        path.unlink()
        return made

    return make


def no_smaller(content: bytes, *_: Any) -> bytes:
    return content


def half(_: Shop) -> Any:
    axes = {"row": ["float16", ["batch", SIZE]]}, {"logits": ["float16", ["batch", len(LABELS)]]}
    return nearest(Nearest().half(), signature={"inputs": axes[0], "outputs": axes[1]})


def beyond_a_step(shop: Shop) -> None:
    def moved(manifest: Manifest) -> Manifest:
        (first, *others) = manifest.golden
        outputs = {"logits": np.asarray(first.outputs["logits"]) + 1.01 * first.tolerance["logits"]}
        changed = replace(manifest, golden=(replace(first, outputs=outputs), *others))
        return replace(
            changed, verification={**manifest.verification, "samples": changed.samples_sha256}
        )

    hold(rewritten(shop.copy(shop.int8), moved, kept))


def hidden(manifest: Manifest) -> Manifest:
    agreement = {
        key: value for key, value in manifest.verification.items() if key != "quantization"
    }
    return replace(manifest, compute="", verification=agreement)


def say_manifest(shop: Shop, **changes: Any) -> None:
    data = json.loads(read_artifact(shop.int8).require_manifest().to_json())
    Manifest.from_json(json.dumps({**data, **changes}).encode(), name="the file")


def other_weights(graph: Any) -> None:
    for one in graph.initializer:
        if one.name.endswith("weight.int8"):
            codes = numpy_helper.to_array(one).copy()
            codes[0] = 0
            one.CopyFrom(numpy_helper.from_array(codes, one.name))


def in_bfloat16(shop: Shop) -> None:
    class Core:
        def read_model(self, data: bytes, weights: bytes) -> bytes:
            return data

        def compile_model(self, *_: Any) -> Any:
            return SimpleNamespace(output=str, get_property=lambda name: "bf16")

    fake = SimpleNamespace(Type=SimpleNamespace(f32="f32"))
    shop.patch.setattr(openvino_cpu, "import_openvino", lambda: fake)
    shop.patch.setattr(openvino_cpu, "open_core", lambda process: Core())
    load(shop.artifact("linear-model", "onnx"), backend="openvino")


def without(shop: Shop, module: str, path: Path, **options: Any) -> None:
    shop.patch.setitem(sys.modules, module, None)
    shop.patch.setattr("shutil.which", lambda name: None)
    load(path, **options)


def page(shop: Shop) -> Path:
    return shop.copy(shop.artifact("linear-model", "html"))


def without_a_model(shop: Shop) -> Path:
    path = page(shop)
    path.write_bytes(append_digest(path.read_text().replace('id="model"', 'id="other"')))
    return path


def enlarged(shop: Shop) -> None:
    class Resized(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return nn.functional.interpolate(image, scale_factor=2, mode="bilinear")

    axes = [
        {"image": ["float32", ["batch", 1, 8, 8]]},
        {"larger": ["float32", ["batch", 1, 16, 16]]},
    ]
    said: dict[str, Any] = {"name": "resized", "signature": {"inputs": axes[0], "outputs": axes[1]}}
    export(Resized(), "html", shop.folder / "resized.html", **said)


REFUSALS = (
    Refusal(
        "a NaN weight",
        WEIGHTS,
        "E-NONFINITE",
        "weight 'last.weight' is not finite and cannot be quantized to int8: train the model again",
        lambda shop: quantize_weights(spoil(torch.nan), "int8"),
    ),
    Refusal(
        "a weight beyond float16",
        WEIGHTS,
        "E-EXPORT",
        "weight 'last.weight' has the value 7e+04; float16 ends at 65,504: use int8",
        lambda shop: quantize_weights(spoil(7e4), "float16"),
    ),
    Refusal(
        "a network of a few numbers",
        WEIGHTS,
        "E-EXPORT",
        "linear-model has no float32 weight of 64 numbers or more",
        lambda shop: quantize_weights(read_model(shop.checkpoint("linear-model")), "int8"),
    ),
    Refusal(
        "weights that are rounded already",
        WEIGHTS,
        "E-USAGE",
        "the weights are quantized to int8 already",
        lambda shop: quantize_weights(quantize_weights(nearest(), "int8"), "float16"),
    ),
    Refusal(
        "a format that holds none",
        WEIGHTS,
        "E-USAGE",
        "a file of pt2 cannot store quantized weights: --quantize-weights is for onnx or html",
        lambda shop: export(
            quantize_weights(nearest(), "int8"), "pt2", shop.folder / "nearest.pt2"
        ),
    ),
    Refusal(
        "weights that the exporter computes with",
        WEIGHTS,
        "E-EXPORT",
        "the graph has none of the network's weights as they were rounded to int8",
        bent,
    ),
    Refusal(
        "weights of 2 GiB",
        WEIGHTS,
        "E-EXPORT",
        "the network's weights are 2.00 GiB, and a file of onnx holds less than 2.00 GiB",
        two_gibibytes,
    ),
    Refusal(
        "a changed byte in the weights",
        WEIGHTS,
        "E-HASH",
        "has changed since it was written",
        lambda shop: load(change_byte(shop.copy(shop.rounded), 0.3)),
    ),
    Refusal(
        "other weights under a good content digest",
        WEIGHTS,
        "E-AGREEMENT",
        "sample 1, logits: largest error …, allowed",
        lambda shop: hold(rewritten(shop.copy(shop.rounded), lambda c: c, other_weights)),
    ),
    Refusal(
        "a model of no pictures",
        PIXELS,
        "E-USAGE",
        "the inputs of linear-model are not images that are converted to float32",
        lambda shop: embed_preprocessing(read_model(shop.checkpoint("linear-model"))),
    ),
    Refusal(
        "an output that is called `label`",
        PIXELS,
        "E-USAGE",
        "already has an output 'label'",
        own_label,
    ),
    Refusal(
        "a picture of no size",
        PIXELS,
        "E-SHAPE",
        "has shape (1, 0, 28); expected (batch, 28, 28)",
        lambda shop: run_pixels(shop, np.zeros((1, 0, 28), np.uint8)),
    ),
    Refusal(
        "numbers in place of bytes",
        PIXELS,
        "E-TYPE",
        "'pixels' …float32… uint8",
        lambda shop: run_pixels(shop, np.zeros((1, 28, 28), np.float32)),
    ),
    Refusal("a picture file of no bytes", PIXELS, "E-IMG-EMPTY", "empty", empty_picture),
    Refusal(
        "too few rows to calibrate on",
        INT8,
        "E-DATA",
        "lines has 99 rows to calibrate on; expected at least 100",
        lambda shop: shop.export_int8(calibration=known(99)),
    ),
    Refusal(
        "rows of one class",
        INT8,
        "E-DATA",
        "all 512 calibration rows of lines are of one class, 'round'",
        lambda shop: shop.export_int8(calibration=known(512, of=1)),
    ),
    Refusal(
        "rows of another model",
        INT8,
        "E-DATA",
        "% of the 512 calibration rows of lines, … they are rows of another model, or it is"
        " untrained",
        lambda shop: shop.export_int8(calibration=known(512, shift=1)),
    ),
    Refusal(
        "too few rows to count on",
        INT8,
        "E-DATA",
        "lines has 999 test rows, so one is 0.1 points, more than the drop of 0.1 that is allowed",
        lambda shop: shop.export_int8(test=known(999)),
    ),
    Refusal(
        "calibration that overflows",
        INT8,
        "E-NONFINITE",
        "calibration overflows: tensor …ranges from …to inf over lines",
        lambda shop: shop.export_int8(trained=nearest(Overflowing())),
    ),
    Refusal(
        "NaN weights",
        INT8,
        "E-NONFINITE",
        "not finite",
        lambda shop: shop.export_int8(trained=spoil(torch.nan)),
    ),
    Refusal(
        "weights rounded before",
        INT8,
        "E-USAGE",
        "the weights are quantized to int8 already, and --compute int8 quantizes them itself",
        lambda shop: shop.export_int8(trained=quantize_weights(nearest(), "int8")),
    ),
    Refusal(
        "a model without labels",
        INT8,
        "E-USAGE",
        "has no labels, so the accuracy of an int8 file cannot be measured",
        lambda shop: shop.export_int8(trained=nearest(task="passthrough", labels=())),
    ),
    Refusal(
        "a network of float16",
        INT8,
        "E-USAGE",
        "computes in float16: --compute int8 is for networks of float32",
        lambda shop: shop.export_int8(trained=half(shop)),
    ),
    Refusal(
        "a network of recurrent layers alone",
        INT8,
        "E-EXPORT",
        "the graph has no convolution or matrix product that computes in int8",
        lambda shop: quantize(recurrent(shop), nearest(Recurrent()).manifest.signature, known(128)),
    ),
    Refusal(
        "another format",
        INT8,
        "E-USAGE",
        "a file of html computes in the network's own precision: --compute int8 is for onnx",
        lambda shop: shop.say("export", "mlp", "--compute", "int8", "--format", "html"),
    ),
    Refusal(
        "`--quantize-weights` beside it",
        INT8,
        "E-USAGE",
        "--quantize-weights int8 and --compute int8 both quantize the weights: give one of them",
        lambda shop: shop.say("export", "mlp", "--compute", "int8", "--quantize-weights", "int8"),
    ),
    Refusal(
        "limits without it",
        INT8,
        "E-USAGE",
        "--max-accuracy-drop and --for-size need --compute int8",
        lambda shop: shop.say("export", "mlp", "--for-size"),
    ),
    Refusal(
        "answers that are wrong",
        INT8,
        "E-INT8",
        "accuracy falls by …points; allowed are 0.1: …labels change; allowed are",
        lambda shop: quantised_by(shop, mixed_up),
    ),
    Refusal(
        "an answer that depends on its batch",
        INT8,
        "E-INT8",
        "of 256 rows have different output bits alone and within a batch",
        lambda shop: quantised_by(shop, dynamic(shop), max_drop=5.0),
    ),
    Refusal(
        "a file that is slower",
        INT8,
        "E-INT8",
        "it is 0.60 times as fast at batch 1, 0.60 at 64 here; expected at least 1.1 at one of them",
        lambda shop: shop.export_int8(speed=0.6),
    ),
    Refusal(
        "a file for its size that is no smaller",
        INT8,
        "E-INT8",
        "it is not smaller, and --quantize-weights int8 would be",
        lambda shop: quantised_by(shop, no_smaller, for_size=True),
    ),
    Refusal(
        "answers beyond one step of those of the export",
        INT8,
        "E-AGREEMENT",
        "sample 1, logits: largest error …, allowed",
        beyond_a_step,
    ),
    Refusal(
        "a file in int8 in the place of the plain one",
        INT8,
        "E-INT8",
        "computes in int8 and was accepted by its accuracy, so it is not compared with float64",
        lambda shop: in_the_place(shop),
    ),
    Refusal(
        "a manifest of a newer version",
        MANIFEST,
        "E-MANIFEST",
        "its manifest is not valid: format is 2; this ptx reads 1",
        lambda shop: say_manifest(shop, format=2),
    ),
    Refusal(
        "another number of bits",
        MANIFEST,
        "E-MANIFEST",
        "it computes in 'int4'; expected int8",
        lambda shop: say_manifest(shop, compute="int4"),
    ),
    Refusal(
        "an accuracy of a file in float32",
        MANIFEST,
        "E-MANIFEST",
        "'verification' must have 'quantization' if and only if the file computes in int8",
        lambda shop: say_manifest(shop, compute=""),
    ),
    Refusal(
        "int8 left out under a good content digest",
        MANIFEST,
        "E-AGREEMENT",
        "manifest: labels, preprocessing, task, signature or weights are not those that were verified",
        lambda shop: hold(rewritten(shop.copy(shop.int8), hidden, kept)),
    ),
    Refusal(
        "bfloat16 in place of float32",
        OPENVINO,
        "E-BACKEND",
        "opened the model in bf16; expected float32",
        in_bfloat16,
    ),
    Refusal(
        "OpenVINO is missing",
        OPENVINO,
        "E-BACKEND",
        "OpenVINO is not installed: pip install",
        lambda shop: without(
            shop, "openvino", shop.artifact("linear-model", "onnx"), backend="openvino"
        ),
    ),
    Refusal(
        "a changed byte in the page",
        PAGE,
        "E-HASH",
        "has changed since it was written",
        lambda shop: load(change_byte(page(shop)), trust=True),
    ),
    Refusal(
        "a page without its model",
        PAGE,
        "E-HASH",
        "its block 'model' cannot be read",
        lambda shop: load(without_a_model(shop), trust=True),
    ),
    Refusal(
        "a page of others",
        PAGE,
        "E-TRUST",
        "is a model as one page",
        lambda shop: load(page(shop)),
    ),
    Refusal(
        "an operator that is missing",
        PAGE,
        "E-AGREEMENT",
        "a page does not compute the operator Resize",
        enlarged,
    ),
    Refusal(
        "neither V8 nor Node.js",
        PAGE,
        "E-BACKEND",
        "neither mini-racer nor Node.js is installed",
        lambda shop: without(shop, "py_mini_racer", page(shop), trust=True),
    ),
)


def recurrent(shop: Shop) -> bytes:
    """The graph of a GRU, without a manifest."""
    from ptx.export.pipeline import verify_export

    return verify_export(nearest(Recurrent()), "onnx", shop.folder / "recurrent.onnx").content


def in_the_place(shop: Shop) -> None:
    folder = shop.folder / "runs" / "softmax-regression"
    folder.mkdir(parents=True)
    (folder / "checkpoint.pt").write_bytes(shop.checkpoint("softmax-regression").read_bytes())
    (folder / "softmax-regression.onnx").write_bytes(shop.int8.read_bytes())
    shop.say("compare", "softmax-regression", "--backends", "ort-cpu", "--workspace", folder.parent)
