"""Write docs/reference/models.md and models/reached.py from the catalog and docs/reference/results.json.

Usage: python scripts/catalog/models_page.py    (results.py calls it when it has collected)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ptx.infer.errors import pluralise
from ptx.models import CATALOG, Entry

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "models.md"
REACHED = ROOT / "models" / "reached.py"
RESULTS = ROOT / "docs" / "reference" / "results.json"
HELD_OUT = "mnist-held-out"

Run = dict[str, Any]


def groups(name: str, runs: list[Run]) -> list[list[Run]]:
    """A model's runs that differ in the seed or the fold alone; default recipe and own data first."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        if run["model"] == name:
            data = run["data"]["name"].partition("-fold-")[0] + "-fold-" * (
                "-fold-" in run["data"]["name"]
            )
            key = json.dumps([data, run["recipe"], run["options"]])
            found.setdefault(key, []).append(run)
    own = CATALOG[name].data

    def rank(group: list[Run]) -> tuple[bool, bool, bool, str]:
        run = group[0]
        return (
            run["data"]["name"] != own,
            run["recipe"] != "default",
            bool(run["options"]),
            run["command"],
        )

    return sorted(found.values(), key=rank)


def reached(group: list[Run]) -> str:
    """What the runs of a group reach: the accuracy or the loss, with its spread over several."""
    if group[0]["accuracy"] is None:
        values, form = sorted(run["loss"] for run in group), "{:.4f}"
        told = "test loss {}"
    else:
        values, form = sorted(100 * run["accuracy"] for run in group), "{:.2f}"
        told = "{} %"
    texts = [form.format(value) for value in values]
    middle, over = texts[len(texts) // 2], f"{len(texts)} seeds"
    if len(texts) == 1:
        return told.format(middle)
    folds = {run["data"]["name"] for run in group}
    if len(folds) > 1:
        middle, over = form.format(sum(values) / len(values)), f"the mean of {len(folds)} folds"
    return f"{told.format(middle)} ({texts[0]} to {texts[-1]}, {over})"


def reaches(name: str, runs: list[Run]) -> str:
    """One line for the catalog: every recipe and data set that was measured on test rows."""
    parts = []
    for group in groups(name, runs):
        run = group[0]
        if run["data"]["name"] == HELD_OUT or run["options"]:
            continue
        where = "" if run["recipe"] == "default" else f"{run['recipe']} "
        data = run["data"]["name"].partition("-fold-")[0]
        on = "" if data == CATALOG[name].data else f" on {data}"
        parts.append(f"{where}{reached(group)}{on}")
    return "; ".join(parts) or "not measured"


def described(name: str, results: dict[str, Any]) -> Iterator[str]:
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
    found = groups(name, results["runs"])
    for group in found:
        yield line_of(group)
    if not any(group[0]["recipe"] == "default" and not group[0]["options"] for group in found):
        yield f"- the default recipe is not measured here yet: `ptx train {name}`"
    yield from labels(found)
    yield from proof(results["proofs"].get(name))


def recipes(entry: Entry) -> Iterator[str]:
    """A line for each recipe."""
    first = "default" if "documented" in entry.recipes else "default, documented"
    for title, recipe in {first: entry.recipe, **entry.recipes}.items():
        yield f"- recipe {title}: {', '.join(f'{key} {value}' for key, value in recipe.items())}"


def line_of(group: list[Run]) -> str:
    """What a group reaches, with its command."""
    run = group[0]
    seeds = sorted({one["seed"] for one in group})
    command = run["command"].replace(f"--seed {seeds[0]}", f"--seed {'|'.join(map(str, seeds))}")
    command = command.replace(f"--seeds {seeds[0]}", f"--seeds {' '.join(map(str, seeds))}")
    seconds = sum(one["seconds"] for one in group) / len(group)
    rows = "held-out training rows" if run["data"]["name"] == HELD_OUT else "test rows"
    data, epochs = run["data"]["name"].partition("-fold-")[0], pluralise(run["epochs"], "epoch")
    return (
        f"- `{command}`: **{reached(group)}** on {run['data']['test_rows']:,} {rows}, trained on"
        f" {run['data']['rows']:,} of {data}; {epochs}, {seconds:,.0f} s"
    )


def labels(found: list[list[Run]]) -> Iterator[str]:
    """How a model of texts does on each label, where its first run pluralise that."""
    if found and "labels" in found[0][0]:
        run = found[0][0]
        told = (f"{label} {right:,} of {rows:,}" for label, (right, rows) in run["labels"].items())
        yield f"- right with seed {run['seed']}, of the test rows of each label: {', '.join(told)}"


def proof(measured: dict[str, Any] | None) -> Iterator[str]:
    """The sizes of the files, and how far the backends are from float64."""
    if not measured or not measured["comparison"]:
        return
    sizes = ", ".join(f"{kind} {size / 1000:,.1f} kB" for kind, size in measured["sizes"].items())
    yield f"- size: {sizes}"
    comparison = measured["comparison"]
    errors = ", ".join(f"{one['backend']} {one['error']:.1e}" for one in comparison["backends"])
    differ = sum(one["differ"] for one in comparison["backends"])
    yield (
        f"- largest error against float64 over {comparison['rows']:,} rows: {errors}"
        f" (allowed {comparison['tolerance']:.1e}); labels that differ: {differ}"
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
        "Written by `scripts/catalog/models_page.py` from the catalog and"
        " `docs/reference/results.json`, which holds for each run the name and the"
        " sha256 of its data, its seed, command and versions, read"
        f" from its own checkpoint. Trained from {days[0]} to {days[-1]} with torch {torch}"
        f" on {machines}, one thread each, beside other work: times are upper bounds. Accuracy is that"
        " of the last epoch; of several runs the middle one, then the lowest and the highest. Whole"
        " MNIST and Fashion-MNIST are found under `PTX_DATA`."
    )
    lines = ["# The models", "", origin, ""]
    for name in CATALOG:
        lines += [*described(name, results), ""]
    return "\n".join(lines)


def reached_module(results: dict[str, Any]) -> str:
    texts = "".join(f'    "{name}": "{reaches(name, results["runs"])}",\n' for name in CATALOG)
    head = '"""What each model reaches: written by scripts/catalog/models_page.py."""\n'
    return f"{head}\nREACHED = {{\n{texts}}}\n"


def write_page(results: dict[str, Any]) -> None:
    PAGE.write_text(page(results))
    REACHED.write_text(reached_module(results))


def main() -> None:
    write_page(json.loads(RESULTS.read_text()))


if __name__ == "__main__":
    main()
