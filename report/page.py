"""The report of a model as one HTML page, which opens offline and can be printed."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptx.infer import Manifest
from ptx.infer.artifact.files import write_atomic
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.errors import pluralise
from ptx.infer.preprocessing import open_preprocessing
from ptx.report.charts import Series, line_chart
from ptx.report.confusion import MAX_LABELS, class_rows, confusions_view, matrix_view
from ptx.report.error_chart import error_chart_element
from ptx.report.inspection import manifest_facts
from ptx.report.text import percent

if TYPE_CHECKING:
    from jinja2 import Template

    from ptx.export import Comparison, Location
    from ptx.infer.artifact.golden import RawInput
    from ptx.infer.preprocessing import Preprocessing
    from ptx.trainers import Evaluation, LabelledPrediction

Speeds = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class EvaluatedRows:
    """How a model does on labelled rows.

    Attributes:
        data: Name of the data set.
        wrong: The most confidently wrong predictions.
        samples: Predictions of rows from the entire data set.
    """

    data: str
    evaluation: Evaluation
    wrong: Sequence[LabelledPrediction]
    samples: Sequence[LabelledPrediction]


@dataclass(frozen=True)
class Report:
    """The contents of a report.

    Attributes:
        backend: The backend that was evaluated.
        tests: None without labelled rows.
        compared_inputs: What the backends were compared on.
        layers: Name, kind and number of weights of each layer.
        skipped: Backends that were not compared, and why.
        speeds: Rows of benchmark.csv.
        no_speeds: Why there are no speeds.
        location: The errors of the nodes of an exported file; None if none was examined.
    """

    manifest: Manifest
    summary: str
    backend: str
    history: Sequence[Mapping[str, float]]
    tests: EvaluatedRows | None
    comparison: Comparison
    compared_inputs: str = ""
    layers: Sequence[tuple[str, str, int]] = ()
    skipped: Sequence[tuple[str, str]] = ()
    speeds: Speeds = ()
    no_speeds: str = "Not measured yet."
    files: Mapping[str, Path] = field(default_factory=dict)
    location: Location | None = None

    def html(self) -> str:
        """The page."""
        return read_template("page").render(
            manifest=self.manifest,
            summary=self.summary,
            version=version("ptx-toolkit"),
            provenance=[
                *manifest_facts(self.manifest),
                *(("file", path.name) for path in self.files.values()),
            ],
            has_checkpoint=CHECKPOINT in self.files,
            layers=[(name, kind, f"{weights:,}") for name, kind, weights in self.layers],
            metrics=_metrics(self),
            **_training(self.history),
            **_tests(self.tests, self.manifest),
            **_agreement(self),
            **_errors(self.location),
            **_speed(self.speeds, self.no_speeds),
        )

    def save(self, path: Path) -> int:
        """Write the page and return its size in bytes.

        Raises:
            OutputError: the file cannot be written.
        """
        content = self.html().encode()
        write_atomic(path, content)
        return len(content)


def read_template(name: str) -> Template:
    """A template of the report. Every value is escaped; a missing value is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["right_aligned"] = _right_aligned
    return environment.get_template(f"{name}.html.jinja")


def _right_aligned(rows: Sequence[Sequence[str]]) -> list[bool]:
    """Which columns contain only numbers."""
    return [
        all(cell[:1].isdigit() or cell in ("", "-") for cell in column)
        for column in zip(*rows, strict=True)
    ]


def _metrics(report: Report) -> list[tuple[str, str]]:
    """The figures at the top of the page."""
    comparison = report.comparison
    agreeing = sum(result.passed for result in comparison.results)
    metrics = [
        (f"{agreeing} of {len(comparison.results)}", f"backends agree with {comparison.reference}"),
    ]
    if report.history:
        metrics.append((str(len(report.history)), "epochs trained"))
    if report.tests is not None:
        evaluation = report.tests.evaluation
        rows = pluralise(evaluation.rows, "test row")
        quality = (
            (f"{evaluation.error:.4g}", f"root mean squared error, {rows}")
            if evaluation.accuracy is None
            else (percent(evaluation.accuracy), f"accuracy, {rows}")
        )
        evaluated = (report.backend, f"evaluated on the test rows of {report.tests.data}")
        metrics = [quality, *metrics, evaluated]
    if report.layers:
        metrics.append((f"{sum(weights for *_, weights in report.layers):,}", "weights"))
    return metrics


def _tests(tests: EvaluatedRows | None, manifest: Manifest) -> dict[str, Any]:
    """Confusion matrix, classes and predictions of the test rows."""
    if tests is None:
        return {"tested": False}
    evaluation = tests.evaluation
    preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
    confusion, is_large = evaluation.confusion, len(manifest.labels) > MAX_LABELS
    only = evaluation.only_label
    return {
        "tested": True,
        "only_label": "" if only is None else manifest.labels[only],
        "classes": [] if confusion is None else class_rows(confusion, manifest.labels),
        "matrix": None
        if confusion is None or is_large
        else matrix_view(confusion, manifest.labels),
        "confusions": confusions_view(confusion, manifest.labels)
        if confusion is not None and is_large
        else None,
        "wrong_title": "The largest errors"
        if evaluation.error is not None
        else f"The most confidently wrong {preprocessing.plural}",
        "wrong": [prediction_tile(row, preprocessing) for row in tests.wrong],
        "samples": [prediction_tile(row, preprocessing) for row in tests.samples],
    }


@dataclass(frozen=True)
class PredictionTile:
    """One prediction as the page shows it."""

    row: str
    predicted: str  # the label, or the value of a regression
    target: str
    is_correct: bool | None  # None for a regression
    score: str  # ` (98.1 %)`, or empty
    runners_up: str  # the next most probable labels
    image: str  # a `data:` URL, or empty
    text: str  # an input that is not an image


def prediction_tile(evaluated: LabelledPrediction, preprocessing: Preprocessing) -> PredictionTile:
    """The tile of a test row."""
    prediction = evaluated.prediction
    raw = preprocessing.to_raw(evaluated.value)
    return PredictionTile(
        row=f"{evaluated.row:,}",
        predicted=prediction.text,
        target=evaluated.truth,
        is_correct=None if prediction.value is not None else prediction.label == evaluated.truth,
        score="" if prediction.score is None else _percent(prediction.score),
        runners_up=", ".join(
            f"{label}\u00a0{_percent(score)}" for label, score in prediction.top[1:3]
        ),
        image=image_url(raw) if isinstance(raw, bytes) else "",
        text="" if isinstance(raw, bytes) else _text(raw, preprocessing.feature_names),
    )


def _percent(score: float) -> str:
    return f"({100 * score:.1f}\u00a0%)"


def _text(row: RawInput, columns: Sequence[str]) -> str:
    """An input that is not an image: a text, or named numbers."""
    if isinstance(row, str) or not columns:
        return str(row)
    return ", ".join(f"{name} {number:.4g}" for name, number in zip(columns, row, strict=True))


def image_url(png: bytes) -> str:
    """A PNG file as a `data:` URL."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _training(history: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Training curves and the metrics of the last epoch; empty without a history."""
    if not history:
        return {"training": "", "training_charts": []}

    def series(name: str, title: str, factor: float = 1.0) -> Series:
        return Series(title, [(row["epoch"], factor * row[name]) for row in history])

    losses = [series("train_loss", "training"), series("test_loss", "test")]
    values = [value for line in losses for _, value in line.points]
    spans_decades = min(values) > 0 and max(values) > 30 * min(values)
    title = "Loss (logarithmic)" if spans_decades else "Loss"
    charts = [line_chart(title, "epoch", "loss", losses, log_y=spans_decades)]
    if all("test_accuracy" in row for row in history):
        shares = [series("train_accuracy", "training", 100), series("test_accuracy", "test", 100)]
        charts.append(line_chart("Accuracy", "epoch", "accuracy [%]", shares))
    last = history[-1]
    seconds = sum(row["seconds"] for row in history)
    titles = {"train_loss": "training loss", "test_loss": "test loss"}
    metrics = [f"{title} {last[key]:.4g}" for key, title in titles.items() if key in last]
    if "test_accuracy" in last:
        metrics.append(f"test accuracy {percent(last['test_accuracy'])}")
    text = f"After {pluralise(len(history), 'epoch')} ({seconds:,.0f} s): {', '.join(metrics)}"
    return {"training": text, "training_charts": _safe(charts)}


def _agreement(report: Report) -> dict[str, Any]:
    comparison = report.comparison
    rows = [
        (
            result.backend,
            result.device,
            *result.errors,
            f"{result.differ:,}",
            "agrees" if result.passed else f"DIFFERS {result.failure}".strip(),
        )
        for result in comparison.results
    ]
    return {
        "compared": f"{pluralise(comparison.rows, 'input')} ({report.compared_inputs})",
        "reference": comparison.reference,
        "agreement": rows,
        "names": [result.backend for result in comparison.results],
        "between": comparison.between if comparison.labelled else [],
        "skipped": report.skipped,
    }


def _errors(location: Location | None) -> dict[str, Any]:
    """The error of each node of a file."""
    if location is None:
        return {"error_chart": "", "error_summary": "", "errors": []}
    rows = [
        (
            step.node,
            step.origin.module,
            f"{step.local.error:.2g}",
            f"{step.local.tolerance:.2g}",
            f"{step.local.share:.2g}",
        )
        for step in location.worst(5)
    ]
    (chart,) = _safe([error_chart_element(location)])
    return {"error_chart": chart, "error_summary": location.summary, "errors": rows}


def _speed(rows: Speeds, no_speeds: str) -> dict[str, Any]:
    by_backend: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        by_backend.setdefault(f"{row['backend']} on {row['device']}", []).append(row)
    columns = ("import_ms", "load_ms", "first_ms", "start_ms", "memory_mib")
    return {
        "no_speeds": no_speeds,
        "speed_charts": _safe(_speed_charts(by_backend)) if rows else [],
        "speeds": [
            (
                r["backend"],
                r["device"],
                r["batch"],
                *(f"{float(r[name]) / 1000:,.3f}" for name in ("p50_us", "p95_us", "p99_us")),
                f"{float(r['rows_per_second']):,.0f}",
            )
            for r in rows
        ],
        "starts": [
            (name, *(f"{float(first[column]):,.0f}" for column in columns), first["agrees"])
            for name, (first, *_) in by_backend.items()
        ],
        "measured_on": sorted(
            {f"{r['runtime']}; {r['machine']}; threads: {r['threads']}" for r in rows}
        ),
    }


def _speed_charts(by_backend: Mapping[str, Speeds]) -> list[str]:
    def series(column: str, factor: float = 1.0) -> list[Series]:
        return [
            Series(name, [(float(r["batch"]), factor * float(r[column])) for r in rows])
            for name, rows in by_backend.items()
        ]

    latency = series("p50_us", 1e-3)
    title, x_label = "Latency of one batch (median)", "batch size"
    return [
        line_chart(title, x_label, "ms", latency, log_x=True, log_y=True),
        line_chart(
            "Throughput", x_label, "rows/s", series("rows_per_second"), log_x=True, log_y=True
        ),
    ]


def _safe(charts: Sequence[str]) -> list[Any]:
    """Mark charts as safe HTML: matplotlib has escaped every name in them."""
    from markupsafe import Markup

    return [Markup(chart) for chart in charts]  # noqa: S704
