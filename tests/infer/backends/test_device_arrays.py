"""Arrays on the GPU in and out of a run, on null CUDA: bindings, waiting, lifetimes and errors.

Copies are real there, and happen as late or as early as CUDA allows. So a network that only moves
numbers answers with the right ones, unless a wait is missing.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from ptx.export import export
from ptx.infer import TensorSpec, load
from ptx.infer.backends.ort.device_arrays import import_array
from ptx.infer.errors import InputError, UsageError

if TYPE_CHECKING:
    from null_cuda import NullCuda

Child = Callable[..., subprocess.CompletedProcess[str]]

BEGIN = """
import gc, json, os, sys
from pathlib import Path
import numpy as np
from ptx.infer import PtxError, load
from device_memory import DeviceMemory, released

def numbers(batch, start=0):
    return np.arange(start, start + 12 * batch, dtype=np.float32).reshape(batch, 3, 4)
"""


class Flat(torch.nn.Module):
    """Moves numbers and computes nothing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    signature = {
        "inputs": {"x": ["float32", ["batch", 3, 4]]},
        "outputs": {"y": ["float32", ["batch", 12]]},
    }
    path = tmp_path_factory.mktemp("flat") / "flat.onnx"
    return export(Flat(), "onnx", path, signature=signature, task="passthrough").path


@pytest.fixture
def on_device(
    flat: Path, null_cuda: NullCuda, child: Child, tmp_path: Path
) -> Callable[..., object]:
    """`on_device(code)`: what the code puts into `found`, run with a path and a log of CUDA's calls."""

    def run(code: str, **settings: Any) -> object:
        environment = null_cuda.environment(log=tmp_path / "log", **settings)
        program = f"{BEGIN}\nfound = None\n{code}\nprint(json.dumps(found))\n"
        done = child(program, flat, tmp_path / "log", env=environment, timeout=60)
        assert done.stderr == ""
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize("early", [0, 1])
@pytest.mark.parametrize("index", [0, 1])
def test_numbers_go_in_and_out_on_the_device(
    on_device: Callable[..., object], index: int, early: int
) -> None:
    code = f"""
with load(sys.argv[1], backend="ort-cuda", device="cuda:{index}") as predictor:
    found = []
    for start in (0, 100, 200):
        x = DeviceMemory(numbers(2, start), index={index})
        y = predictor.run({{"x": x}}, device_outputs=True)["y"]
        equal = bool(np.array_equal(y.numpy(), numbers(2, start).reshape(2, 12)))
        found.append([equal, y.device, list(y.shape), str(y.dtype), list(y.__dlpack_device__())])
"""
    expected = [True, f"cuda:{index}", [2, 12], "float32", [2, index]]
    assert on_device(code, devices=2, early=early) == [expected] * 3


def test_nothing_is_copied_to_the_host_or_from_it(on_device: Callable[..., object]) -> None:
    code = """
with load(sys.argv[1], backend="ort-cuda") as predictor:
    x = DeviceMemory(numbers(2))
    predictor.run({"x": x}, device_outputs=True)
    before = len(Path(sys.argv[2]).read_text().splitlines())
    y = predictor.run({"x": x}, device_outputs=True)["y"]
    lines = Path(sys.argv[2]).read_text().splitlines()[before:]
    found = [line.partition(" size")[0] for line in lines if line.startswith("cudaMemcpy")]
"""
    assert on_device(code) == ["cudaMemcpy device to device"]


def test_an_output_goes_into_the_next_run(on_device: Callable[..., object]) -> None:
    """What ptx gives is a DLPack array as any other."""
    code = """
class Folded:
    def __init__(self, array):
        self.array = array
    def __dlpack_device__(self):
        return self.array.__dlpack_device__()
    def __dlpack__(self, **options):
        return self.array.__dlpack__(max_version=(1, 0), **options)

with load(sys.argv[1], backend="ort-cuda") as predictor:
    y = predictor.run({"x": DeviceMemory(numbers(2))}, device_outputs=True)["y"]
    try:
        predictor.run({"x": Folded(y)}, device_outputs=True)
    except PtxError as error:
        found = [error.code, "(2, 12)" in str(error)]
    try:
        y.__dlpack__(copy=True)
    except BufferError:
        found.append("no copy")
"""
    assert on_device(code) == ["E-SHAPE", True, "no copy"]


def test_numpy_arrays_are_copied_to_the_device(on_device: Callable[..., object]) -> None:
    code = """
with load(sys.argv[1], backend="ort-cuda") as predictor:
    y = predictor.run({"x": numbers(2)}, device_outputs=True)["y"]
    found = bool(np.array_equal(y.numpy(), numbers(2).reshape(2, 12)))
"""
    assert on_device(code) is True


def test_an_input_is_kept_for_the_run_and_then_given_back(on_device: Callable[..., object]) -> None:
    code = """
with load(sys.argv[1], backend="ort-cuda") as predictor:
    y = predictor.run({"x": DeviceMemory(numbers(2), name="first")}, device_outputs=True)["y"]
    gc.collect()
    found = [list(released)]
    x = DeviceMemory(numbers(2).astype(np.float64), name="refused")
    try:
        predictor.run({"x": x}, device_outputs=True)
    except PtxError as error:
        del error
    gc.collect()
    found.append(list(released))
"""
    assert on_device(code) == [["first"], ["first", "refused"]]


def test_an_output_outlives_the_predictor(on_device: Callable[..., object]) -> None:
    code = """
predictor = load(sys.argv[1], backend="ort-cuda")
y = predictor.run({"x": DeviceMemory(numbers(2))}, device_outputs=True)["y"]
capsule = y.__dlpack__()
predictor.close()
del predictor
gc.collect()
found = [bool(np.array_equal(y.numpy(), numbers(2).reshape(2, 12)))]
"""
    assert on_device(code) == [True]


@pytest.mark.parametrize("early", [0, 1])
def test_many_threads_get_their_own_numbers(on_device: Callable[..., object], early: int) -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
with load(sys.argv[1], backend="ort-cuda") as predictor:
    def one(start):
        y = predictor.run({"x": DeviceMemory(numbers(3, start))}, device_outputs=True)["y"]
        return bool(np.array_equal(y.numpy(), numbers(3, start).reshape(3, 12)))
    with ThreadPoolExecutor(8) as pool:
        found = all(pool.map(one, range(200)))
"""
    assert on_device(code, early=early) is True


@pytest.mark.parametrize(
    ("inputs", "code", "words"),
    [
        ("{'x': DeviceMemory(numbers(2).astype(np.float64))}", "E-TYPE", "tensor(double)"),
        ("{'x': DeviceMemory(numbers(2), index=1)}", "E-TYPE", "is on cuda:1"),
        ("{'x': DeviceMemory(numbers(2), strides=(12, 1, 3))}", "E-TYPE", "contiguous"),
        ("{'x': DeviceMemory(numbers(2)[:, :2])}", "E-SHAPE", "(2, 2, 4)"),
        ("{'x': DeviceMemory(numbers(2)[0])}", "E-SHAPE", "batch axis"),
        ("{'x': DeviceMemory(numbers(0))}", "E-SHAPE", "empty"),
        ("{'x': [[1.0]]}", "E-TYPE", "a list"),
        ("{'z': DeviceMemory(numbers(2))}", "E-NAME", "'x'"),
        ("{}", "E-NAME", "'x'"),
        ("{'x': numbers(2) * np.nan}", "E-NONFINITE", "nan"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(
    on_device: Callable[..., object], inputs: str, code: str, words: str
) -> None:
    program = f"""
with load(sys.argv[1], backend="ort-cuda") as predictor:
    try:
        predictor.run({inputs}, device_outputs=True)
    except PtxError as error:
        found = [error.code, str(error)]
"""
    found = on_device(program, devices=2)
    assert isinstance(found, list)
    assert found[0] == code
    assert words in found[1]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("cudaMalloc=2", "E-MEMORY"),
        ("cudaMemcpyAsync=719", "E-CUDA"),
        ("cudaStreamSynchronize=700", "E-CUDA"),
    ],
)
def test_a_failure_of_the_device_is_told(
    on_device: Callable[..., object], fault: str, code: str
) -> None:
    program = f"""
with load(sys.argv[1], backend="ort-cuda") as predictor:
    x = DeviceMemory(numbers(2))
    os.environ["NULL_CUDA_FAIL"] = "{fault}"
    try:
        predictor.run({{"x": x}}, device_outputs=True)
    except PtxError as error:
        found = error.code
    del os.environ["NULL_CUDA_FAIL"]
"""
    assert on_device(program) == code


def test_a_tensor_on_the_cpu_is_refused() -> None:
    spec = TensorSpec("x", "float32", ("batch", 3))
    with pytest.raises(InputError, match="is on the CPU") as caught:
        import_array(spec, torch.zeros(2, 3), "cuda:0")
    assert caught.value.code == "E-TYPE"


def test_other_backends_have_no_device_outputs(flat: Path) -> None:
    with load(flat, backend="ort-cpu") as predictor, pytest.raises(UsageError, match="ort-cuda"):
        predictor.run({"x": torch.zeros(2, 3, 4).numpy()}, device_outputs=True)
