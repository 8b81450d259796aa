"""Write docs/reference/models.md and models/benchmark_results.py.

Both are made from the catalog and docs/reference/results.json.

Usage: python scripts/catalog/models_page.py    (results.py calls it as its last step)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ptx.infer.errors import pluralise
from ptx.models import CATALOG, ModelEntry

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


def section(name: str, results: dict[str, Any]) -> Iterator[str]:
    """The section of one model."""
    entry = CATALOG[name]
    yield f"## {name}\n"
    yield f"{entry.summary[0].upper()}{entry.summary[1:]}. {entry.source}.\n"
    inputs = "; ".join(
        f"`{key}` {spec[0]} {axes(spec)}" for key, spec in entry.signature["inputs"].items()
    )
    outputs = "; ".join(f"`{key}` {axes(spec)}" for key, spec in entry.signature["outputs"].items())
    yield f"- {inputs} → {outputs}; {entry.task}; {pluralise(entry.parameters, 'parameter')}"
    yield from recipes(entry)
    if entry.notes:
        yield f"- {entry.notes}"
    yield from agreement(results["proofs"].get(name))
    grouped = groups(name, results["runs"])
    if grouped:
        yield "\n| command | result | rows: training, test | epochs | seconds |"
        yield "|---|---|---|---|---|"
        yield from map(row, grouped)


def recipes(entry: ModelEntry) -> Iterator[str]:
    """A line for each recipe."""
    first = "default" if "documented" in entry.recipes else "default, documented"
    for title, recipe in {first: entry.recipe, **entry.recipes}.items():
        yield f"- recipe {title}: {', '.join(f'{key} {value}' for key, value in recipe.items())}"


def row(group: list[Run]) -> str:
    """A row of the table of results: runs that differ only in the seed or fold."""
    run = group[0]
    seeds = sorted({one["seed"] for one in group})
    command = run["command"].replace(f"--seed {seeds[0]}", f"--seed {','.join(map(str, seeds))}")
    command = command.replace(f"--seeds {seeds[0]}", f"--seeds {' '.join(map(str, seeds))}")
    seconds = sum(one["seconds"] for one in group) / len(group)
    data = run["data"]["name"].partition("-fold-")[0]
    rows = f"{data}: {run['data']['rows']:,}, {run['data']['test_rows']:,}"
    return f"| `{command}` | {format_result(group)} | {rows} | {run['epochs']:,} | {seconds:,.0f} |"


def agreement(measured: dict[str, Any] | None) -> Iterator[str]:
    """The largest error of the backends against float64."""
    if not measured or not measured["comparison"]:
        return
    comparison = measured["comparison"]
    worst = max(comparison["backends"], key=lambda one: float(one["error"]))
    differ = sum(one["differ"] for one in comparison["backends"])
    yield (
        f"- {len(comparison['backends'])} backends, {comparison['rows']:,} rows: largest error"
        f" {worst['error']:.1e} ({worst['backend']}), allowed {comparison['tolerance']:.1e};"
        f" {differ} labels differ"
    )


def axes(spec: list[Any]) -> str:
    """`(batch, 1, 28, 28)`."""
    return f"({', '.join(str(axis) for axis in spec[1])})"


def page(results: dict[str, Any]) -> str:
    runs = results["runs"]
    days = sorted({run["date"][:10] for run in runs})
    machines = "; ".join(sorted({run["machine"] for run in runs}))
    torch = ", ".join(sorted({run["versions"]["torch"] for run in runs}))
    origin = (
        f"Trained from {days[0]} to {days[-1]} with torch {torch} on {machines}. Each run used one"
        " thread on a busy machine, so the times are upper bounds. The results are those of the last"
        " epoch on the test rows; of several seeds the median, the lowest and the highest."
        " `mnist-validation` is a validation split of the training rows. `docs/reference/results.json`"
        " has the command, the versions and the digest of the data for each run;"
        " `scripts/catalog/models_page.py` writes this page."
    )
    lines = ["# The models", "", origin, ""]
    for name in CATALOG:
        lines += [*section(name, results), ""]
    return "\n".join(lines)


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
