"""What the formats write: one clean file each, with its axes free and its manifest readable."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import ptx.models.catalog
from ptx.export import read_model
from ptx.export.formats import EXPORTERS, check_format
from ptx.export.formats.conversion_errors import mapping_export_errors
from ptx.export.formats.onnx_ import OPSET
from ptx.export.tracing import trace
from ptx.infer import ArtifactError, BackendError, InputError, Signature, UsageError, read_artifact
from ptx.infer.backends.ort.failures import NEWEST_OPSET
from ptx.models import CATALOG, build

Checkpoint = Callable[[str], Path]
Export = Callable[[str, str], Path]

# Where this machine keeps the code that is exported and the code that exports.
PLACES = {
    str(Path(ptx.models.catalog.__file__).resolve().parents[1]),
    str(Path(torch.__file__).resolve().parents[1]),
    str(Path.home()),
    sys.prefix,
    "site-packages",
}


def network_of(model: str) -> tuple[nn.Module, Signature]:
    torch.manual_seed(0)
    network = build(model).eval().requires_grad_(False)
    return network, Signature.from_data(CATALOG[model].signature)


def contents(data: bytes) -> bytes:
    """The file's bytes; of an archive those of its unpacked members and their names."""
    if not data.startswith(b"PK"):
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = [name.encode() + b"\n" + archive.read(name) for name in archive.namelist()]
    return data + b"\n".join(parts)


def places_in(data: bytes) -> list[str]:
    return [place for place in PLACES if place.encode() in contents(data)]


# Axes.


def axes_of(value: Any) -> list[str | int]:
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize("model", ["lstm", "name-classifier", "char-rnn", "convnet", "diabetes"])
def test_the_onnx_graph_has_the_signatures_names_and_axes(model: str, artifact: Export) -> None:
    graph = onnx.load(artifact(model, "onnx")).graph
    signature = Signature.from_data(CATALOG[model].signature)
    for values, specs in ((graph.input, signature.inputs), (graph.output, signature.outputs)):
        assert {value.name: axes_of(value) for value in values} == {
            spec.name: list(spec.axes) for spec in specs
        }


def test_the_lstms_axes_are_time_batch_28(artifact: Export) -> None:
    (value,) = onnx.load(artifact("lstm", "onnx")).graph.input
    assert (value.name, axes_of(value)) == ("sequence", ["time", "batch", 28])


@pytest.mark.parametrize(("time", "batch"), [(28, 1), (28, 3), (14, 5), (1, 64), (40, 2)])
def test_onnx_runtime_alone_runs_the_lstm_at_any_size(
    time: int, batch: int, artifact: Export, checkpoint: Checkpoint
) -> None:
    session = onnxruntime.InferenceSession(
        artifact("lstm", "onnx").read_bytes(), providers=["CPUExecutionProvider"]
    )
    sequence = np.random.default_rng(time).random((time, batch, 28), np.float32)
    (logits,) = session.run(None, {"sequence": sequence})
    network = read_model(checkpoint("lstm")).network
    expected = network(torch.from_numpy(sequence)).numpy()
    assert logits.shape == (batch, 10)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("format_name", EXPORTERS)
def test_a_network_that_freezes_an_axis_is_not_converted(format_name: str) -> None:
    class Frozen(nn.Module):
        """Right for the traced batch alone."""

        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(1, 1)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.linear(x)
            return y.reshape(5, 1)

    _, signature = network_of("linear-model")
    if format_name == "torchscript":  # a trace keeps what it saw; the grid refuses it
        EXPORTERS[format_name].convert(trace(Frozen(), signature), opset=None)
        return
    with (
        pytest.raises(
            ArtifactError, match=f"^frozen cannot be converted to {format_name}: |^the ex"
        ),
        mapping_export_errors("frozen", format_name),
    ):
        EXPORTERS[format_name].convert(trace(Frozen(), signature), opset=None)


def test_a_graph_whose_axes_are_not_the_signatures_is_refused() -> None:
    network, _ = network_of("linear-model")
    other = Signature.from_data(
        {"inputs": {"x": ["float32", ["batch", 1]]}, "outputs": {"y": ["float32", ["batch", 2]]}}
    )
    with pytest.raises(
        ArtifactError, match=r"the exported graph has .* the signature says"
    ) as caught:
        EXPORTERS["onnx"].convert(trace(network, other), opset=None)
    assert caught.value.code == "E-EXPORT-AXES"


# The opset.


def opset_of(content: bytes) -> int:
    (version,) = (e.version for e in onnx.load_from_string(content).opset_import if not e.domain)
    return int(version)


def test_the_opset_is_21_unless_asked() -> None:
    """The newest whose MaxPool ONNX Runtime runs on CUDA."""
    assert OPSET == 21
    network, signature = network_of("convnet")
    assert opset_of(EXPORTERS["onnx"].convert(trace(network, signature), opset=None)) == 21


@pytest.mark.parametrize("opset", [18, 20, 22, NEWEST_OPSET])
def test_an_opset_that_is_asked_for_is_written(opset: int) -> None:
    network, signature = network_of("linear-model")
    assert opset_of(EXPORTERS["onnx"].convert(trace(network, signature), opset=opset)) == opset


@pytest.mark.parametrize("opset", [-1, 0, 17, NEWEST_OPSET + 1, 99])
def test_an_opset_that_cannot_be_run_is_wrong_usage(opset: int) -> None:
    network, signature = network_of("linear-model")
    with pytest.raises(UsageError, match=f"opset {opset} cannot be written; expected 18 to 26"):
        EXPORTERS["onnx"].convert(trace(network, signature), opset=opset)


# One clean file.


@pytest.mark.parametrize("format_name", EXPORTERS)
@pytest.mark.parametrize("model", ["linear-model", "lstm", "name-classifier"])
def test_an_export_is_one_file(model: str, format_name: str, artifact: Export) -> None:
    path = artifact(model, format_name)
    assert list(path.parent.iterdir()) == [path]
    if format_name == "onnx":
        for tensor in onnx.load(path, load_external_data=False).graph.initializer:
            assert tensor.data_location == onnx.TensorProto.DEFAULT
            assert not tensor.external_data


@pytest.mark.parametrize("format_name", EXPORTERS)
@pytest.mark.parametrize("model", ["linear-model", "lstm", "inception", "name-classifier"])
def test_no_path_of_this_machine_is_in_an_export(
    model: str, format_name: str, artifact: Export
) -> None:
    assert places_in(artifact(model, format_name).read_bytes()) == []


def test_the_search_for_paths_finds_those_that_torch_writes() -> None:
    """The negative control: TorchScript as it comes out of torch names source files."""
    network, signature = network_of("lstm")
    raw = EXPORTERS["torchscript"].convert(trace(network, signature), opset=None)
    assert any(name.endswith(".debug_pkl") for name in zipfile.ZipFile(io.BytesIO(raw)).namelist())
    assert places_in(raw)


@pytest.mark.parametrize("model", ["char-rnn"])  # the one with most steps between
def test_a_second_export_in_another_process_gives_the_same_bytes(
    model: str, artifact: Export, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    code = (
        "import sys; from pathlib import Path; from ptx.export import export, read_model\n"
        "trained = read_model(Path(sys.argv[1]))\n"
        "for name in sys.argv[3:]: export(trained, name, Path(sys.argv[2]) / name)"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(checkpoint(model)), str(tmp_path), "pt2", "onnx"],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        check=True,
        timeout=120,
    )
    # Not TorchScript: torch numbers the classes of all traces of a process in their names.
    for name in ("pt2", "onnx"):
        assert (tmp_path / name).read_bytes() == artifact(model, name).read_bytes(), name


def test_a_recurrent_pt2_is_the_first_export_of_its_process() -> None:
    """An export to ONNX leaves behind what keeps the time axis free; without it pt2 must do as well."""
    code = (
        "import torch; from ptx.export.formats import EXPORTERS\n"
        "from ptx.export.tracing import trace\n"
        "from ptx.infer import Signature; from ptx.models import CATALOG, build\n"
        "for model in ('char-rnn', 'lstm'):\n"
        "    signature = Signature.from_data(CATALOG[model].signature)\n"
        "    content = EXPORTERS['pt2'].convert(trace(build(model).eval(), signature), opset=None)\n"
        "    print(b'aten.gru.input' in content, b'aten.lstm.input' in content)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.stdout.splitlines(), done.stderr) == (["True False", "False True"], "")


class NormalizedRows(nn.Module):
    """Rows over their norm, where `+ 1e-10` alone keeps zeros from 0 / 0."""

    def forward(self, x: Tensor) -> Tensor:
        rows: Tensor = x / (x.norm(dim=1, keepdim=True) + 1e-10)
        return rows


def test_the_onnx_file_keeps_a_constant_that_is_nearly_zero() -> None:
    tensor = ["float32", ["batch", 4]]
    signature = Signature.from_data({"inputs": {"x": tensor}, "outputs": {"y": tensor}})
    content = EXPORTERS["onnx"].convert(trace(NormalizedRows().eval(), signature), opset=None)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    zeros = np.zeros((2, 4), np.float32)
    assert np.array_equal(session.run(None, {"x": zeros})[0], zeros)


class Spectrum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        real: Tensor = torch.fft.fft(x).real
        return real


def test_a_transform_of_a_length_that_is_no_power_of_two_is_exact() -> None:
    tensor = ["float32", ["batch", 40]]
    signature = Signature.from_data({"inputs": {"x": tensor}, "outputs": {"y": tensor}})
    content = EXPORTERS["onnx"].convert(trace(Spectrum().eval(), signature), opset=None)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    values = np.random.default_rng(0).normal(size=(3, 40)).astype(np.float32)
    expected = np.fft.fft(values.astype(np.float64)).real
    error = np.abs(session.run(None, {"x": values})[0] - expected).max()
    assert error < 2**-23 * np.abs(expected).max()


class Products(nn.Module):
    """Two inputs in one batch, taken apart again, as networks of optical flow do."""

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        first, second = torch.cat([x, z]).chunk(2)
        return first * second


def test_a_split_along_the_batch_stays_free() -> None:
    tensor = ["float32", ["batch", 4]]
    signature = Signature.from_data(
        {"inputs": {"x": tensor, "z": tensor}, "outputs": {"y": tensor}}
    )
    content = EXPORTERS["onnx"].convert(trace(Products().eval(), signature), opset=None)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for batch in (1, 2, 7):
        x, z = np.random.default_rng(0).normal(size=(2, batch, 4)).astype(np.float32)
        assert np.array_equal(session.run(None, {"x": x, "z": z})[0], x * z)


def test_a_pt2_stores_no_inputs_of_the_trace() -> None:
    tensor = ["float32", ["batch", 3, 64, 64]]
    signature = Signature.from_data({"inputs": {"x": tensor}, "outputs": {"y": tensor}})
    content = EXPORTERS["pt2"].convert(trace(nn.Conv2d(3, 3, 1).eval(), signature), opset=None)
    assert torch.export.load(io.BytesIO(content)).example_inputs is None
    assert len(content) < 3 * 64 * 64 * 4  # bytes of one row


def test_a_manifest_is_read_without_torch_and_without_running_the_file(artifact: Export) -> None:
    code = (
        "import sys; from ptx.infer import read_artifact\n"
        "for path in sys.argv[1:]:\n"
        "    manifest = read_artifact(path).require_manifest()\n"
        "    print(manifest.model, len(manifest.golden))\n"
        "print(sorted({'torch', 'onnx', 'onnxruntime'} & set(sys.modules)))"
    )
    paths = [str(artifact("lstm", name)) for name in EXPORTERS]
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == ["lstm 3"] * len(EXPORTERS) + ["[]"]


# Quiet, and in eval mode.


@pytest.mark.parametrize("format_name", EXPORTERS)
@pytest.mark.parametrize("model", ["convnet", "lstm", "char-rnn"])
def test_a_conversion_says_nothing_of_torchs_internals(
    model: str,
    format_name: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    network, signature = network_of(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        EXPORTERS[format_name].convert(trace(network, signature), opset=None)
    assert [str(warning.message) for warning in caught] == []
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


@pytest.mark.parametrize("format_name", EXPORTERS)
def test_a_conversion_leaves_the_loggers_as_they_were(format_name: str) -> None:
    import logging

    names = ("torch.onnx", "onnxscript", "torch.export")
    before = [logging.getLogger(name).level for name in names]
    network, signature = network_of("linear-model")
    EXPORTERS[format_name].convert(trace(network, signature), opset=None)
    assert [logging.getLogger(name).level for name in names] == before


def test_a_torchscript_file_is_in_eval_mode_without_gradients(artifact: Export) -> None:
    data = artifact("convnet", "torchscript").read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch.jit is deprecated
        module = torch.jit.load(io.BytesIO(data))  # type: ignore[no-untyped-call]
    assert not module.training
    picture = torch.rand(2, 1, 28, 28)
    assert torch.equal(module(picture), module(picture))


# The registry.


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="no format 'onx'; did you mean 'onnx'"):
        check_format("onx")


def test_a_missing_package_is_told_with_the_way_to_get_it() -> None:
    with (
        pytest.raises(
            BackendError, match=r"export to onnx needs onnxscript: pip install 'ptx-toolkit"
        ),
        mapping_export_errors("convnet", "onnx"),
    ):
        raise ModuleNotFoundError("No module named 'onnxscript'", name="onnxscript")


def test_errors_of_ours_pass_through_a_conversion() -> None:
    with pytest.raises(InputError, match=r"^as it is$"), mapping_export_errors("convnet", "onnx"):
        raise InputError("as it is")


def test_an_exporters_error_without_a_text_is_named_by_its_class() -> None:
    with (
        pytest.raises(ArtifactError, match=r"^convnet cannot be converted to pt2: KeyError$"),
        mapping_export_errors("convnet", "pt2"),
    ):
        raise KeyError


@pytest.mark.parametrize("format_name", EXPORTERS)
def test_a_file_is_told_by_its_content(format_name: str, artifact: Export, tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(artifact("linear-model", format_name).read_bytes())
    assert read_artifact(path).kind == format_name
