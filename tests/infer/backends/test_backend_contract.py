"""One contract for all backends: the same inputs get the same answers and the same error texts."""

from __future__ import annotations

import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.backends import BACKENDS, DEVICES, Options
from ptx.infer.backends.opening import _HINTS
from ptx.infer.backends.ort.cpu import OrtCpuBackend
from ptx.infer.errors import ArtifactError, BackendError, InputError, UsageError
from ptx.infer.loading import load
from ptx.infer.predictor import Predictor
from ptx.infer.signature import Array

Export = Callable[[str, str], Path]
Child = Callable[..., subprocess.CompletedProcess[str]]
Open = Callable[[str, str], Predictor]

MODELS = (
    "linear-model",
    "softmax-regression",
    "convnet",
    "lstm",
    "name-classifier",
    "char-rnn-embedding",
)
HERE = [name for name in BACKENDS if name != "ort-cuda"]  # runs on any machine
if find_spec("openvino") is None:
    HERE.remove("openvino")
NOT_FORKED = [name for name in HERE if not BACKENDS[name].fork_safe]


@pytest.fixture(scope="module")
def opened(artifact: Export) -> Iterator[Open]:
    """`opened(model, backend)`: a predictor on the CPU, opened once."""
    predictors: list[Predictor] = []

    @cache
    def open_one(model: str, backend: str) -> Predictor:
        path = artifact(model, BACKENDS[backend].artifact_format)
        predictors.append(
            load(
                path,
                backend=backend,
                device="cpu",
                threads=1 + len(predictors) % 2 if backend == "ort-cpu" else None,
                trust=True,
            )
        )
        return predictors[-1]

    yield open_one
    for predictor in predictors:
        predictor.close()


def example(predictor: Predictor, batch: int, time: int = 6, seed: int = 0) -> dict[str, Array]:
    return predictor.signature.example({"batch": batch, "time": time}, seed=seed)


def same(got: dict[str, Array], expected: dict[str, Array]) -> None:
    assert list(got) == list(expected)
    for name, array in got.items():
        assert array.dtype == np.float32
        scale = float(np.abs(expected[name]).max(initial=1e-3))
        np.testing.assert_allclose(array, expected[name], rtol=0, atol=1e-5 * scale)


# Answers


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("backend", [name for name in HERE if name != "eager"])
def test_every_backend_answers_as_eager_does(opened: Open, model: str, backend: str) -> None:
    eager, other = opened(model, "eager"), opened(model, backend)
    lengths = (1, 2, 9) if "time" in eager.signature.dynamic_axes else (0,)
    for batch in (1, 2, 3, 7):
        for time in lengths:
            inputs = example(eager, batch, time, seed=batch)
            same(other.run(inputs), eager.run(inputs))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("backend", HERE)
def test_a_batch_gives_each_sample_its_own_answer(opened: Open, model: str, backend: str) -> None:
    predictor = opened(model, backend)
    inputs = example(predictor, 7)
    whole = predictor.run(inputs)
    specs = {spec.name: spec.batch_axis for spec in predictor.signature}
    for row in range(7):
        alone = predictor.run(
            {name: np.take(array, [row], specs[name]) for name, array in inputs.items()}
        )
        same(alone, {name: np.take(array, [row], specs[name]) for name, array in whole.items()})


@pytest.mark.parametrize(("model", "labels"), [("lstm", 10), ("name-classifier", 18)])
@pytest.mark.parametrize("backend", ["eager", "ort-cpu"])
def test_an_empty_batch_gets_an_empty_answer(
    child: Child, artifact: Export, model: str, labels: int, backend: str
) -> None:
    # In a process of its own: ONNX Runtime would abort it.
    done = child(
        """
import sys
from ptx.infer import load
predictor = load(sys.argv[1], backend=sys.argv[2], device="cpu")
inputs = predictor.signature.example({"batch": 0, "time": 5})
for name, array in predictor.run(inputs).items():
    print(name, array.shape, array.dtype)
""",
        artifact(model, BACKENDS[backend].artifact_format),
        backend,
        timeout=60,
    )
    assert done.stdout == f"logits (0, {labels}) float32\n"


@pytest.mark.parametrize("backend", HERE)
def test_an_empty_batch_of_every_model_is_answered(opened: Open, backend: str) -> None:
    for model in MODELS:
        predictor = opened(model, backend)
        outputs = predictor.run(example(predictor, 0))
        (spec,) = predictor.signature.outputs
        assert outputs[spec.name].shape == spec.shape({"batch": 0, "time": 6})
        assert outputs[spec.name].dtype == np.float32


def strided(array: Array) -> Array:
    return np.repeat(array, 2, axis=0)[::2]


def read_only(array: Array) -> Array:
    copy = array.copy()
    copy.setflags(write=False)
    return copy


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "Fortran": np.asfortranarray,
    "reversed": lambda array: array[::-1].copy()[::-1],
    "strided": strided,
    "read-only": read_only,
}
FLOATS: dict[str, Callable[[Array], Array]] = {
    "float64": lambda array: array.astype(np.float64),
    "float16": lambda array: array.astype(np.float16),
}
INTEGERS: dict[str, Callable[[Array], Array]] = {
    "int32": lambda array: array.astype(np.int32),
    "uint8": lambda array: array.astype(np.uint8),
}
FORMS = [
    *(("convnet", name, form) for name, form in {**LAYOUTS, **FLOATS}.items()),
    *(("lstm", name, form) for name, form in {**LAYOUTS, **FLOATS}.items()),
    *(("name-classifier", name, form) for name, form in {**LAYOUTS, **INTEGERS}.items()),
]


@pytest.mark.parametrize(("model", "name", "form"), FORMS, ids=[f"{m} {n}" for m, n, _ in FORMS])
@pytest.mark.parametrize("backend", HERE)
def test_every_form_of_an_array_is_answered_alike(
    opened: Open, backend: str, model: str, name: str, form: Callable[[Array], Array]
) -> None:
    predictor = opened(model, backend)
    plain = {
        # Numbers that float16 holds too.
        key: array.astype(np.float16).astype(array.dtype) if array.dtype.kind == "f" else array
        for key, array in example(predictor, 3).items()
    }
    got = predictor.run({key: form(array) for key, array in plain.items()})
    assert got["logits"].tobytes() == predictor.run(plain)["logits"].tobytes()


# Errors


def ruined(array: Any, value: float) -> Any:
    copy = array.copy()
    copy.flat[3] = value
    return copy


IMAGE = np.zeros((2, 1, 28, 28), np.float32)
CODES, LENGTHS = np.full((2, 4), 65), np.array([4, 2])
REFUSED: dict[str, tuple[str, Any, str]] = {
    "a list": ("convnet", {"image": IMAGE.tolist()}, "input 'image' is a list; expected a NumPy"),
    "no mapping": ("convnet", IMAGE, "inputs are a ndarray; expected a mapping of ['image']"),
    "a wrong name": ("convnet", {"images": IMAGE}, "28): did you mean 'image'?"),
    "integers": ("convnet", {"image": IMAGE.astype(np.uint8)}, "has dtype uint8; expected float32"),
    "objects": ("convnet", {"image": IMAGE.astype(object)}, "has dtype object; expected float32"),
    "no batch axis": ("convnet", {"image": IMAGE[0]}, "add a leading batch axis"),
    "29 rows": (
        "convnet",
        {"image": np.zeros((1, 1, 29, 29), np.float32)},
        "input 'image' has shape (1, 1, 29, 29); expected (batch, 1, 28, 28)",
    ),
    "channels last": (
        "convnet",
        {"image": np.zeros((1, 28, 28, 1), np.float32)},
        "has shape (1, 28, 28, 1); expected (batch, 1, 28, 28)",
    ),
    "not a number": ("convnet", {"image": ruined(IMAGE, np.nan)}, "has nan at (0, 0, 0, 3)"),
    "infinite": ("convnet", {"image": ruined(IMAGE, np.inf)}, "has inf at (0, 0, 0, 3)"),
    "too large": (
        "convnet",
        {"image": ruined(IMAGE.astype(float), 1e39)},
        "do not fit into float32",
    ),
    "length 0": ("lstm", {"sequence": np.zeros((0, 2, 28), np.float32)}, "its time is 0"),
    "an index of -1": (
        "name-classifier",
        {"characters": ruined(CODES, -1), "lengths": LENGTHS},
        "input 'characters' has the value -1; expected 0 to 127",
    ),
    "an index of 128": (
        "name-classifier",
        {"characters": ruined(CODES, 128), "lengths": LENGTHS},
        "input 'characters' has the value 128; expected 0 to 127",
    ),
    "a length of 5": (
        "name-classifier",
        {"characters": CODES, "lengths": LENGTHS + 1},
        "input 'lengths' has the value 5; expected 1 to 4",
    ),
    "two batches": (
        "name-classifier",
        {"characters": CODES, "lengths": LENGTHS[:1]},
        "input 'lengths' has batch 1 in shape (1,); another input has batch 2",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_every_backend_refuses_in_the_same_words(opened: Open, case: str) -> None:
    model, inputs, message = REFUSED[case]
    texts = set()
    for backend in HERE:
        with pytest.raises(InputError, match=re.escape(message)) as caught:
            opened(model, backend).run(inputs)
        texts.add((caught.value.code, str(caught.value)))
    assert len(texts) == 1


@pytest.mark.parametrize("backend", HERE)
def test_outputs_that_are_not_finite_are_refused(opened: Open, backend: str) -> None:
    signs = np.random.default_rng(0).choice([-1, 1], (64, 784)).astype(np.float32)
    largest = np.finfo(np.float32).max
    with pytest.raises(ArtifactError, match="output 'logits' is not finite") as caught:
        opened("softmax-regression", backend).run({"image": signs * largest})
    assert caught.value.code == "E-NONFINITE"


# Life


@pytest.mark.parametrize("model", ["convnet", "name-classifier"])
@pytest.mark.parametrize("backend", HERE)
def test_many_threads_get_the_bytes_that_one_gets(opened: Open, model: str, backend: str) -> None:
    predictor = opened(model, backend)
    inputs = [example(predictor, 1 + seed % 3, seed=seed) for seed in range(12)]

    def answers(_: int) -> list[bytes]:
        return [predictor.run(item)["logits"].tobytes() for item in inputs]

    expected = answers(0)
    with ThreadPoolExecutor(16) as threads:
        for got in threads.map(answers, range(32)):
            assert got == expected


@pytest.mark.parametrize("backend", HERE)
def test_the_opened_backend_says_what_it_is(opened: Open, backend: str) -> None:
    predictor = opened("linear-model", backend)
    assert predictor.backend.name == backend
    assert predictor.backend.device == "cpu"
    assert predictor.predict(4).backend == backend


@pytest.mark.parametrize("backend", HERE)
def test_a_closed_backend_is_an_error(artifact: Export, backend: str) -> None:
    predictor = load(
        artifact("linear-model", BACKENDS[backend].artifact_format),
        backend=backend,
        device="cpu",
        trust=True,
    )
    predictor.close()
    with pytest.raises(BackendError, match="the predictor has been closed"):
        predictor.predict(4)


FORK = """
import os, sys, warnings
from ptx.infer import BackendError, load
warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork")  # that is what is tested
predictor = load(sys.argv[1], backend=sys.argv[2], device="cpu", trust=True)
inputs = predictor.signature.example({"batch": 2, "time": 5})
before = predictor.run(inputs)
child = os.fork()
if child == 0:
    if sys.argv[3] == "use":
        for attempt in range(2):
            try:
                after = predictor.run(inputs)
                print("same" if all((after[n] == before[n]).all() for n in before) else "differs")
            except BackendError as error:
                print(error.code, error)
    elif sys.argv[3] == "close":
        predictor.close()
    elif sys.argv[3] == "drop":
        del predictor
    sys.exit(7)
_, status = os.waitpid(child, 0)
again = predictor.run(inputs)
assert all((again[name] == before[name]).all() for name in before)
print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("what", ["use", "close", "drop", "nothing"])
def test_a_forked_child_opens_its_own_session_and_exits(
    child: Child, artifact: Export, what: str
) -> None:
    done = child(FORK, artifact("convnet", "onnx"), "ort-cpu", what)
    assert done.stdout.split() == [*["same"] * (2 if what == "use" else 0), "7"]


@pytest.mark.parametrize("backend", NOT_FORKED)
def test_a_forked_child_of_another_backend_is_told_to_load_anew(
    child: Child, artifact: Export, backend: str
) -> None:
    path = artifact("linear-model", BACKENDS[backend].artifact_format)
    done = child(FORK, path, backend, "use", timeout=60)
    first, second, status = done.stdout.splitlines()
    assert first.startswith(f"E-FORK backend '{backend}' does not survive a fork: load the model")
    assert second == first
    assert status == "7"


# Choice


def test_cuda_without_a_driver_names_the_library_and_both_ways_out(artifact: Export) -> None:
    import ctypes

    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("needs onnxruntime-gpu")
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        pass
    else:
        pytest.skip("there is a driver")
    with pytest.raises(BackendError) as caught:
        load(artifact("linear-model", "onnx"), backend="ort-cuda")
    assert caught.value.exit_code == 3
    text = str(caught.value)
    assert "\n" not in text
    assert "there is no NVIDIA driver on this machine (libcuda.so.1 cannot be opened)" in text
    assert "--backend ort-cpu" in text
    assert "--backend auto" in text


def test_auto_takes_the_cpu_where_cuda_is_not_and_says_so(
    artifact: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_here(onnxruntime: Any, index: int) -> None:
        raise BackendError("not here", code="E-CUDA")

    monkeypatch.setattr("ptx.infer.backends.ort.cuda.require_cuda", not_here)
    predictor = load(artifact("linear-model", "onnx"))
    assert predictor.backend.name == "ort-cpu"
    assert predictor.skipped == {"ort-cuda": "not here"}
    assert predictor.predict(4).backend == "ort-cpu"
    with pytest.raises(BackendError, match="not here"):
        load(artifact("linear-model", "onnx"), device="cuda")


def test_a_session_that_fell_back_to_the_cpu_is_an_error(
    artifact: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime answers a request for CUDA with a session on the CPU, without an exception."""
    from ptx.infer.backends.ort import cpu, cuda

    def fallen(artifact: Any, options: Any, providers: Any, watchdog: Any, entries: Any) -> Any:
        return cpu.open_session(artifact, options, ["CPUExecutionProvider"], watchdog)

    monkeypatch.setattr(cuda, "require_cuda", lambda onnxruntime, index: None)
    monkeypatch.setattr(cuda, "open_session", fallen)
    with pytest.raises(BackendError, match="ort-cuda is not available") as caught:
        load(artifact("linear-model", "onnx"), backend="ort-cuda")
    assert caught.value.code == "E-CUDA"


def test_onnx_runtime_itself_is_not_believed_without_a_device(
    artifact: Export, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The real session of a machine whose driver is missing, once nobody has looked for the driver."""
    import onnxruntime
    import torch

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("needs onnxruntime-gpu")
    if torch.cuda.is_available():
        pytest.skip("there is a device")
    monkeypatch.setattr("ptx.infer.backends.ort.cuda.require_cuda", lambda onnxruntime, index: None)
    with pytest.raises(BackendError, match=r"the library lib\w+\.so\.\d+ is missing") as caught:
        load(artifact("linear-model", "onnx"), backend="ort-cuda")
    assert caught.value.code == "E-CUDA"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("form", "options", "message"),
    [
        ("onnx", {"backend": "ort_cpu"}, "there is no backend 'ort_cpu'; did you mean 'ort-cpu'"),
        (
            "onnx",
            {"backend": "eager"},
            "runs a checkpoint, and 'linear-model.onnx' is an ONNX file: use ort-cpu or ort-cuda, or",
        ),
        ("torchscript", {"backend": "ort-cpu"}, "is a TorchScript archive: use torchscript, or"),
        ("checkpoint", {"backend": "pt2"}, "is a checkpoint: use eager, or export"),
        (
            "onnx",
            {"backend": "ort-cpu", "device": "cuda"},
            "backend 'ort-cpu' runs on the CPU; the requested device is 'cuda'",
        ),
        ("onnx", {"device": "mps"}, "runs on the CPU; the requested device is 'mps'"),
        ("onnx", {"backend": "ort-cuda", "device": "cpu"}, "runs on CUDA; the requested device"),
        ("onnx", {"backend": "ort-cuda", "device": "cuda:x"}, "there is no device 'cuda:x'"),
        ("onnx", {"precision": "float16"}, "there is no precision 'float16'"),
        (
            "onnx",
            {"backend": "ort-cpu", "threads": 0},
            "threads is 0; expected an integer",
        ),
        ("checkpoint", {"device": "gpu"}, "there is no device 'gpu'"),
        ("checkpoint", {"device": "cuda:x"}, "there is no device 'cuda:x'"),
        ("checkpoint", {"device": "cuda:"}, "there is no device 'cuda:'"),
        ("checkpoint", {"device": "auto:1"}, "there is no device 'auto:1'"),
        (
            "checkpoint",
            {"threads": 2},
            "backend 'eager' does not support threads",
        ),
        ("torchscript", {"threads": 2}, "backend 'torchscript' does not support threads"),
        ("pt2", {"threads": 2}, "backend 'pt2' does not support threads"),
        ("pt2", {"network": dict}, "backend 'pt2' does not support network"),
        (
            "onnx",
            {"backend": "ort-cpu", "network": dict},
            "backend 'ort-cpu' does not support network",
        ),
        ("onnx", {"network": dict}, "does not support network"),
        (
            "onnx",
            {"backend": "ort-cpu", "precision": "tf32"},
            "'ort-cpu' does not support precision",
        ),
        (
            "checkpoint",
            {"device": "cpu", "precision": "tf32"},
            "'tf32' needs CUDA, and the model runs on",
        ),
        (
            "onnx",
            {"backend": "ort-cpu", "cpu_fallback": "none"},
            "'ort-cpu' does not support cpu_fallback",
        ),
        ("onnx", {"backend": "ort-cuda", "cpu_fallback": "all"}, "there is no cpu_fallback 'all'"),
        ("onnx", {"backend": "ort-cpu", "device": "gpu"}, "there is no device 'gpu'"),
    ],
)
def test_a_choice_that_does_not_exist_is_wrong_usage(
    artifact: Export,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    options: dict[str, Any],
    message: str,
) -> None:
    path = artifact("linear-model", form)
    monkeypatch.chdir(path.parent)
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        load(path.name, **options)
    assert caught.value.exit_code == 2


def test_weights_in_another_file_are_never_read(
    linear_onnx: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx
    from onnx import TensorProto

    from ptx.infer.artifact import onnx_bytes

    assert linear_onnx.manifest is not None
    proto = onnx.ModelProto.FromString(linear_onnx.data)
    del proto.metadata_props[:]
    (weight,) = (t for t in proto.graph.initializer if "weight" in t.name)
    (tmp_path / "secret").write_bytes(bytes(4))
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "secret"
    content = onnx_bytes.embed_manifest(proto.SerializeToString(), linear_onnx.manifest.to_json())
    (tmp_path / "a.onnx").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactError, match="has weights in another file") as caught:
        load("a.onnx", backend="ort-cpu")
    assert caught.value.code == "E-ONNX-EXTERNAL"


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "mps"])
def test_a_torch_device_that_is_not_here_is_an_error(artifact: Export, device: str) -> None:
    import torch

    here = torch.accelerator.current_accelerator(check_available=True)
    if here is not None and here.type == device.partition(":")[0]:
        pytest.skip("it is here")
    with pytest.raises(
        BackendError, match=f"device '{device}' is not available: PyTorch"
    ) as caught:
        load(artifact("linear-model", "checkpoint"), device=device)
    assert caught.value.exit_code == 3


def test_the_registry_holds_what_it_says() -> None:
    options = {field.name for field in fields(Options)}
    for name, entry in BACKENDS.items():
        assert pkgutil.resolve_name(entry.entry_point).name == name
        assert set(entry.devices) < set(DEVICES)
        assert set(entry.supported_options) < options - {"device", "trust"}


def test_each_option_is_heeded_by_a_backend_and_refused_by_the_others_with_a_reason() -> None:
    for option in {field.name for field in fields(Options)} - {"device", "trust"}:
        assert any(option in entry.supported_options for entry in BACKENDS.values())
        assert option in _HINTS


def test_auto_passes_by_what_does_not_heed_the_options(
    artifact: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_here(onnxruntime: Any, index: int) -> None:
        raise BackendError("there is no driver", code="E-CUDA")

    monkeypatch.setattr("ptx.infer.backends.ort.cuda.require_cuda", not_here)
    with pytest.raises(BackendError, match="there is no driver"):  # and not ort-cpu in float32
        load(artifact("linear-model", "onnx"), precision="tf32")


class ToyBackend:
    """Reads ONNX files, and lets ort-cpu compute."""

    name, device = "toy", "cpu"

    def __init__(self, artifact: Artifact, options: Options) -> None:
        self._inner = OrtCpuBackend(artifact, options)
        self.run, self.close = self._inner.run, self._inner.close


def test_a_new_backend_is_one_file_and_one_line(
    workspace: Path, ptx: Callable[..., Any], seven: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through every verb that takes a backend and runs it in this process."""
    # Tests are no modules that could be imported by name: this one is, for once.
    monkeypatch.setitem(sys.modules, "toy_backend", sys.modules[__name__])
    entry = replace(BACKENDS["ort-cpu"], entry_point="toy_backend:ToyBackend")
    monkeypatch.setitem(BACKENDS, "toy", entry)
    place = ("--workspace", workspace)
    for arguments in (
        ("predict", seven, "--backend", "toy", "--json"),
        ("evaluate", "convnet", "--data", "bundled", "--backend", "toy"),
        ("compare", "convnet", "--data", "bundled", "--backends", "ort-cpu,toy"),
        ("verify", "convnet", "--backend", "toy"),
    ):
        done = ptx(*arguments, *place)
        assert done.code == 0, done.err
    assert "toy" in ptx("doctor", "--json").out
    assert (
        "does not support precision"
        in ptx("predict", seven, "--backend", "toy", "--precision", "tf32", *place).err
    )
