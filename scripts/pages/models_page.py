"""Write docs/models.md from the catalog and the results of scripts/train_all.

Usage: python scripts/pages/models_page.py runs/all/results.json --machine "2 cores" --date 2026-01-31
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ptx.infer.errors import counted
from ptx.models.catalog import CATALOG, Entry

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def reached(entry: Entry, runs: list[dict[str, Any]]) -> str:
    """What the runs reach: the accuracy, with its spread where there are several seeds."""
    if runs[0]["accuracy"] is None:
        return f"test loss {runs[0]['loss']:.4f}"
    values = sorted(100 * run["accuracy"] for run in runs)
    if len(values) == 1:
        return f"{values[0]:.2f} %"
    middle = values[len(values) // 2]
    return f"{middle:.2f} % ({values[0]:.2f} to {values[-1]:.2f} over {len(values)} seeds)"


def describe(name: str, result: dict[str, Any] | None) -> Iterator[str]:
    """The section of one model."""
    entry = CATALOG[name]
    yield f"## {name}\n"
    yield f"{entry.summary[0].upper()}{entry.summary[1:]}. {entry.source}.\n"
    inputs = "; ".join(
        f"`{key}` {spec[0]} {axes(spec)}" for key, spec in entry.signature["inputs"].items()
    )
    outputs = "; ".join(f"`{key}` {axes(spec)}" for key, spec in entry.signature["outputs"].items())
    yield f"- {inputs} → {outputs}; {entry.task}; {counted(entry.parameters, 'parameter')}"
    recipe = ", ".join(f"{key} {value}" for key, value in entry.recipe.items())
    yield f"- data `{entry.data}`; recipe: {recipe}"
    if entry.notes:
        yield f"- {entry.notes}"
    if result is None:
        yield "- not measured"
        return
    runs, proof = result["runs"], result["proof"]
    comparison = proof["comparison"]
    seconds = sum(run["seconds"] for run in runs) / len(runs)
    yield (
        f"- reaches **{reached(entry, runs)}** on {comparison['rows']:,} test rows after"
        f" {runs[0]['epochs']} epochs, {seconds:.0f} s"
    )
    if "folds" in result:
        folds = [100 * value for value in result["folds"]]
        mean = sum(folds) / len(folds)
        yield f"- 5-fold: **{mean:.1f} %** ({min(folds):.1f} to {max(folds):.1f})"
    sizes = ", ".join(f"{kind} {size / 1000:,.1f} kB" for kind, size in proof["sizes"].items())
    yield f"- size: {sizes}"
    errors = ", ".join(f"{one['backend']} {one['error']:.1e}" for one in comparison["backends"])
    differ = sum(one["differ"] for one in comparison["backends"])
    yield (
        f"- largest error against float64: {errors} (allowed {comparison['tolerance']:.1e});"
        f" labels that differ: {differ}"
    )


def axes(spec: list[Any]) -> str:
    """`(batch, 1, 28, 28)`."""
    return f"({', '.join(str(axis) for axis in spec[1])})"


def page(results: dict[str, Any], arguments: argparse.Namespace) -> str:
    """The whole page."""
    origin = (
        "Made by `scripts/pages/models_page.py` from the catalog and what `scripts/train_all` measured"
        f" on {arguments.date} on {arguments.machine}, torch {version('torch')}, ONNX Runtime"
        f" {version('onnxruntime-gpu')}. Accuracy is that of the last epoch on the test rows; the"
        " time is that of the epochs, with their tests. Command:"
    )
    lines = ["# The models", "", origin, "", f"    {arguments.command}", ""]
    if arguments.remark:
        lines += [arguments.remark, ""]
    for name in CATALOG:
        lines += [*describe(name, results.get(name)), ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--machine", required=True)
    parser.add_argument("--date", required=True)
    parser.add_argument("--command", default="PTX_DATA=... ./scripts/train_all --seeds 0 1 2")
    parser.add_argument("--remark", default="", help="a paragraph below the command")
    arguments = parser.parse_args()
    PAGE.write_text(page(json.loads(arguments.results.read_text()), arguments))


if __name__ == "__main__":
    main()
