"""ptx export"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

import ptx.export as exporting
from ptx import infer, report
from ptx.cli import options
from ptx.cli.export_int8 import MAX_DROP, export_int8, print_quantization_cost
from ptx.cli.export_source import (
    ASSUMED,
    print_assumptions,
    print_limits,
    read_trained,
)
from ptx.cli.external_onnx import adopt_file
from ptx.cli.inputs import silence_decoders
from ptx.cli.model_spec import override_options
from ptx.cli.network import is_reference
from ptx.cli.param_types import Number
from ptx.cli.terminal import ProgressBar, print_note, print_summary, quiet_exporters
from ptx.cli.workspace import Workspace
from ptx.export.variant import COMPUTE_DTYPES, RUNTIMES, WEIGHT_DTYPES
from ptx.infer.artifact.files import make_folder
from ptx.infer.artifact.formats import CHECKPOINT, FORMATS, PACKAGE_FORMATS, find_format
from ptx.infer.errors import UsageError, pluralise
from ptx.infer.ranges import DROP, OPSETS

ALL, TRITON = "all", "triton"
# The parameters that can be used with --format triton and with --adopt.
TRITON_OPTIONS = {"model", "formats", "output", "device", "workspace"}
ADOPT_OPTIONS = {"model", "adopt", "spec_file", "output", "workspace"}


def _names() -> tuple[str, ...]:
    """What --format takes."""
    formats = (kind for kind in FORMATS if kind != CHECKPOINT)
    return (*formats, *PACKAGE_FORMATS.names(), ALL, TRITON)


@click.command(
    epilog="\b\nExamples:\n  ptx export convnet --format onnx\n"
    "  ptx export linear-model --checkpoint model.pth --format all",
)
@click.argument("model", shell_complete=options.complete_model)
@click.option(
    "--format",
    "formats",
    metavar="NAME",
    default=next(iter(FORMATS)),
    show_default=True,
    cls=options.ListingOption,
    names=_names,
    help="Format of the file; all means onnx, torchscript and pt2.",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="Checkpoint or bare state dict to export, instead of the one in the workspace.",
)
@click.option(
    "--adopt",
    is_flag=True,
    help="MODEL is an ONNX file of another tool. Write a copy with a manifest and golden samples, which"
    " every command accepts.",
)
@options.spec_file
@override_options
@click.option(
    "--data",
    metavar="SOURCE",
    shell_complete=options.complete_data,
    help="Data set on which the exported file is evaluated, as by `ptx evaluate`. A bare state dict is"
    " evaluated on the bundled data by default.",
)
@options.output("File to write, or with --format triton the folder of the model repository.")
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    help="Device on which Triton runs the model, with --format triton; cpu by default.",
)
@click.option(
    "--opset",
    type=Number(OPSETS),
    help="ONNX opset version. The default is the newest that ONNX Runtime supports on CPU and CUDA.",
)
@click.option(
    "--quantize-weights",
    type=click.Choice(WEIGHT_DTYPES),
    help="Store the weights in this type, in NAME.float16.onnx or NAME.int8.onnx: half or a quarter of"
    " the size, at the same speed. The quantized network is verified like any other, and the change in"
    " accuracy is measured on the test rows.",
)
@click.option(
    "--compute",
    type=click.Choice(COMPUTE_DTYPES),
    default=COMPUTE_DTYPES[0],
    show_default=True,
    help="Type to compute in. int8 is two to three times as fast for large convolutions and matrix"
    " products; the file is NAME.compute-int8.onnx. It is written only if it meets the criteria for"
    " accuracy, changed labels and speed on the training data (--data).",
)
@click.option(
    "--max-accuracy-drop",
    "max_drop",
    type=Number(DROP),
    metavar="POINTS",
    help="Percentage points of accuracy that --compute int8 may lose on the test rows;"
    f" {MAX_DROP:g} by default.",
)
@click.option(
    "--for-size",
    is_flag=True,
    help="With --compute int8, accept a file that is smaller but not faster.",
)
@click.option(
    "--embed-preprocessing",
    is_flag=True,
    help="Include preprocessing and softmax in the graph; the file is NAME.pixels.onnx. Its input is"
    " uint8 pixels of the model's size, and it also returns the index of the label.",
)
@click.option(
    "--runtime",
    type=click.Choice(RUNTIMES),
    default=RUNTIMES[0],
    show_default=True,
    help="Runtime in the page of --format html. auto selects plain JavaScript if it supports all"
    " operators and a row needs at most 20 MFLOP, else ONNX Runtime for WebAssembly if the npm package"
    " onnxruntime-web is installed. With ort the file is NAME.ort.html.",
)
@options.workspace
@options.common
def export(
    model: str,
    formats: str,
    checkpoint: Path | None,
    adopt: bool,
    spec_file: Path | None,
    data: str | None,
    output: Path | None,
    device: str | None,
    opset: int | None,
    workspace: Path,
    **values: Any,
) -> None:
    """Export MODEL and verify that the file computes what PyTorch computes.

    MODEL is the name of a catalog model, the path of a checkpoint, or module:function, which returns a
    network of your own; --spec then describes its inputs and outputs. torchvision:resnet18 and
    timm:convnext_tiny are image classifiers of these libraries; --checkpoint FILE is their file of
    weights. hf:FOLDER is an image or text classifier of transformers. The reference is eager float64.
    If the error of the exported file is more than a few times that of eager float32, the export fails
    and no file is written.

    A bare state dict, as torch.save(network.state_dict(), FILE) writes it, does not say how the network
    was trained. For gray images ptx tries the known labels and usual preprocessings on real rows, from
    --data or from the bundled data, and takes what is clearly right; it prints what it found and what it
    assumes. --labels, --mean, --std, --max-pixel or --spec override this. The exported file is then
    evaluated on the same rows.

    --format triton writes a Triton model repository from the exported ONNX file. --adopt writes an
    artifact from an ONNX file of another tool; its graph and weights do not change.
    """
    space = Workspace(workspace)
    if adopt:
        _require_options(ADOPT_OPTIONS, "--adopt does not change the graph")
        adopt_file(space, Path(model), spec_file, output)
        return
    if device is not None and formats != TRITON:
        raise UsageError(f"--device needs --format {TRITON}; the format is {formats}")
    if formats == TRITON:
        _export_repository(space, model, output, device or "cpu")
        return
    variant = options.as_dataclass(exporting.ExportVariant, values)
    names = _choose_formats(formats, output, opset)
    variant.check(names)
    trained, path = read_trained(space, model, checkpoint, spec_file, names, values)
    silence_decoders()
    trained = report.resolve_assumptions(trained, data, cache=space.data, notify=print_note)
    print_assumptions(trained, names)
    rows = report.find_evaluation_data(trained, data, cache=space.data, notify=print_note)
    variant_rows = replace(rows, trained=variant.apply(rows.trained))
    print_limits(variant_rows.trained)
    for name in names:
        target = output or _target(space, trained.manifest, name, path, variant.suffix)
        if variant.in_int8:
            export_int8(space, variant_rows.trained, variant, target, opset, data)
        else:
            _export_one(space, variant_rows, name, target, opset)
        if variant.quantize_weights is not None:
            print_quantization_cost(space, rows, target, data)
    is_custom = is_reference(model) or exporting.is_library_model(model)
    if is_custom and output is None:
        rows.trained.save(space.checkpoint(trained.manifest.model))
    print_summary("", _next_command(model, trained.manifest, target, output, variant))


def _choose_formats(formats: str, output: Path | None, opset: int | None) -> list[str]:
    """The formats to export; --output and --opset are checked against them."""
    from ptx.export.formats import check_format, find_exporter

    if formats != ALL:
        check_format(formats)
    names = [formats]
    if formats == ALL:
        names = [name for name, format_ in exporting.EXPORTERS.items() if not format_.explicit_only]
    if output is not None and len(names) > 1:
        raise UsageError("--output is one file, and --format all writes several: choose one format")
    other_formats = {FORMATS[name].suffix: name for name in exporting.EXPORTERS if name != names[0]}
    if output is not None and output.suffix in other_formats:
        raise UsageError(
            f"--output ends in {output.suffix}, and the format is {formats}: use --format"
            f" {other_formats[output.suffix]} or another name"
        )
    if opset is not None and not any(find_exporter(name).takes_opset for name in names):
        raise UsageError(f"--opset needs the format onnx; the format is {formats}: omit it")
    return names


def _target(
    space: Workspace, manifest: infer.Manifest, kind: str, path: Path | None, variant_suffix: str
) -> Path:
    """The file to write: next to the checkpoint if MODEL is its path, else in the workspace."""
    if path is not None:
        return path.with_suffix(variant_suffix + find_format(kind).suffix)
    target = space.artifact(manifest.model, kind, variant_suffix)
    make_folder(target.parent)
    return target


def _export_one(
    space: Workspace, rows: report.EvaluationData, name: str, target: Path, opset: int | None
) -> None:
    """Convert, verify and write one file; print its size, its largest error and its accuracy."""
    from ptx.export.formats import find_exporter

    with ProgressBar(f"verifying {name}", "runs") as progress, quiet_exporters():
        progress.show(f"converting {rows.trained.manifest.model} to {name}")
        done = exporting.export(
            rows.trained,
            name,
            target,
            opset=opset if find_exporter(name).takes_opset else None,
            announce=partial(space.note_export, target, name),
            progress=progress.reach,
        )
    size, reference = report.file_size(done.size), done.reference
    if rows.trained.manifest.weights:
        size = f"{size} instead of {report.file_size(done.size + done.saved)}"
        reference = f"{reference} of the quantized network"
    accuracy = rows.accuracy_text(done)
    print_summary(
        f"{done.path}: {size}, agrees with {reference} in {pluralise(done.cases, 'case')}: largest error"
        f" {done.error:.1e}, allowed {done.tolerance:.1e}{accuracy and f'; {accuracy}'}"
    )
    if done.choice is not None:
        print_summary(f"runtime of the page: {done.choice.runtime}: {done.choice.reason}")
        if done.choice.warning:
            print_note(done.choice.warning)


def _next_command(
    model: str,
    manifest: infer.Manifest,
    last: Path,
    output: Path | None,
    variant: exporting.ExportVariant,
) -> str:
    if variant.suffix:
        return f"ptx verify {last}"
    if exporting.is_library_model(model):
        return f"ptx verify {last}"
    if is_reference(model):
        return "" if output else f"ptx compare {manifest.model} --network {model}"
    return (
        f"ptx inspect {last}" if ASSUMED in manifest.training else f"ptx compare {manifest.model}"
    )


def _export_repository(space: Workspace, model: str, output: Path | None, device: str) -> None:
    """Write the repository; print its folders and how to start a server on it."""
    from ptx.export.triton import write_repository

    _require_options(TRITON_OPTIONS, f"--format {TRITON} does not change the ONNX file")
    if output is None:
        raise UsageError(f"--format {TRITON} needs --output FOLDER, the model repository")
    artifact = infer.read_artifact(space.find(model, "onnx"))
    for folder in write_repository(artifact, output, device=device):
        print_summary(str(folder))
    print_summary("", f"tritonserver --model-repository {output.absolute()}")


def _require_options(supported: set[str], reason: str) -> None:
    """Raise UsageError for an option on the command line that is not supported."""
    context = click.get_current_context()
    for option in context.command.params:
        name = str(option.name)
        source = context.get_parameter_source(name)
        if name not in supported and source is ParameterSource.COMMANDLINE:
            raise UsageError(f"{reason}: omit {option.opts[0]}")
