"""Train, export and compare every model of the catalog through the command line; print one table.

The results are also written to results.json in the workspace, in the form of
docs/reference/results.json, which `python scripts/catalog/results.py WORKSPACE` brings up to date from a
run over the whole data.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from models_page import format_result, groups
from results import collect, ptx

from ptx.models import CATALOG
from ptx.trainers import default_recipe, train
from ptx.trainers.data.tables import diabetes_folds

FAST_EPOCHS = 2  # of a model that trains on pictures or names
FAST_ROWS = ("image", "text")  # kinds of input whose epochs take seconds


def train_model(name: str, seed: int, options: argparse.Namespace) -> None:
    """Train once; nothing where the workspace has it and may be reused."""
    workspace = options.workspace / f"seed-{seed}"
    arguments = ["train", name, "--seed", str(seed)]
    if options.data and CATALOG[name].data.endswith("mnist"):
        arguments += ["--data", options.data]
    if options.fast and CATALOG[name].preprocessing["kind"] in FAST_ROWS:
        arguments += ["--epochs", str(FAST_EPOCHS)]
    if options.reuse and (workspace / name / "metrics.csv").exists():
        return
    code, _ = ptx(*arguments, workspace=str(workspace))
    if code:
        raise SystemExit(f"ptx {' '.join(arguments)} ended with {code}")


def train_folds(seed: int, options: argparse.Namespace) -> None:
    """Train the diabetes model on each of five folds, each of which leaves other rows to the test."""
    for dataset in diabetes_folds():
        folder = options.workspace / dataset.name / f"seed-{seed}" / "diabetes"
        if not (options.reuse and (folder / "metrics.csv").exists()):
            train("diabetes", dataset, default_recipe("diabetes"), folder=folder, seed=seed)


def row(name: str, results: dict[str, Any]) -> str:
    group, proof = groups(name, results["runs"])[0], results["proofs"][name]
    comparison = proof["comparison"] or {"backends": [], "rows": 0}
    differ = sum(one["differ"] for one in comparison["backends"])
    backends = sum(one["passes"] for one in comparison["backends"])
    verdict = "agrees" if proof["exported"] and proof["agrees"] else "DIFFERS"
    seconds = sum(one["seconds"] for one in group) / len(group)
    return (
        f"{name:20} {group[0]['epochs']:6} {seconds:8.1f} {format_result(group):>35}"
        f" {comparison['rows']:7,} {backends:8} {differ:7} {verdict}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fast", action="store_true", help="two epochs on the bundled data")
    parser.add_argument("--data", help="of the models that train on pictures")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--models", nargs="+", default=list(CATALOG), choices=list(CATALOG))
    parser.add_argument("--workspace", type=Path, default=Path("runs/all"))
    parser.add_argument(
        "--reuse", action="store_true", help="take what the workspace holds; train what is missing"
    )
    options = parser.parse_args()
    if options.fast and not options.data:
        options.data = "bundled"
    options.workspace.mkdir(parents=True, exist_ok=True)
    for name in options.models:
        for seed in options.seeds:
            train_model(name, seed, options)
            if name == "diabetes":
                train_folds(seed, options)
    results = collect([options.workspace], options.workspace / "results.json", prove=True)
    header = (
        f"{'epochs':>6} {'seconds':>8} {'result':>35} {'rows':>7} {'backends':>8} {'differ':>7}"
    )
    print(f"{'model':20} {header}")
    for name in options.models:
        print(row(name, results))
    return 0 if all(results["proofs"][name]["agrees"] for name in options.models) else 1


if __name__ == "__main__":
    sys.exit(main())
