"""Real CUDA sessions of ONNX Runtime on a machine without a device: see tests/null_cuda.

Shown are opening, placement, and that a run goes through. Numbers are not: kernels do nothing.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ptx.export import embed_preprocessing, export, quantize_weights, read_model
from ptx.models import CATALOG

if TYPE_CHECKING:
    from null_cuda import NullCuda

Export = Callable[[str, str], Path]
Child = Callable[..., subprocess.CompletedProcess[str]]

# What computes sizes, on the CPU by ONNX Runtime's choice.
ON_CPU = {
    "lstm": {"Concat"},
    "char-rnn": {"Concat"},
    "char-rnn-cell": {"Concat"},
    "char-rnn-embedding": {"Concat"},
    "name-classifier": {"Concat", "Squeeze"},
}
COMPUTING = {
    "Conv",
    "Gemm",
    "MatMul",
    "LSTM",
    "GRU",
    "Relu",
    "Sigmoid",
    "Softmax",
    "ArgMax",
    "MaxPool",
    "AveragePool",
    "Add",
    "Sub",
    "Div",
    "Cast",
    "Transpose",
    "GatherElements",
    "Where",
}
VARIANTS = {
    "convnet": ("float16", "int8", "pixels"),
    "lstm": ("float16", "int8", "pixels"),
    "softmax-mlp": ("float16", "int8", "pixels"),
    "name-classifier": ("float16", "int8"),
    "inception": ("int8", "pixels"),
}
OPEN_ALL = """
import json, sys
import onnxruntime
from ptx.infer import load

sessions = []

class Kept(onnxruntime.InferenceSession):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        sessions.append(self)

onnxruntime.InferenceSession = Kept
for path in sys.argv[1:]:
    sessions.clear()
    with load(path, backend="ort-cuda") as predictor:
        outputs = predictor.run(predictor.signature.example({"batch": 2, "time": 5}))
        nodes = [
            (part.ep_name, node.op_type)
            for part in sessions[0].get_provider_graph_assignment_info() for node in part.get_nodes()
        ]
        print(json.dumps({
            "device": predictor.backend.device, "sessions": len(sessions), "nodes": nodes,
            "shapes": [list(array.shape) for array in outputs.values()],
        }))
"""


@pytest.fixture(scope="module")
def opened(
    artifact: Export,
    checkpoint: Callable[[str], Path],
    null_cuda: NullCuda,
    child: Child,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, dict[str, Any]]:
    """What became of every model and variant, in one process that opens them one after another."""
    folder = tmp_path_factory.mktemp("variants")
    files = {name: artifact(name, "onnx") for name in CATALOG}
    for name, variants in VARIANTS.items():
        for variant in variants:
            trained = read_model(checkpoint(name))
            changed = (
                embed_preprocessing(trained)
                if variant == "pixels"
                else quantize_weights(trained, variant)
            )
            files[f"{name}, {variant}"] = export(
                changed, "onnx", folder / f"{name}-{variant}.onnx"
            ).path
    done = child(OPEN_ALL, *files.values(), env=null_cuda.environment(), timeout=120)
    assert done.stderr == ""  # nothing of ONNX Runtime's own
    return dict(zip(files, map(json.loads, done.stdout.splitlines()), strict=True))


def test_every_function_that_the_provider_asks_for_has_a_body(null_cuda: NullCuda) -> None:
    """With a new version of ONNX Runtime: these are new, and need one in tests/null_cuda."""
    assert null_cuda.functions_without_body() == []


def test_every_model_opens_once_on_the_device_and_runs(opened: dict[str, dict[str, Any]]) -> None:
    assert len(opened) > len(CATALOG)
    for name, found in opened.items():
        assert (found["device"], found["sessions"]) == ("cuda:0", 1), name
        assert all(shape and 2 in shape for shape in found["shapes"]), name


def test_only_what_computes_sizes_is_on_the_cpu(opened: dict[str, dict[str, Any]]) -> None:
    for name, found in opened.items():
        on_cpu = {operator for provider, operator in found["nodes"] if provider.startswith("CPU")}
        on_cuda = {operator for provider, operator in found["nodes"] if provider.startswith("CUDA")}
        assert on_cpu == ON_CPU.get(name, ON_CPU.get(name.partition(",")[0], set())), name
        assert not on_cpu & COMPUTING, name
        assert on_cuda & COMPUTING, name


OPTIONS = """
import json, sys
import onnxruntime
from ptx.infer import load

sessions = []

class Kept(onnxruntime.InferenceSession):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        sessions.append(self)

onnxruntime.InferenceSession = Kept
for options in ({}, {"precision": "tf32"}, {"device": "cuda:1"}, {"device_memory": 2**26}):
    with load(sys.argv[1], backend="ort-cuda", **options) as predictor:
        read = sessions[-1].get_provider_options()["CUDAExecutionProvider"]
        print(json.dumps([predictor.backend.device, read]))
"""


def test_the_options_are_those_that_the_session_has(
    artifact: Export, null_cuda: NullCuda, child: Child
) -> None:
    path = artifact("linear-model", "onnx")
    done = child(OPTIONS, path, env=null_cuda.environment(devices=2), timeout=60)
    assert done.stderr == ""
    plain, tf32, second, limited = map(json.loads, done.stdout.splitlines())
    for device, options in (plain, tf32, second, limited):
        assert f"cuda:{options['device_id']}" == device
        assert options["cudnn_conv_algo_search"] == "HEURISTIC"
    assert [options["use_tf32"] for _, options in (plain, tf32, second)] == ["0", "1", "0"]
    assert second[0] == "cuda:1"
    assert limited[1]["gpu_mem_limit"] == str(2**26) != plain[1]["gpu_mem_limit"]


LIMITED = """
import sys
from ptx.infer import PtxError, load

with load(sys.argv[1], backend="ort-cuda", device_memory=2**23) as predictor:
    predictor.run(predictor.signature.example({"batch": 2}))
    try:
        predictor.run(predictor.signature.example({"batch": 100_000}))
    except PtxError as error:
        print(error.code, error.exit_code)
"""


def test_a_limit_of_memory_is_kept(artifact: Export, null_cuda: NullCuda, child: Child) -> None:
    done = child(LIMITED, artifact("mlp", "onnx"), env=null_cuda.environment(), timeout=60)
    assert (done.stdout, done.stderr) == ("E-MEMORY 6\n", "")
