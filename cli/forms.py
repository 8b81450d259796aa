"""The forms of an export beside the plain one: fewer bits in weights, int8, pixels as inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click

import ptx.export as exporting
from ptx import infer, report
from ptx.cli import options
from ptx.cli.dataset import RealRows, find_own_rows, open_own_data
from ptx.cli.exporting import quiet_exporters
from ptx.cli.param_types import Number
from ptx.cli.terminal import Progress, print_note, verdict
from ptx.cli.workspace import Workspace
from ptx.infer.errors import UsageError
from ptx.infer.ranges import DROP

PLAIN = "float32"
WEIGHTS = (PLAIN, "float16", "int8")
COMPUTE = (PLAIN, "int8")
IN_INT8 = ".compute-int8"  # of the file's name
ARRAYS = "arrays"
INPUTS = (ARRAYS, "pixels")
AUTO, ORT = "auto", "ort"
RUNTIMES = (AUTO, "javascript", ORT)
MAX_DROP = 0.1  # points

asked = options.group(
    click.option(
        "--weights",
        type=click.Choice(WEIGHTS),
        default=PLAIN,
        show_default=True,
        help="Round the network's weights, prove the rounded network and store them so: a file"
        " of a half or a quarter, NAME.int8.onnx. What rounding costs is counted on the test"
        " rows.",
    ),
    click.option(
        "--compute",
        type=click.Choice(COMPUTE),
        default=PLAIN,
        show_default=True,
        help="int8: two to three times as fast where convolutions or matrices are large,"
        " NAME.compute-int8.onnx; written only where accuracy, labels and speed hold on the"
        " rows of the training (--data).",
    ),
    click.option(
        "--max-accuracy-drop",
        "max_drop",
        type=Number(DROP),
        metavar="POINTS",
        help=f"Of --compute int8, instead of {MAX_DROP:g} points of the test answers.",
    ),
    click.option(
        "--for-size",
        is_flag=True,
        help="Of --compute int8: take a file that is no faster, if it is smaller.",
    ),
    click.option(
        "--inputs",
        type=click.Choice(INPUTS),
        default=ARRAYS,
        show_default=True,
        help="pixels: uint8, of pictures of the model's size; scaling, softmax and the label's"
        " index become part of the graph, NAME.pixels.onnx.",
    ),
    click.option(
        "--runtime",
        type=click.Choice(RUNTIMES),
        default=AUTO,
        show_default=True,
        help="Of a page, --format html: what computes in it. auto: plain JavaScript where it"
        " has all operators and a row takes at most 20 MFLOP, else ort where npm's"
        " onnxruntime-web is at hand. ort: ONNX Runtime's WebAssembly; said by name, the file"
        " is NAME.ort.html.",
    ),
)


@dataclass(frozen=True)
class Form:
    """What of an export is not plain."""

    weights: str
    compute: str
    max_drop: float | None
    for_size: bool
    inputs: str
    runtime: str

    @property
    def in_int8(self) -> bool:
        """Whether the file computes so."""
        return self.compute != PLAIN

    @property
    def suffix(self) -> str:
        """What stands before a file's own: `.int8.pixels`, `.compute-int8`; or nothing."""
        compute = IN_INT8[1:] if self.in_int8 else PLAIN
        parts = [
            part for part in (self.weights, compute, self.inputs) if part not in (PLAIN, ARRAYS)
        ]
        return "".join(f".{part}" for part in (*parts, *([ORT] if self.runtime == ORT else [])))

    def following(self, target: Path) -> str:
        """What to try next with a file of it; nothing of the plain form."""
        return f"ptx verify {target}" if self.suffix else ""

    def check(self, names: Sequence[str]) -> None:
        """Refuse formats that cannot hold it, and options that say nothing, before any work."""
        from ptx.export.formats import find_attach, find_compute, find_store

        for name in names:
            if self.weights != PLAIN:
                find_store(name)
            if self.in_int8:
                find_compute(name)
            if self.runtime != AUTO:
                find_attach(name, self.runtime)
        if self.in_int8 and self.weights != PLAIN:
            raise UsageError(
                f"--weights {self.weights} and --compute int8 both round the weights: give one of them"
            )
        if not self.in_int8 and (self.for_size or self.max_drop is not None):
            raise UsageError("--max-accuracy-drop and --for-size are said of --compute int8 alone")

    def take(self, rows: RealRows) -> RealRows:
        """The rows with the model in this form."""
        trained = rows.trained
        if self.runtime != AUTO:
            trained = replace(trained, runtime=self.runtime)
        if self.weights != PLAIN:
            trained = exporting.round_weights(trained, self.weights)
        if self.inputs != ARRAYS:
            trained = exporting.take_pixels(trained)
        return replace(rows, trained=trained)


def say_cost(form: Form, rows: RealRows, path: Path, data: str | None, workspace: Path) -> None:
    """Print what rounding the model of `rows` into the file cost on its test rows, where it was."""
    if form.weights == PLAIN:
        return
    split = rows.split or find_own_rows(rows.trained.card, data, workspace)
    if split is None:
        print_note(
            "what rounding costs was not counted: the model's data are not at hand; give --data"
        )
        return
    backend = exporting.FORMATS[infer.read_artifact(path).kind].backend
    with infer.load(path, backend=backend, trust=True) as predictor:  # it was made in this process
        verdict(f"rounding: {report.rounding_cost(rows.trained, predictor, split)}")


def export_int8(
    trained: exporting.TrainedModel,
    form: Form,
    target: Path,
    *,
    opset: int | None,
    data: str | None,
    space: Workspace,
) -> None:
    """Make a file that computes in int8, put it to its gates and say what they found."""
    from ptx.export.int8.exporting import check_model

    check_model(trained)
    dataset = open_own_data(trained.card, data, space.root)
    drop = MAX_DROP if form.max_drop is None else form.max_drop
    trial = report.make_trial(trained, dataset, max_drop=drop, for_size=form.for_size)
    with Progress("proving onnx", "runs") as progress, quiet_exporters():
        done = exporting.export_int8(
            trained,
            target,
            trial,
            opset=opset,
            announce=partial(space.note_export, target, "onnx"),
            progress=progress.reach,
        )
    found = done.found
    verdict(
        f"{done.path}: {report.file_size(done.size)} instead of {report.file_size(done.plain)},"
        f" {found.speed}, {found.alone:,} rows the same alone and in a batch"
    )
    verdict(str(found.accuracy))
