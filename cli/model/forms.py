"""The forms of an export beside the plain one: weights in fewer bits, pixels as inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

import ptx.export as exporting
from ptx import infer, report
from ptx.cli.output.terminal import note, verdict
from ptx.cli.values.dataset import RealRows, find_own_rows

PLAIN = "float32"
WEIGHTS = (PLAIN, "float16", "int8")
ARRAYS = "arrays"
INPUTS = (ARRAYS, "pixels")

weights_option = click.option(
    "--weights", type=click.Choice(WEIGHTS), default=PLAIN, show_default=True,
    help="Round the network's weights, prove the rounded network and store them so: a file of a half or"
    " a quarter, NAME.int8.onnx. What rounding costs is counted on the test rows.",
)  # fmt: skip
PLAIN_RUNTIME = "javascript"
runtime_option = click.option(
    "--runtime", type=click.Choice((PLAIN_RUNTIME, "ort")), default=PLAIN_RUNTIME, show_default=True,
    help="Of a page, --format html: what computes in it. ort: ONNX Runtime's WebAssembly, for operators"
    " that plain JavaScript lacks and for large networks, NAME.ort.html; of npm's onnxruntime-web.",
)  # fmt: skip
inputs_option = click.option(
    "--inputs", type=click.Choice(INPUTS), default=ARRAYS, show_default=True,
    help="pixels: uint8, of pictures of the model's size; scaling, softmax and the label's index become"
    " part of the graph, NAME.pixels.onnx.",
)  # fmt: skip


def check_form(names: Sequence[str], weights: str, runtime: str) -> None:
    """Refuse a format that cannot hold the weights or the runtime, before any work."""
    from ptx.export.formats import find_attach, find_store

    for name in names if weights != PLAIN else ():
        find_store(name)
    for name in names if runtime != PLAIN_RUNTIME else ():
        find_attach(name, runtime)


def take_form(rows: RealRows, weights: str, inputs: str, runtime: str) -> tuple[RealRows, str]:
    """The rows with the model in that form; and what stands before a file's suffix: `.int8.pixels`."""
    trained = rows.trained
    if runtime != PLAIN_RUNTIME:
        trained = replace(trained, runtime=runtime)
    if weights != PLAIN:
        trained = exporting.round_weights(trained, weights)
    if inputs != ARRAYS:
        trained = exporting.take_pixels(trained)
    parts = (weights, inputs, runtime)
    form = "".join(f".{part}" for part in parts if part not in (PLAIN, ARRAYS, PLAIN_RUNTIME))
    return replace(rows, trained=trained), form


def say_cost(rows: RealRows, path: Path, data: str | None, workspace: Path) -> None:
    """Print what rounding the model of `rows` into the file cost on its test rows."""
    split = rows.split or find_own_rows(rows.trained.card, data, workspace)
    if split is None:
        note("what rounding costs was not counted: the model's data are not at hand; give --data")
        return
    backend = exporting.FORMATS[infer.read_artifact(path).kind].backend
    with infer.load(path, backend=backend, trust=True) as predictor:  # it was made in this process
        verdict(f"rounding: {report.rounding_cost(rows.trained, predictor, split)}")
