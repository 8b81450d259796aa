"""Write docs/reference/models.md and models/benchmark_results.py.

Both are made from the catalog and docs/reference/results.json.

Usage: python scripts/catalog/models_page.py    (results.py calls it as its last step)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ptx.models import CATALOG

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "models.md"
BENCHMARK_RESULTS = ROOT / "models" / "benchmark_results.py"
RESULTS = ROOT / "docs" / "reference" / "results.json"
VALIDATION = "mnist-validation"

Run = dict[str, Any]


def groups(name: str, runs: list[Run]) -> list[list[Run]]:
    """The runs of a model in groups that differ only in seed or fold; the default recipe comes first."""
    grouped: dict[str, list[Run]] = {}
    for run in runs:
        if run["model"] == name:
            data = run["data"]["name"].partition("-fold-")[0] + "-fold-" * (
                "-fold-" in run["data"]["name"]
            )
            key = json.dumps([data, run["recipe"], run["options"]])
            grouped.setdefault(key, []).append(run)
    default_data = CATALOG[name].data

    def rank(group: list[Run]) -> tuple[bool, bool, bool, str]:
        run = group[0]
        return (
            run["data"]["name"] != default_data,
            run["recipe"] != "default",
            bool(run["options"]),
            run["command"],
        )

    return sorted(grouped.values(), key=rank)


def format_result(group: list[Run]) -> str:
    """The accuracy or loss of a group of runs: the median, and the range over several runs."""
    if group[0]["accuracy"] is None:
        values, number = sorted(run["loss"] for run in group), "{:.4f}"
        template = "test loss {}"
    else:
        values, number = sorted(100 * run["accuracy"] for run in group), "{:.2f}"
        template = "{} %"
    texts = [number.format(value) for value in values]
    median, over = texts[len(texts) // 2], f"{len(texts)} seeds"
    if len(texts) == 1:
        return template.format(median)
    folds = {run["data"]["name"] for run in group}
    if len(folds) > 1:
        median, over = number.format(sum(values) / len(values)), f"the mean of {len(folds)} folds"
    return f"{template.format(median)} ({texts[0]} to {texts[-1]}, {over})"


def format_results(name: str, runs: list[Run]) -> str:
    """One line for the catalog: the results of all recipes and data sets measured on test rows."""
    parts = []
    for group in groups(name, runs):
        run = group[0]
        if run["data"]["name"] == VALIDATION or run["options"]:
            continue
        where = "" if run["recipe"] == "default" else f"{run['recipe']} "
        data = run["data"]["name"].partition("-fold-")[0]
        on = "" if data == CATALOG[name].data else f" on {data}"
        parts.append(f"{where}{format_result(group)}{on}")
    return "; ".join(parts) or "not measured"


def network_row(name: str) -> str:
    """The row of one network: what it computes, where it is documented, its inputs and outputs."""
    entry = CATALOG[name]
    inputs = ", ".join(
        f"`{key}` {spec[0]} {axes(spec)}" for key, spec in entry.signature["inputs"].items()
    )
    outputs = ", ".join(f"`{key}` {axes(spec)}" for key, spec in entry.signature["outputs"].items())
    return (
        f"| `{name}` | {entry.summary} | {entry.source} | {entry.task} | {inputs} → {outputs} |"
        f" {entry.parameters:,} |"
    )


def result_rows(name: str, results: dict[str, Any]) -> Iterator[str]:
    """The results of one network on test rows; validation runs are only in results.json."""
    for group in groups(name, results["runs"]):
        run = group[0]
        if run["data"]["name"] == VALIDATION or run["options"]:
            continue
        seconds = sum(one["seconds"] for one in group) / len(group)
        data = run["data"]["name"].partition("-fold-")[0]
        yield (
            f"| `{name}` | {run['recipe']} | {data} | {format_result(group)} | {run['epochs']:,} |"
            f" {seconds:,.0f} |"
        )


def recipe_rows() -> Iterator[str]:
    """A row for each recipe, with all models that have it."""
    models: dict[tuple[str, str], list[str]] = {}
    for name, entry in CATALOG.items():
        first = "default" if "documented" in entry.recipes else "default, documented"
        for title, recipe in {first: entry.recipe, **entry.recipes}.items():
            values = ", ".join(f"{key} {value}" for key, value in recipe.items())
            models.setdefault((title, values), []).append(f"`{name}`")
    for (title, values), names in models.items():
        yield f"| {title} | {', '.join(names)} | {values} |"


def notes() -> Iterator[str]:
    """The notes of the catalog, each once."""
    models: dict[str, list[str]] = {}
    for name, entry in CATALOG.items():
        if entry.notes:
            models.setdefault(entry.notes, []).append(f"`{name}`")
    for note, names in models.items():
        yield f"- {', '.join(names)}: {note}"


def agreement_row(name: str, measured: dict[str, Any] | None) -> Iterator[str]:
    """The largest error of the backends against float64."""
    if not measured or not measured["comparison"]:
        return
    comparison = measured["comparison"]
    worst = max(comparison["backends"], key=lambda one: float(one["error"]))
    differ = sum(one["differ"] for one in comparison["backends"])
    yield (
        f"| `{name}` | {comparison['rows']:,} | {worst['error']:.1e} ({worst['backend']}) |"
        f" {comparison['tolerance']:.1e} | {differ} |"
    )


def axes(spec: list[Any]) -> str:
    """`(batch, 1, 28, 28)`."""
    return f"({', '.join(str(axis) for axis in spec[1])})"


def page(results: dict[str, Any]) -> str:
    runs = results["runs"]
    day = max(run["date"][:10] for run in runs)
    machines = "; ".join(sorted({run["machine"] for run in runs}))
    torch = ", ".join(sorted({run["versions"]["torch"] for run in runs}))
    lines = ["# The models", ""]
    lines += ["| model | network | source | task | inputs → outputs | parameters |"]
    lines += ["|---|---|---|---|---|---:|", *map(network_row, CATALOG), ""]
    lines += ["## Results", ""]
    origin = (
        f"On the test rows after the last epoch; {day}, torch {torch}, {machines}, one thread."
        " Of several seeds the median, the lowest and the highest. The command is"
        " `ptx train MODEL --recipe RECIPE --data DATA --seed SEED`; `docs/reference/results.json`"
        " has it for each run, with the versions and the digest of the data, and the runs that chose"
        " learning rates on a validation split."
    )
    lines += [origin, "", "| model | recipe | data | result | epochs | seconds |"]
    lines += ["|---|---|---|---|---:|---:|"]
    lines += [row for name in CATALOG for row in result_rows(name, results)]
    lines += [
        "",
        "## Recipes",
        "",
        "`ptx train` uses `default`; `documented` is that of the source.",
        "",
    ]
    lines += ["| recipe | models | values |", "|---|---|---|", *recipe_rows(), "", *notes(), ""]
    lines += ["## Agreement", "", "`ptx compare MODEL`: four backends against eager float64.", ""]
    lines += ["| model | rows | largest error | allowed | labels that differ |"]
    lines += ["|---|---:|---|---:|---:|"]
    proofs = results["proofs"]
    lines += [row for name in CATALOG for row in agreement_row(name, proofs.get(name))]
    return "\n".join(lines) + "\n"


def results_module(results: dict[str, Any]) -> str:
    texts = "".join(
        f'    "{name}": "{format_results(name, results["runs"])}",\n' for name in CATALOG
    )
    head = '"""The measured results of each model: written by scripts/catalog/models_page.py."""\n'
    return f"{head}\nBENCHMARK_RESULTS = {{\n{texts}}}\n"


def write_page(results: dict[str, Any]) -> None:
    PAGE.write_text(page(results))
    BENCHMARK_RESULTS.write_text(results_module(results))


def main() -> None:
    write_page(json.loads(RESULTS.read_text()))


if __name__ == "__main__":
    main()
