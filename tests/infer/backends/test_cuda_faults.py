"""What may go wrong with a device, injected one by one: each ends with its own error, and auto goes on.

docs/how-to/gpu.md lists them.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from null_cuda import NullCuda

Child = Callable[..., subprocess.CompletedProcess[str]]
Outcome = dict[str, Any]

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "gpu.md"


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        at: "load" or "run".
        settings: Of tests/null_cuda; `fail` is what its functions return.
        cause: What the message must name.
        auto: Whether another backend can be taken: at load, unless the device was asked for.
    """

    name: str
    code: str
    cause: str
    settings: dict[str, str]
    at: str = "load"
    device: str = "auto"
    model: str = "mlp.onnx"
    batch: int = 2
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        return 6 if self.code == "E-MEMORY" else 3

    @property
    def auto(self) -> bool:
        return self.at == "load" and self.device == "auto"


def fails(**statuses: int) -> dict[str, str]:
    return {"fail": " ".join(f"{name}={status}" for name, status in statuses.items())}


# On null CUDA, where everything but the injected fault works.
FAULTS = (
    Fault("no GPU", "E-CUDA", "finds no GPU", {"devices": "0"}),
    Fault(
        "all GPUs hidden",
        "E-CUDA",
        "CUDA_VISIBLE_DEVICES",
        {},
        environment={"CUDA_VISIBLE_DEVICES": ""},
    ),
    Fault("the driver does not start", "E-CUDA", "999", fails(cuInit=999)),
    Fault("driver and kernel module differ", "E-CUDA", "803", fails(cuInit=803)),
    Fault("the driver is too old", "E-CUDA", "CUDA 12.2", {"driver": "12020"}),
    Fault("the GPU is too old (Volta)", "E-CUDA", "7.0", {"capability": "70"}),
    Fault("no such index", "E-DEVICE", "cuda:99", {}, device="cuda:99"),
    Fault("no such index of two", "E-DEVICE", "2 GPUs", {"devices": "2"}, device="cuda:2"),
    Fault(
        "another process holds the GPU", "E-CUDA", "busy or unavailable", fails(cudaSetDevice=46)
    ),
    Fault(
        "the GPU's fabric is not ready", "E-CUDA", "not yet initialized", fails(cudaSetDevice=802)
    ),
    Fault("a memory error of the GPU (ECC)", "E-CUDA", "ECC", fails(cudaGetDeviceProperties=214)),
    Fault("no memory for the context", "E-MEMORY", "out of memory", fails(cudaSetDevice=2)),
    Fault(
        "no memory for cuBLAS", "E-MEMORY", "CUBLAS_STATUS_ALLOC_FAILED", fails(cublasCreate_v2=3)
    ),
    Fault(
        "cuBLAS does not start", "E-CUDA", "CUBLAS_STATUS_NOT_INITIALIZED", fails(cublasCreate_v2=1)
    ),
    Fault("no memory for cuDNN", "E-MEMORY", "DEVICE_ALLOCATION_FAILED", fails(cudnnCreate=4004)),
    Fault(
        "cuDNN does not start", "E-CUDA", "CUDNN_STATUS_NOT_INITIALIZED", fails(cudnnCreate=1001)
    ),
    Fault("no memory for the weights", "E-MEMORY", "out of memory", {"memory": "0"}),
    Fault(
        "a node that CUDA has no kernel for",
        "E-CUDA-NODES",
        "Det 'determinant'",
        {},
        model="det.onnx",
    ),
    Fault(
        "no memory for a batch", "E-MEMORY", "smaller batch", {"memory": "8"}, at="run", batch=4096
    ),
    Fault(
        "no memory for a product",
        "E-MEMORY",
        "CUBLAS_STATUS_ALLOC_FAILED",
        fails(cublasSgemm_v2=3),
        at="run",
    ),
    Fault(
        "no kernel for this GPU", "E-CUDA", "no kernel image", fails(cudaGetLastError=209), at="run"
    ),
    Fault(
        "a product fails",
        "E-CUDA",
        "CUBLAS_STATUS_EXECUTION_FAILED",
        fails(cublasSgemm_v2=13),
        at="run",
    ),
    Fault(
        "a convolution fails",
        "E-CUDA",
        "cuDNN error",
        fails(cudnnBackendExecute=5000),
        at="run",
        model="convnet.onnx",
    ),
    Fault(
        "a copy to the GPU fails",
        "E-CUDA",
        "unspecified launch failure",
        fails(cudaMemcpyAsync=719),
        at="run",
    ),
    Fault(
        "a kernel reads what is not its own",
        "E-CUDA",
        "illegal memory access",
        fails(cudaStreamSynchronize=700),
        at="run",
    ),
    Fault(
        "a memory error while it runs (ECC)",
        "E-CUDA",
        "ECC",
        fails(cudaStreamSynchronize=214),
        at="run",
    ),
    Fault("no stream", "E-CUDA", "unknown error", fails(cudaStreamCreateWithFlags=999), at="run"),
)
BROKEN_DRIVER = Fault("a driver whose calls fail", "E-CUDA", "CUDA error 36", {})
OLD_DRIVER = Fault("a driver without a function", "E-CUDA", "undefined symbol: cuTensorMap", {})

PROGRAM = """
import json, os, sys, tempfile
from ptx.infer import PtxError, load

def attempt(fault, backend):
    settings = {f"NULL_CUDA_{key.upper()}": value for key, value in fault["settings"].items()}
    settings |= fault["environment"]
    options = {"device": fault["device"]}
    if fault["model"] == "det.onnx":
        options["task"] = "passthrough"
    if fault["at"] == "load":
        os.environ.update(settings)
    try:
        with load(fault["model"], backend=backend, **options) as predictor:
            os.environ.update(settings)
            predictor.run(predictor.signature.example({"batch": fault["batch"]}))
            return {"backend": predictor.backend.name, "skipped": dict(predictor.skipped)}
    except PtxError as error:
        return {"code": error.code, "exit": error.exit_code, "message": str(error)}
    finally:
        for name in settings:
            del os.environ[name]

def silently(fault, backend):
    with tempfile.TemporaryFile() as said:
        kept = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            return attempt(fault, backend) | {"said": said.seek(0) or said.read().decode()}
        finally:
            os.dup2(kept, 2)
            os.close(kept)

os.chdir(sys.argv[1])
for fault in json.loads(sys.argv[2]):
    print(json.dumps([silently(fault, "ort-cuda"), silently(fault, "auto")]))
"""


@pytest.fixture(scope="module")
def models(artifact: Callable[[str, str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models of the faults."""
    from onnx import TensorProto, helper

    folder = tmp_path_factory.mktemp("faults")
    for name in ("mlp", "convnet"):
        (folder / f"{name}.onnx").symlink_to(artifact(name, "onnx"))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch"])
    node = helper.make_node("Det", ["x"], ["y"], name="determinant")
    graph = helper.make_graph([node], "determinant", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (folder / "det.onnx").write_bytes(model.SerializeToString())
    return folder


@pytest.fixture(scope="module")
def run_faults(
    models: Path, null_cuda: NullCuda, child: Child
) -> Callable[..., Iterator[tuple[Fault, Outcome, Outcome]]]:
    """`run_faults(faults, **environment)`: each fault, what ort-cuda makes of it, and what auto does."""

    def run(*faults: Fault, **options: Any) -> Iterator[tuple[Fault, Outcome, Outcome]]:
        done = child(
            PROGRAM,
            models,
            json.dumps([asdict(fault) for fault in faults]),
            env=null_cuda.environment(**options),
            timeout=120,
        )
        assert done.stderr == ""
        for fault, line in zip(faults, done.stdout.splitlines(), strict=True):
            yield fault, *json.loads(line)

    return run


def check(fault: Fault, named: Outcome, auto: Outcome) -> None:
    assert named["said"] == auto["said"] == "", f"{fault.name}: a library wrote to stderr"
    assert named.get("code") == fault.code, (fault.name, named)
    assert named["exit"] == fault.exit_code
    assert fault.cause in named["message"], (fault.name, named)
    assert "onnxruntime_src" not in named["message"]
    if fault.auto:
        assert auto.get("backend") == "ort-cpu", (fault.name, auto)
        assert auto["skipped"].keys() == {"ort-cuda"}
        assert fault.cause in auto["skipped"]["ort-cuda"]
    else:
        assert auto["code"] == fault.code


def page_rows() -> Iterator[str]:
    """The rows of the table in docs/how-to/gpu.md."""
    groups: dict[tuple[str, int, str], list[str]] = {}
    for fault in (*FAULTS, BROKEN_DRIVER, OLD_DRIVER):
        groups.setdefault((fault.at, fault.exit_code, fault.code), []).append(fault.name)
    for (at, exit_code, code), names in groups.items():
        yield f"| {at} | {exit_code} | `{code}` | {'; '.join(names)} |"


def test_the_page_lists_the_faults() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [row for row in page_rows() if row not in page] == []


def test_each_injected_fault_ends_with_its_own_error(
    run_faults: Callable[..., Iterator[tuple[Fault, Outcome, Outcome]]],
) -> None:
    for fault, named, auto in run_faults(*FAULTS):
        check(fault, named, auto)


def test_a_driver_whose_calls_fail(
    run_faults: Callable[..., Iterator[tuple[Fault, Outcome, Outcome]]],
) -> None:
    """With NVIDIA's own libraries, which find a driver that serves none of what they ask for."""
    pytest.importorskip("nvidia.cudnn", reason="needs NVIDIA's libraries")
    for fault, named, auto in run_faults(BROKEN_DRIVER, broken_driver=True):
        check(fault, named, auto)


def test_a_library_that_is_too_old_is_not_called_missing(
    run_faults: Callable[..., Iterator[tuple[Fault, Outcome, Outcome]]],
) -> None:
    for fault, named, auto in run_faults(OLD_DRIVER, old_driver=True):
        check(fault, named, auto)
        assert "missing" not in named["message"]
