"""ptx compare"""

from __future__ import annotations

import json
from pathlib import Path

import click

from ptx import export, infer, models, report, trainers
from ptx.cli import options
from ptx.cli.arrays import read_arrays
from ptx.cli.commands.evaluate import evaluate_test_rows
from ptx.cli.external_onnx import read_trained, relevant_skips
from ptx.cli.inputs import find_inputs
from ptx.cli.model import closing_all, note_skipped
from ptx.cli.network import find_factory
from ptx.cli.streams import echo
from ptx.cli.terminal import ProgressBar, columns, print_note, print_summary, style_result
from ptx.cli.workspace import Workspace
from ptx.export.variant import INT8_SUFFIX
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.errors import pluralise


@click.command(
    epilog="\b\nExamples:\n  ptx compare convnet\n"
    "  ptx compare convnet digit.png --backends ort-cpu,eager",
)
@click.argument("model", shell_complete=options.complete_name)
@click.argument("inputs", nargs=-1, metavar="[INPUT]...", shell_complete=options.complete_file)
@options.backends
@options.device
@options.precision
@options.trust
@options.data
@options.network
@options.spec_file
@options.output("Also write the comparison to this file: .csv, .json or .png.")
@options.workspace
@options.as_json
@options.time_limit
@options.common
def compare(
    model: str,
    inputs: tuple[str, ...],
    backends: tuple[str, ...] | None,
    device: str,
    precision: str,
    trust: bool,
    data: str | None,
    network: str | None,
    spec_file: Path | None,
    output: Path | None,
    workspace: Path,
    as_json: bool,
) -> int:
    """Run MODEL on every backend and compare the outputs with float64.

    The inputs are the INPUTs, else the test rows of the model's data. A network of your own is compared
    on the INPUTs, else on the samples in its checkpoint or on random numbers. --network names the
    function that returns it, because a checkpoint never names code to run.

    MODEL can also be an ONNX file of any tool, without a checkpoint. The reference is then its graph in
    float64. --spec describes a file that has no manifest.
    """
    if output is not None:
        report.check_target(output)
    space = Workspace(workspace)
    factory = None if network is None else find_factory(network)
    trained, find_artifact = read_trained(space, model, factory, spec_file)
    opening = infer.Options(
        device=device, precision=precision, trust=space.trust(trust), network=factory
    )
    predictors, skipped = report.open_backends(
        find_artifact, trained.manifest.weights_sha256, opening, names=backends
    )
    for name, reason in relevant_skips(skipped, trained).items():
        note_skipped(name, reason)
    with closing_all(predictors):
        if problems := _manifest_problems(space, trained, predictors):
            _print_problems(model, problems, as_json=as_json)
            return 1
        rows, dataset = _find_rows(space, inputs, data, trained, predictors[0])
        with ProgressBar("comparing", "inputs", rows.total) as progress:
            compared = report.compare(trained, predictors, rows, progress=progress.advance)
        evaluation, passes = "", compared.passed
        if dataset is not None and passes:
            evaluation, passes = _evaluate(space, compared.model, predictors[0], dataset)
    if not compared.comparison.rows:
        print_note("no input could be compared")
        return 4
    if output is not None:
        compared.save(output)
        print_note(f"{output}: {pluralise(len(compared.comparison.results), 'backend')}")
    if as_json:
        echo(json.dumps({**compared.data(), "evaluation": evaluation, "passes": passes}))
    else:
        model_options = {"--network": network, "--spec": spec_file}
        used = [f" {name} {value}" for name, value in model_options.items() if value is not None]
        _print_text(compared, evaluation, "".join((model, *used)), passes=passes)
    return 0 if passes else 1


def _manifest_problems(
    space: Workspace, trained: export.TrainedModel, predictors: list[infer.Predictor]
) -> list[str]:
    """How the files differ from what was verified; files of other weights are skipped."""
    from ptx.export.check.manifest_comparison import find_problems

    if isinstance(trained, export.ExternalOnnx):
        return []
    manifests: dict[str, infer.Manifest] = {}
    for kind, path in space.files(trained.manifest.model).items():
        if kind == CHECKPOINT:
            continue
        manifest = infer.read_artifact(path).require_manifest()
        if manifest.weights_sha256 == trained.manifest.weights_sha256:
            manifests[path.name] = manifest
        else:
            print_note(f"{path} was exported from other weights: it is skipped")
    return find_problems(trained.limited_manifest, manifests, predictors)


def _print_problems(model: str, problems: list[str], *, as_json: bool) -> None:
    """Print how the files differ from what was verified; a comparison would mean nothing."""
    if as_json:
        echo(json.dumps({"model": model, "passes": False, "problems": problems}))
    else:
        echo("\n".join(problems))
        next_command = f"ptx export {model} --format all"
        print_summary(f"{model}: the files are not what was verified", next_command, passes=False)


def _find_rows(
    space: Workspace,
    inputs: tuple[str, ...],
    data: str | None,
    trained: export.TrainedModel,
    predictor: infer.Predictor,
) -> tuple[report.ComparisonInputs, trainers.Dataset | None]:
    """The INPUTs, the samples of the checkpoint, or the test rows with their data set."""
    model = trained.manifest.model
    if inputs and inputs[0].lower().endswith(".npz"):
        signature = predictor.signature
        arrays = read_arrays(inputs, [spec.name for spec in signature.inputs])
        return report.array_inputs(arrays, signature, ", ".join(inputs)), None
    if inputs:
        values = find_inputs(inputs, predictor.preprocessing)
        return report.value_inputs(values, predictor), None
    if data is None and (models.lookup(model) is None or isinstance(trained, export.ExternalOnnx)):
        rows = report.checkpoint_samples(trained)
        if rows.random:
            print_note("the inputs are random numbers: add INPUTs to compare on real data")
        return rows, None
    dataset = space.open_data(model, data, trained.manifest)
    return report.split_inputs(dataset, predictor), dataset


def _evaluate(
    space: Workspace, model: str, predictor: infer.Predictor, dataset: trainers.Dataset
) -> tuple[str, bool]:
    """The metrics of one backend on the test rows, and whether they are no worse than in training.

    The other backends have been found to agree with it, label by label. A file that computes in int8
    need not agree, so it is evaluated separately.
    """
    evaluation, passes, record = evaluate_test_rows(predictor, dataset)
    rows = pluralise(evaluation.rows, "row")
    line = f"{evaluation.summary} of {rows} of {dataset.name}; {record}"
    path = space.artifact(model, "onnx", INT8_SUFFIX)
    if not path.is_file():
        return line, passes
    int8_line, int8_passes = _evaluate_int8(path, predictor.manifest, dataset)
    return f"{line}\n{int8_line}", passes and int8_passes


def _evaluate_int8(
    path: Path, manifest: infer.Manifest, dataset: trainers.Dataset
) -> tuple[str, bool]:
    from ptx.infer.artifact.accuracy import BY_ACCURACY
    from ptx.infer.verification import failures

    with infer.load(path, backend="ort-cpu") as predictor:
        if predictor.manifest.weights_sha256 != manifest.weights_sha256:
            return f"{path.name} was exported from other weights: it is skipped", True
        if failed := failures(predictor, predictor.manifest):
            return f"{path.name}: {failed[0].name}: {failed[0].detail}", False
        evaluation, passes, record = evaluate_test_rows(predictor, dataset)
    return f"{path.name}: {BY_ACCURACY}: {evaluation.summary}; {record}", passes


def _print_text(
    compared: report.ModelComparison, evaluation: str, argument: str, *, passes: bool
) -> None:
    """Print the comparison. `argument`: MODEL with the options that it needs in other commands."""
    results = compared.comparison.results
    echo(compared.table(style_result, columns()))
    for line in (*compared.differences(), evaluation):
        if line:
            echo(line)
    next_command = f"ptx report {argument}" if passes else f"ptx export {argument} --format all"
    if not passes and models.lookup(argument) is None:
        next_command = "export it again"
    agreeing = sum(result.passed for result in results)
    print_summary(
        f"{compared.model}: {agreeing} of {len(results)} backends agree",
        next_command,
        passes=passes,
    )
