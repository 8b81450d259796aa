"""ONNX files: damaged, too new, lying about themselves, or hostile."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ptx.infer.artifact import onnx_bytes
from ptx.infer.artifact.artifact import read_artifact
from ptx.infer.artifact.golden import array_to_data

from .case import Case, Group, Kit
from .pictures import sparse

model = Group("model", ".onnx")
shown = Group("unrun", ".onnx")

Change = Callable[[Any], Any]


def bare(kit: Kit) -> onnx.ModelProto:
    """The exported convnet without manifest and content digest."""
    proto: onnx.ModelProto = onnx.ModelProto.FromString(kit.model().read_bytes())
    del proto.metadata_props[:]
    return proto


def manifest(kit: Kit) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(read_artifact(kit.model()).require_manifest().to_json())
    return data


def digest_ok(change: Change) -> Callable[[Kit], bytes]:
    """The convnet with another graph, the right manifest and a valid content digest."""

    def make(kit: Kit) -> bytes:
        proto = bare(kit)
        change(proto)
        return onnx_bytes.embed_manifest(proto.SerializeToString(), json.dumps(manifest(kit)))

    return make


def lying(change: Change) -> Callable[[Kit], bytes]:
    """The convnet with another manifest and a valid content digest."""

    def make(kit: Kit) -> bytes:
        data = manifest(kit)
        text = change(data)
        return onnx_bytes.embed_manifest(
            bare(kit).SerializeToString(), text if isinstance(text, str) else json.dumps(data)
        )

    return make


def without_manifest(change: Change) -> Callable[[Kit], bytes]:
    """The convnet with another graph, as somebody else would have written it."""

    def make(kit: Kit) -> bytes:
        proto = bare(kit)
        change(proto)
        content: bytes = proto.SerializeToString()
        return content

    return make


def cut(tenths: int) -> Callable[[Kit], bytes]:
    def make(kit: Kit) -> bytes:
        data = kit.model().read_bytes()
        return data[: len(data) * tenths // 10]

    return make


def flipped(share: float) -> Callable[[Kit], bytes]:
    def make(kit: Kit) -> bytes:
        data = bytearray(kit.model().read_bytes())
        data[int(len(data) * share)] ^= 4
        return bytes(data)

    return make


def _weights(value: float) -> Change:
    def change(proto: onnx.ModelProto) -> None:
        tensor = max(proto.graph.initializer, key=lambda item: len(item.raw_data))
        array = numpy_helper.to_array(tensor).copy()
        array[...] = value
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    return change


def _external(location: str, **entries: str) -> Change:
    def change(proto: onnx.ModelProto) -> None:
        tensor = max(proto.graph.initializer, key=lambda item: len(item.raw_data))
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **entries}.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value

    return change


def _rename_input(proto: onnx.ModelProto) -> None:
    old = proto.graph.input[0].name
    proto.graph.input[0].name = "picture"
    for node in proto.graph.node:
        node.input[:] = ["picture" if item == old else item for item in node.input]


def _rename_output(proto: onnx.ModelProto) -> None:
    old = proto.graph.output[0].name
    proto.graph.output[0].name = "scores"
    for node in proto.graph.node:
        node.output[:] = ["scores" if item == old else item for item in node.output]


def _ringing_input(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].name = "\x07ring\nptx: error [E-NONE] none"


def _more_inputs(proto: onnx.ModelProto) -> None:
    proto.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def _other_shape(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 32


def _other_type(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE


def _cycle(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].input[0] = proto.graph.node[-1].output[0]


def _first_node(**fields: str) -> Change:
    def change(proto: onnx.ModelProto) -> None:
        for field, value in fields.items():
            setattr(proto.graph.node[0], field, value)

    return change


def _opset(version: int) -> Change:
    def change(proto: onnx.ModelProto) -> None:
        proto.opset_import[0].version = version

    return change


def _graph(*nodes: onnx.NodeProto, **constants: Any) -> Change:
    """Another graph in the place of the convnet's, from `image` to `logits`."""

    def change(proto: onnx.ModelProto) -> None:
        proto.graph.CopyFrom(
            helper.make_graph(
                list(nodes),
                "graph",
                [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 28, 28])],
                [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
                [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
            )
        )
        del proto.functions[:]

    return change


node = helper.make_node
BOMB = _graph(
    node("ReduceSum", ["image"], ["sum"], keepdims=0),
    node("Expand", ["sum", "to"], ["logits"]),
    to=np.array([200_000, 200_000], np.int64),
)
SHORT = _graph(node("Constant", [], ["logits"], value_floats=[0.0, 1.0]))
CONSTANT_NAN = _graph(
    node("Flatten", ["image"], ["flat"]),
    node("MatMul", ["flat", "w"], ["logits"]),
    w=np.full((784, 10), np.nan, np.float32),
)


NO_KERNEL = _graph(
    node("Cast", ["image"], ["wide"], to=TensorProto.DOUBLE),
    node("Tan", ["wide"], ["tan"]),
    node("Cast", ["tan"], ["logits"], to=TensorProto.FLOAT),
)


def _large(proto: onnx.ModelProto) -> None:
    tensor = max(proto.graph.initializer, key=lambda item: len(item.raw_data))
    tensor.dims[:] = [2**20, 2**20]


def _deep(proto: onnx.ModelProto) -> None:
    names = ["image", *(f"x{index}" for index in range(20_000)), "logits"]
    _graph(*(node("Neg", [a], [b]) for a, b in itertools.pairwise(names)))(proto)


def beside(kind: str) -> Callable[[Kit], Path]:
    """The convnet whose largest weights stand in a file that is there."""

    def make(kit: Kit) -> Path:
        proto = bare(kit)
        content = max((item.raw_data for item in proto.graph.initializer), key=len)
        _external("weights.bin")(proto)
        real, link = kit.folder / "real.bin", kit.folder / "weights.bin"
        real.write_bytes(content)
        if kind == "file":
            real.rename(link)
        elif kind == "FIFO":
            os.mkfifo(link)
        elif kind == "hard link":
            link.hardlink_to(real)
        else:
            link.symlink_to(real)
        path = kit.folder / "given.onnx"
        path.write_bytes(
            onnx_bytes.embed_manifest(proto.SerializeToString(), json.dumps(manifest(kit)))
        )
        return path

    return make


def copied(kit: Kit, name: bytes) -> Path:
    path = kit.folder / os.fsdecode(name)
    path.write_bytes(kit.model().read_bytes())
    return path


def fifo(kit: Kit) -> Path:
    os.mkfifo(kit.folder / "fifo.onnx")
    return kit.folder / "fifo.onnx"


def _with(**entries: Any) -> Change:
    return lambda data: data.update(entries)


def _preprocessing(**entries: Any) -> Change:
    return lambda data: data["preprocessing"].update(entries)


def _tensor(side: str, tensor: str, value: Any) -> Change:
    return lambda data: data["signature"][side].update({tensor: value})


def _seeded(**entries: Any) -> Change:
    """Another input of a seed in the last golden sample."""
    return lambda data: data["golden"][-1]["inputs"]["image"].update(entries)


def _stored(array: Any) -> dict[str, Any]:
    data: dict[str, Any] = array_to_data(np.array(array))
    return data


def _sampled(**entries: Any) -> Change:
    """An output of which some elements are stored in the first golden sample."""
    parts = {
        "shape": [3, 10],
        "indices": _stored([0, 29]),
        "values": _stored([0.5, 1.5]),
        "checksums": _stored([0.5, 1.5]),
        "slack": _stored([1.0, 1.0]),
    }
    return lambda data: data["golden"][0]["outputs"].update(logits={**parts, **entries})


def _text(text: str) -> Change:
    return lambda data: text


def _without(key: str) -> Change:
    return lambda data: data.pop(key) and None


CASES: list[Case] = [
    model("the model as it was exported", lambda kit: kit.model()),
    model("under the name of another kind", lambda kit: kit.model().read_bytes(), suffix=".pt"),
    model("without a suffix", lambda kit: kit.model().read_bytes(), suffix=""),
    *(model(f"cut at {n} tenths", cut(n), "E-ONNX-PARSE") for n in range(1, 10)),
    *(
        model(f"a bit flipped at {share:.0%}", flipped(share), "E-HASH")
        for share in (0.03, 0.3, 0.6)
    ),
    model("a byte too many", lambda kit: kit.model().read_bytes() + b"\0", "E-ONNX-PARSE"),
    model("zero bytes", lambda kit: b"", "E-ARTIFACT-FORMAT"),
    model("text", lambda kit: b"not a model\n", "E-ARTIFACT-FORMAT"),
    model("a PNG", lambda kit: kit.drawing.read_bytes(), "E-ARTIFACT-FORMAT"),
    model("random bytes", lambda kit: np.random.default_rng(0).bytes(999), "E-ARTIFACT-FORMAT"),
    model("the first byte and zeros", lambda kit: b"\x08\x0a" + bytes(99), "E-ONNX-PARSE"),
    model("a length of 2^63", lambda kit: b"\x08\x0a\x3a" + b"\xff" * 8 + b"\x7f", "E-ONNX-PARSE"),
    model("a folder", lambda kit: kit.folder, "E-IN-NOTFILE"),
    model("a name that is too long", lambda kit: "n" * 300 + ".onnx", "E-IN-MISSING"),
    model("a missing file", lambda kit: kit.folder / "missing.onnx", "E-IN-MISSING"),
    model("/dev/zero", lambda kit: "/dev/zero", "E-IN-NOTFILE"),
    model("no manifest", lambda kit: bare(kit).SerializeToString(), "E-MANIFEST-MISSING"),
    # Graphs
    model("opset 99", digest_ok(_opset(99)), "E-ONNX-OPSET"),
    model(
        "IR version 99", digest_ok(lambda proto: setattr(proto, "ir_version", 99)), "E-ONNX-OPSET"
    ),
    model("no opset", digest_ok(lambda proto: proto.ClearField("opset_import")), "E-ONNX-LOAD"),
    model("an input of another name", digest_ok(_rename_input), "E-ONNX-MANIFEST"),
    model("an output of another name", digest_ok(_rename_output), "E-ONNX-MANIFEST"),
    model("an input too many", digest_ok(_more_inputs), "E-ONNX-MANIFEST"),
    model("an input of another size", digest_ok(_other_shape), "E-ONNX-MANIFEST"),
    model("an input of another type", digest_ok(_other_type), "E-ONNX-LOAD"),
    model(
        "no output", digest_ok(lambda proto: proto.graph.ClearField("output")), "E-ONNX-MANIFEST"
    ),
    model("a cycle", digest_ok(_cycle), "E-ONNX-LOAD"),
    model("an unknown operator", digest_ok(_first_node(op_type="Frobnicate")), "E-ONNX-LOAD"),
    model("an unknown domain", digest_ok(_first_node(domain="evil.com")), "E-ONNX-LOAD"),
    model("an answer of another shape", digest_ok(SHORT), "E-OUTPUT"),
    model("weights that are NaN", digest_ok(_weights(np.nan)), "E-NONFINITE"),
    model("weights that are infinite", digest_ok(_weights(np.inf)), "E-NONFINITE"),
    model("NaN for every answer", digest_ok(CONSTANT_NAN), "E-NONFINITE"),
    model("an answer of 160 GB", digest_ok(BOMB), "E-MEMORY", status=6),
    *(
        model(
            f"weights in {where!r} {' '.join(more)}",
            digest_ok(_external(where, **more)),
            "E-ONNX-EXTERNAL",
        )
        for where, more in (
            ("../../../../etc/passwd", {}),
            ("/etc/passwd", {}),
            ("/dev/zero", {}),
            ("weights.bin", {"offset": "-1"}),
            ("weights.bin", {"length": "999999999999"}),
            ("a/../../b", {}),
            ("", {}),
        )
    ),
    *(
        model(f"weights in a {kind} beside it", beside(kind), "E-ONNX-EXTERNAL")
        for kind in ("file", "FIFO", "hard link", "symbolic link")
    ),
    model("a shape of 2^40 numbers", digest_ok(_large), "E-ONNX-LOAD"),
    model("an operator that is not there for its type", digest_ok(NO_KERNEL), "E-ONNX-LOAD"),
    model("a graph of 20,000 nodes in a row", digest_ok(_deep), "E-OUTPUT"),
    model("a name that is not UTF-8", lambda kit: copied(kit, b"\xff.onnx")),
    model("a name with a newline", lambda kit: copied(kit, b"a\nb.onnx")),
    model("a FIFO", fifo, "E-IN-NOTFILE"),
    model("3 GiB", sparse("a.onnx", 3 * 2**30, b"\x08\x0a"), "E-IN-SIZE"),
    model(
        "a TorchScript archive for ort-cpu",
        lambda kit: kit.model("torchscript"),
        "E-USAGE",
        status=2,
    ),
    model("a checkpoint for ort-cpu", lambda kit: kit.model("pt"), "E-USAGE", status=2),
    # Golden samples that are not stored whole
    model("an output of some elements", lying(_sampled())),
    *(
        model(f"a random input of {what}", lying(_seeded(**entries)), "E-MANIFEST")
        for what, entries in (
            ("seed -1", {"seed": -1}),
            ("seed 2^32", {"seed": 2**32}),
            ("a seed that is text", {"seed": "0"}),
            ("no digest", {"sha256": None}),
            ("a terabyte", {"shape": [2**30, 2**10]}),
            ("2^62 bytes", {"shape": [2**31 - 1, 2**29]}),
            ("a negative size", {"shape": [-3, 1, 28, 28]}),
            ("99 axes", {"shape": [1] * 99}),
            ("integers", {"dtype": "int64"}),
            ("bounds", {"bounds": [0, 1]}),
            ("objects", {"dtype": "object"}),
        )
    ),
    *(
        model(f"an output of some elements, {what}", lying(_sampled(**entries)), "E-MANIFEST")
        for what, entries in (
            ("of a smaller one", {"shape": [2, 10]}),
            ("of one with 99 axes", {"shape": [1] * 99}),
            ("cut", {"indices": {**_stored([0, 29]), "base64": "AAAA"}}),
            ("that is no base64", {"values": {**_stored([0.5]), "base64": "*"}}),
            ("with a value too few", {"values": _stored([0.5])}),
            ("in no order", {"indices": _stored([29, 0])}),
            ("one twice", {"indices": _stored([29, 29])}),
            ("beyond it", {"indices": _stored([0, 30])}),
            ("before it", {"indices": _stored([-1, 29])}),
            ("at half places", {"indices": _stored([0.5, 29.0])}),
            ("none", {"indices": _stored([]), "values": _stored([])}),
            ("no checksums", {"checksums": _stored([]), "slack": _stored([])}),
            ("a checksum of NaN", {"checksums": _stored([np.nan, 0.0])}),
            ("a negative slack", {"slack": _stored([-1.0, 0.0])}),
            (
                "more checksums than elements",
                {"checksums": _stored([0.0] * 31), "slack": _stored([0.0] * 31)},
            ),
        )
    ),
    # Manifests that lie
    model("a manifest of 9 MB", lying(_with(training={"x": "x" * 9_000_000})), "E-MANIFEST"),
    model("a million labels", lying(_with(labels=["x"] * 1_000_000)), "E-MANIFEST"),
    model(
        "a manifest that stands twice",
        lambda kit: onnx_bytes.embed_manifest(kit.model().read_bytes(), json.dumps(manifest(kit))),
        "E-ONNX-PARSE",
    ),
    model("a label too few", lying(lambda data: data["labels"].pop() and None), "E-MANIFEST"),
    model("a label too many", lying(lambda data: data["labels"].append("10")), "E-MANIFEST"),
    model("labels that are numbers", lying(_with(labels=list(range(10)))), "E-MANIFEST"),
    model("another task", lying(_with(task="regression")), "E-MANIFEST"),
    model("an unknown task", lying(_with(task="frobnicate")), "E-MANIFEST"),
    model("a newer format", lying(_with(format=2)), "E-MANIFEST"),
    *(
        model(f"no {key}", lying(_without(key)), "E-MANIFEST")
        for key in ("task", "signature", "preprocessing", "labels", "format")
    ),
    model(
        "an input of the manifest's own name",
        lying(
            lambda data: data["signature"].update(inputs={"x": ["float32", ["batch", 1, 28, 28]]})
        ),
        "E-ONNX-MANIFEST",
    ),
    model(
        "a signature of 32×32",
        lying(_tensor("inputs", "image", ["float32", ["batch", 1, 32, 32]])),
        "E-MANIFEST",
    ),
    model(
        "a signature and size of 32×32",
        lying(
            lambda data: [
                data.pop("calibration", None),
                _tensor("inputs", "image", ["float32", ["batch", 1, 32, 32]])(data),
                _preprocessing(size=[32, 32])(data),
            ]
        ),
        "E-ONNX-MANIFEST",
    ),
    model(
        "a signature of float64",
        lying(_tensor("inputs", "image", ["float64", ["batch", 784]])),
        "E-MANIFEST",
    ),
    model(
        "a negative axis",
        lying(_tensor("inputs", "image", ["float32", ["batch", -1]])),
        "E-MANIFEST",
    ),
    model(
        "no batch axis",
        lying(_tensor("inputs", "image", ["float32", [1, 1, 28, 28]])),
        "E-MANIFEST",
    ),
    model(
        "outputs of eleven labels",
        lying(_tensor("outputs", "logits", ["float32", ["batch", 11]])),
        "E-MANIFEST",
    ),
    model("an axis of 10^30", lying(_preprocessing(size=[10**30, 28])), "E-MANIFEST"),
    model("preprocessing of another kind", lying(_preprocessing(kind="char-codes")), "E-MANIFEST"),
    model("preprocessing by an import", lying(_preprocessing(kind="os:system")), "E-MANIFEST"),
    model("a setting too many", lying(_preprocessing(frobnicate=1)), "E-MANIFEST"),
    model("an unknown fit", lying(_preprocessing(resize_mode="__import__")), "E-MANIFEST"),
    model("a deviation of 0", lying(_preprocessing(std=0)), "E-MANIFEST"),
    model("a mean that is text", lying(_preprocessing(mean="x")), "E-MANIFEST"),
    model("a mean of 10^300", lying(_preprocessing(mean=1e300)), "E-MANIFEST"),
    model("a size of text", lying(_preprocessing(size="28")), "E-MANIFEST"),
    model("a size that is a number", lying(_preprocessing(size=28)), "E-MANIFEST"),
    *(
        model(
            f"a label that {what}", lying(_with(labels=[*map(str, range(9)), label])), "E-MANIFEST"
        )
        for what, label in (
            ("rings", "\x07"),
            ("clears the terminal", "\x1b[2J"),
            ("forges a line", "7\nptx: error [E-NONE] none"),
        )
    ),
    model("a model's name that rings", lying(_with(model="\x07")), "E-MANIFEST"),
    model(
        "an axis whose name rings",
        lying(_tensor("inputs", "image", ["float32", ["batch", "\x07"]])),
        "E-MANIFEST",
    ),
    *(
        shown(
            f"a manifest whose {key} is no object", lying(_with(**{part: {key: 1}})), "E-MANIFEST"
        )
        for part, key in (
            ("training", "data"),
            ("training", "recipe"),
            ("training", "metrics"),
            ("verification", "backends"),
        )
    ),
    shown("training of nothing that is known", lying(_with(training={"x": 1})), answer="*"),
    shown("training data of no name", lying(_with(training={"data": {"x": [1]}})), answer="*"),
    shown(
        "settings and versions that ring",
        lying(_with(config={}, versions={"a\x07": "b\x07"})),
        answer="*",
    ),
    shown(
        "an input whose name rings, without a manifest",
        without_manifest(_ringing_input),
        answer="*",
    ),
    *(
        model(f"a manifest that is {what}", lying(_text(text)), "E-MANIFEST")
        for what, text in (
            ("no JSON", "{"),
            ("empty", ""),
            ("a list", "[]"),
            ("NaN", '{"format": NaN}'),
            ("nested deep", "[" * 9999),
            ("doubled", '{"format": 1, "format": 1}'),
        )
    ),
]
