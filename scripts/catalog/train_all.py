"""Train, export and compare every model of the catalog through the command line; print one table.

The results are also written to results.json in the workspace, from which
scripts/pages/models_page.py makes docs/models.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ptx.models.catalog import CATALOG

FORMATS = {"onnx": ".onnx", "torchscript": ".torchscript", "pt2": ".pt2"}
FAST_EPOCHS = 2  # of a model that trains on pictures or names
FAST_ROWS = ("image", "text")  # kinds of input whose epochs take seconds


def run(*arguments: str, workspace: Path) -> tuple[int, str]:
    """A verb of ptx in a process of its own: exit code and stdout; stderr goes to the terminal."""
    command = [sys.executable, "-c", "from ptx.cli import main; main()", *arguments]
    done = subprocess.run(
        [*command, "--workspace", str(workspace)], stdout=subprocess.PIPE, text=True, check=False
    )
    return done.returncode, done.stdout


def train(name: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Train once; the last line of the metrics, with the seconds that its epochs took."""
    workspace = options.workspace / f"seed-{seed}"
    arguments = ["train", name, "--seed", str(seed)]
    if options.data and CATALOG[name].data.endswith("mnist"):
        arguments += ["--data", options.data]
    if options.fast and CATALOG[name].preprocessing["kind"] in FAST_ROWS:
        arguments += ["--epochs", str(FAST_EPOCHS)]
    metrics = workspace / name / "metrics.csv"
    if not (options.reuse and metrics.exists()):
        code, _ = run(*arguments, workspace=workspace)
        if code:
            raise SystemExit(f"ptx {' '.join(arguments)} ended with {code}")
    header, *rows = metrics.read_text().splitlines()
    last = dict(zip(header.split(","), rows[-1].split(","), strict=True))
    accuracy = last["test_accuracy"]
    return {
        "seed": seed,
        "epochs": int(last["epoch"]),
        "accuracy": float(accuracy) if accuracy else None,
        "loss": float(last["test_loss"]),
        "seconds": round(sum(float(line.split(",")[5]) for line in rows), 1),
    }


def folds(seed: int) -> list[float]:
    """The diabetes model's accuracy on each of five folds that it was not trained on."""
    from ptx.trainers import documented_recipe
    from ptx.trainers import train as train_model
    from ptx.trainers.data.tables import diabetes_folds

    accuracies = []
    for dataset in diabetes_folds():
        with tempfile.TemporaryDirectory() as folder:
            recipe = documented_recipe("diabetes")
            result = train_model("diabetes", dataset, recipe, folder=Path(folder), seed=seed)
            accuracies.append(result.history[-1]["test_accuracy"])
    return accuracies


def prove(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Export the first seed's run to all formats, and compare all backends over its test set."""
    workspace = options.workspace / f"seed-{options.seeds[0]}"
    exported, _ = run("export", name, "--format", "all", workspace=workspace)
    code, text = run("compare", name, "--json", workspace=workspace)
    folder = workspace / name
    return {
        "exported": exported == 0,
        "agrees": code == 0,
        "comparison": json.loads(text) if text else None,
        "sizes": {
            kind: (folder / f"{name}{suffix}").stat().st_size
            for kind, suffix in FORMATS.items()
            if (folder / f"{name}{suffix}").exists()
        },
    }


def row(name: str, result: dict[str, Any]) -> str:
    """One line of the table."""
    runs = result["runs"]
    if runs[0]["accuracy"] is None:
        reached = f"loss {runs[0]['loss']:.4f}"
    else:
        accuracies = [100 * one["accuracy"] for one in runs]
        reached = f"{min(accuracies):.2f}-{max(accuracies):.2f} %"
    comparison = result["proof"]["comparison"] or {"backends": [], "rows": 0}
    differ = sum(one["differ"] for one in comparison["backends"])
    backends = sum(one["holds"] for one in comparison["backends"])
    verdict = "agrees" if result["proof"]["exported"] and result["proof"]["agrees"] else "DIFFERS"
    seconds = sum(one["seconds"] for one in runs) / len(runs)
    return (
        f"{name:20} {runs[0]['epochs']:6} {seconds:8.1f} {reached:>16}"
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
    path = options.workspace / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    header = ("epochs", "seconds", "reaches", "rows", "backends", "differ")
    widths = (6, 8, 16, 7, 8, 7)
    titles = " ".join(title.rjust(width) for title, width in zip(header, widths, strict=True))
    lines = [f"{'model':20} {titles}"]
    for name in options.models:
        runs = [train(name, seed, options) for seed in options.seeds]
        results[name] = {"runs": runs, "proof": prove(name, options)}
        if name == "diabetes":
            results[name]["folds"] = [a for seed in options.seeds for a in folds(seed)]
        path.write_text(json.dumps(results, indent=1))
        lines.append(row(name, results[name]))
        print(lines[-1], flush=True)
    print("\n" + "\n".join(lines))
    failed = [n for n in options.models if not results[n]["proof"]["agrees"]]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
