"""The report as one HTML page: a template filled with tables, pictures and charts.

Every label, name and path goes through `escape`; nothing on the page is fetched or run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from ptx.cli.charts import Series, line_chart
from ptx.cli.report_cards import cards_html
from ptx.cli.report_tables import confusion_html, pairs_html, table_html
from ptx.cli.terminal import percent
from ptx.cli.verbs.inspect import card_pairs
from ptx.infer.errors import counted

if TYPE_CHECKING:
    from ptx.export import Comparison
    from ptx.infer.artifact.card import Card
    from ptx.trainers import Evaluation
    from ptx.trainers.evaluation import Answered

TEMPLATE = Path(__file__).parent / "report.html"
NOUNS = {"image": "pictures", "photo": "pictures", "text": "texts", "columns": "rows"}


@dataclass(frozen=True)
class Findings:
    """What a report shows."""

    card: Card
    summary: str
    data: str  # the test rows' data set
    backend: str  # that answered the test rows
    history: Sequence[Mapping[str, float]]
    evaluation: Evaluation
    wrong: Sequence[Answered]
    samples: Sequence[Answered]
    comparison: Comparison
    left_out: Sequence[tuple[str, str]]  # backends that were not compared, and why
    speeds: Sequence[Mapping[str, str]]  # rows of benchmark.csv
    benchmark: str  # HTML: the command that makes them, or what is wrong with the file
    files: Mapping[str, Path] = field(default_factory=dict)


def report_page(found: Findings) -> str:
    """The page."""
    regression = found.evaluation.error is not None
    kind = found.card.preprocessing["kind"]
    noun = NOUNS.get(kind, "sequences")
    title = "The largest errors" if regression else f"The most confidently wrong {noun}"
    return Template(TEMPLATE.read_text("utf-8")).substitute(
        model=escape(found.card.model),
        summary=escape(found.summary),
        figures=_figures(found),
        training=_training(found.history),
        confusion=confusion_html(found.evaluation.confusion, found.card.labels, found.card.task),
        wrong_title=escape(title),
        wrong=cards_html(found.wrong, found.card) or "<p>None: every answer is right.</p>",
        samples=cards_html(found.samples, found.card),
        agreement=_agreement(found),
        speed=_speed(found),
        provenance=table_html((), [*card_pairs(found.card), *_files(found.files)]),
        version=escape(version("ptx")),
    )


def _figures(found: Findings) -> str:
    evaluation, comparison = found.evaluation, found.comparison
    agree = sum(result.holds for result in comparison.results)
    rows = counted(evaluation.rows, "test row")
    first = (
        (f"{evaluation.error:.4g}", f"root mean squared error, {rows}")
        if evaluation.accuracy is None
        else (percent(evaluation.accuracy), f"accuracy, {rows}")
    )
    pairs = [
        first,
        (f"{agree} of {len(comparison.results)}", "backends agree with float64"),
        (str(len(found.history)), "epochs trained"),
        (found.backend, f"answered the test rows of {found.data}"),
    ]
    return "".join(f"<li><b>{escape(b)}</b><span>{escape(text)}</span></li>" for b, text in pairs)


def _training(history: Sequence[Mapping[str, float]]) -> str:
    if not history:
        return "<p>The checkpoint has no history: it holds weights alone.</p>"

    def series(name: str, title: str, factor: float = 1.0) -> Series:
        return Series(title, [(row["epoch"], factor * row[name]) for row in history])

    losses = [series("train_loss", "training"), series("test_loss", "test")]
    values = [value for one in losses for _, value in one.points]
    wide = min(values) > 0 and max(values) > 30 * min(values)
    title = "Loss, logarithmic" if wide else "Loss"
    charts = [line_chart(title, "epoch", "loss", losses, log_y=wide)]
    if all("test_accuracy" in row for row in history):
        accuracies = [
            series("train_accuracy", "training", 100),
            series("test_accuracy", "test", 100),
        ]
        charts.append(line_chart("Accuracy", "epoch", "accuracy [%]", accuracies))
    last = history[-1]
    seconds = sum(row["seconds"] for row in history)
    text = f"After {counted(len(history), 'epoch')} ({seconds:,.0f} s): " + ", ".join(
        f"{title} {100 * last[key]:.2f} %" if "accuracy" in key else f"{title} {last[key]:.4g}"
        for key, title in (
            ("train_loss", "training loss"),
            ("test_loss", "test loss"),
            ("test_accuracy", "test accuracy"),
        )
        if key in last
    )
    note = (
        "<p class='quiet'>Training figures are running means over the epoch, with dropout; test"
        " figures are taken after it.</p>"
    )
    return f"<p>{escape(text)}.</p><div class='charts'>{''.join(charts)}</div>{note}"


def _agreement(found: Findings) -> str:
    comparison = found.comparison
    rows = [
        (r.backend, r.device, "-" if r.failure else f"{r.error:.1e}",
         "-" if r.failure else f"{r.tolerance:.1e}",
         f"{r.differ:,}", "agrees" if r.holds else f"DIFFERS {r.failure}".strip())
        for r in comparison.results
    ]  # fmt: skip
    text = (
        f"<p>{counted(comparison.rows, 'input')} on every backend, against"
        f" {escape(comparison.reference)}. Allowed is eight times what eager float32 itself shows.</p>"
    )
    table = table_html(("backend", "device", "largest error", "allowed", "labels differ", ""), rows)
    matrix = ""
    if any(cell is not None for row in comparison.between for cell in row):
        names = [result.backend for result in comparison.results]
        matrix = pairs_html(names, comparison.between)
    absent = "".join(
        f"<p class='quiet'>{escape(n)} is left out: {escape(why)}</p>" for n, why in found.left_out
    )
    return f"{text}<div class='wide'>{table}</div>{matrix}{absent}"


def _speed(found: Findings) -> str:
    if not found.speeds:
        return f"<p>{found.benchmark}</p>"
    lines: dict[str, list[Mapping[str, str]]] = {}
    for row in found.speeds:
        lines.setdefault(f"{row['backend']} on {row['device']}", []).append(row)

    def series(column: str, factor: float = 1.0) -> list[Series]:
        return [
            Series(name, [(float(r["batch"]), factor * float(r[column])) for r in rows])
            for name, rows in lines.items()
        ]

    axes = {"log_x": True, "log_y": True}
    charts = line_chart(
        "Latency of one batch (median)", "rows in a batch", "ms", series("p50_us", 1e-3), **axes
    ) + line_chart("Throughput", "rows in a batch", "rows/s", series("rows_per_second"), **axes)
    header = ("backend", "device", "batch", "p50 [ms]", "p95 [ms]", "p99 [ms]", "rows/s")
    cells = [
        (r["backend"], r["device"], r["batch"],
         *(f"{float(r[name]) / 1000:,.3f}" for name in ("p50_us", "p95_us", "p99_us")),
         f"{float(r['rows_per_second']):,.0f}")
        for r in found.speeds
    ]  # fmt: skip
    table = f"<div class='wide'>{table_html(header, cells)}</div>"
    return f"<div class='charts'>{charts}</div>{table}{_starts(lines)}"


def _starts(lines: Mapping[str, Sequence[Mapping[str, str]]]) -> str:
    """What each backend's process took to start, and what the figures were measured with."""
    header = ("backend", "import [ms]", "load [ms]", "first run [ms]", "start [ms]", "memory [MiB]",
              "agrees")  # fmt: skip
    columns = ("import_ms", "load_ms", "first_ms", "start_ms", "memory_mib")
    cells = [
        (name, *(f"{float(rows[0][column]):,.0f}" for column in columns), rows[0]["agrees"])
        for name, rows in lines.items()
    ]
    about = {f"{row['runtime']}; {row['machine']}; threads: {row['threads']}"
             for rows in lines.values() for row in rows}  # fmt: skip
    notes = "".join(f"<p class='quiet'>{escape(one)}</p>" for one in sorted(about))
    return f"<div class='wide'>{table_html(header, cells)}</div>{notes}"


def _files(files: Mapping[str, Path]) -> list[tuple[str, str]]:
    return [("file", path.name) for path in files.values()]
