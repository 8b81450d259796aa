"""What is known of a model, as one HTML page: opens without a network, and prints."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptx.infer import Manifest
from ptx.infer.artifact.files import write_atomic
from ptx.infer.errors import pluralise
from ptx.infer.preprocessing import open_preprocessing
from ptx.report.charts import Series, line_chart
from ptx.report.confusion import LIMIT, confusions_view, matrix_view
from ptx.report.inspection import manifest_facts
from ptx.report.text import percent

if TYPE_CHECKING:
    from jinja2 import Template

    from ptx.export import Comparison
    from ptx.infer.artifact.golden import RawInput
    from ptx.infer.preprocessing import Preprocessing
    from ptx.trainers import Evaluation, LabelledPrediction

Speeds = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Report:
    """What a report shows.

    Attributes:
        data: The test rows' data set.
        backend: That answered the test rows.
        left_out: Backends that were not compared, and why.
        speeds: Rows of benchmark.csv.
        unmeasured: Why there are none.
    """

    manifest: Manifest
    summary: str
    data: str
    backend: str
    history: Sequence[Mapping[str, float]]
    evaluation: Evaluation
    wrong: Sequence[LabelledPrediction]
    samples: Sequence[LabelledPrediction]
    comparison: Comparison
    left_out: Sequence[tuple[str, str]] = ()
    speeds: Speeds = ()
    unmeasured: str = "Not measured yet."
    files: Mapping[str, Path] = field(default_factory=dict)

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
            **_training(self.history),
            **_tests(self),
            **_agreement(self),
            **_speed(self.speeds, self.unmeasured),
        )

    def save(self, path: Path) -> int:
        """Write the page; its size in bytes. OutputError where it cannot be written."""
        content = self.html().encode()
        write_atomic(path, content)
        return len(content)


def read_template(name: str) -> Template:
    """A template of the report; every value is escaped, and one that is not given an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["flush"] = _flush
    return environment.get_template(f"{name}.html.jinja")


def _flush(rows: Sequence[Sequence[str]]) -> list[bool]:
    """Which columns hold figures, and so stand to the right."""
    return [
        all(cell[:1].isdigit() or cell in ("", "-") for cell in column)
        for column in zip(*rows, strict=True)
    ]


def _tests(found: Report) -> dict[str, Any]:
    """What the test rows show: the figures, the confusions, the answers."""
    evaluation, comparison, manifest = found.evaluation, found.comparison, found.manifest
    agree = sum(result.passed for result in comparison.results)
    rows = pluralise(evaluation.rows, "test row")
    reached = (
        (f"{evaluation.error:.4g}", f"root mean squared error, {rows}")
        if evaluation.accuracy is None
        else (percent(evaluation.accuracy), f"accuracy, {rows}")
    )
    preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
    whole, many = evaluation.confusion, len(manifest.labels) > LIMIT
    return {
        "figures": [
            reached,
            (f"{agree} of {len(comparison.results)}", "backends agree with float64"),
            (str(len(found.history)), "epochs trained"),
            (found.backend, f"answered the test rows of {found.data}"),
        ],
        "matrix": None if whole is None or many else matrix_view(whole, manifest.labels),
        "few": confusions_view(whole, manifest.labels) if whole is not None and many else None,
        "wrong_title": "The largest errors"
        if evaluation.error is not None
        else f"The most confidently wrong {preprocessing.noun}",
        "wrong": [prediction_tile(one, preprocessing) for one in found.wrong],
        "samples": [prediction_tile(one, preprocessing) for one in found.samples],
    }


@dataclass(frozen=True)
class PredictionTile:
    """One answer as the page shows it."""

    row: str
    given: str  # the label, or the value of a regression
    truth: str
    right: bool | None  # None of a regression, where nothing is exact
    score: str  # ` (98.1 %)`, or nothing
    others: str  # the labels after the first
    picture: str  # a `data:` address, or nothing
    text: str  # of an input that is no picture


def prediction_tile(answer: LabelledPrediction, preprocessing: Preprocessing) -> PredictionTile:
    """What the page says of a test row."""
    given = answer.prediction
    row = preprocessing.raw(answer.value)
    return PredictionTile(
        row=f"{answer.row:,}",
        given=given.text,
        truth=answer.truth,
        right=None if given.value is not None else given.label == answer.truth,
        score="" if given.score is None else _share(given.score),
        others=", ".join(f"{name}\u00a0{_share(part)}" for name, part in given.top[1:3]),
        picture=picture_url(row) if isinstance(row, bytes) else "",
        text="" if isinstance(row, bytes) else _text(row, preprocessing.columns),
    )


def _share(score: float) -> str:
    return f"({100 * score:.1f}\u00a0%)"


def _text(row: RawInput, columns: Sequence[str]) -> str:
    """An input that is no picture: a text or named numbers."""
    if isinstance(row, str) or not columns:
        return str(row)
    return ", ".join(f"{name} {number:.4g}" for name, number in zip(columns, row, strict=True))


def picture_url(png: bytes) -> str:
    """A PNG file inside a `data:` address."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _training(history: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Curves and the last epoch's figures; nothing where there is no history."""
    if not history:
        return {"training": "", "training_charts": []}

    def series(name: str, title: str, factor: float = 1.0) -> Series:
        return Series(title, [(row["epoch"], factor * row[name]) for row in history])

    losses = [series("train_loss", "training"), series("test_loss", "test")]
    values = [value for one in losses for _, value in one.points]
    wide = min(values) > 0 and max(values) > 30 * min(values)
    title = "Loss, logarithmic" if wide else "Loss"
    charts = [line_chart(title, "epoch", "loss", losses, log_y=wide)]
    if all("test_accuracy" in row for row in history):
        shares = [series("train_accuracy", "training", 100), series("test_accuracy", "test", 100)]
        charts.append(line_chart("Accuracy", "epoch", "accuracy [%]", shares))
    last = history[-1]
    seconds = sum(row["seconds"] for row in history)
    titles = {"train_loss": "training loss", "test_loss": "test loss"}
    figures = [f"{title} {last[key]:.4g}" for key, title in titles.items() if key in last]
    if "test_accuracy" in last:
        figures.append(f"test accuracy {percent(last['test_accuracy'])}")
    text = f"After {pluralise(len(history), 'epoch')} ({seconds:,.0f} s): {', '.join(figures)}"
    return {"training": text, "training_charts": _safe(charts)}


def _agreement(found: Report) -> dict[str, Any]:
    comparison = found.comparison
    rows = [
        (
            r.backend,
            r.device,
            *r.errors,
            f"{r.differ:,}",
            "agrees" if r.passed else f"DIFFERS {r.failure}".strip(),
        )
        for r in comparison.results
    ]
    return {
        "compared": pluralise(comparison.rows, "input"),
        "reference": comparison.reference,
        "agreement": rows,
        "names": [result.backend for result in comparison.results],
        "between": comparison.between if comparison.labelled else [],
        "left_out": found.left_out,
    }


def _speed(rows: Speeds, unmeasured: str) -> dict[str, Any]:
    lines: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        lines.setdefault(f"{row['backend']} on {row['device']}", []).append(row)
    columns = ("import_ms", "load_ms", "first_ms", "start_ms", "memory_mib")
    return {
        "unmeasured": unmeasured,
        "speed_charts": _safe(_speed_charts(lines)) if rows else [],
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
            (name, *(f"{float(mine[0][column]):,.0f}" for column in columns), mine[0]["agrees"])
            for name, mine in lines.items()
        ],
        "measured_on": sorted(
            {f"{r['runtime']}; {r['machine']}; threads: {r['threads']}" for r in rows}
        ),
    }


def _speed_charts(lines: Mapping[str, Speeds]) -> list[str]:
    def series(column: str, factor: float = 1.0) -> list[Series]:
        return [
            Series(name, [(float(r["batch"]), factor * float(r[column])) for r in rows])
            for name, rows in lines.items()
        ]

    latency = series("p50_us", 1e-3)
    title, x_label = "Latency of one batch (median)", "rows in a batch"
    return [
        line_chart(title, x_label, "ms", latency, log_x=True, log_y=True),
        line_chart(
            "Throughput", x_label, "rows/s", series("rows_per_second"), log_x=True, log_y=True
        ),
    ]


def _safe(charts: Sequence[str]) -> list[Any]:
    """Charts as they are: matplotlib has escaped every name in them."""
    from markupsafe import Markup

    return [Markup(chart) for chart in charts]  # noqa: S704
