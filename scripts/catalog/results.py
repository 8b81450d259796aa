"""Collect what trained runs reached into results.json of docs/reference, and write models.md there.

Usage: python scripts/catalog/results.py WORKSPACE... [--prove]

Every figure comes from a run's own checkpoint: its manifest and its history. The name of the recipe is
that of the catalog whose values the manifest holds; the date is the file's. `--prove` also exports the
first run of each model to all formats and compares all backends over its test rows.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models_page import VALIDATION, groups, write_page

from ptx.export import EXPORTERS
from ptx.infer import load, read_artifact
from ptx.infer.artifact.formats import FORMATS
from ptx.infer.artifact.manifest import Manifest
from ptx.models import CATALOG
from ptx.models.checkpoint import loads
from ptx.report.measurement import machine
from ptx.trainers import DATASETS, Recipe, evaluate, open_dataset
from ptx.trainers.recipe import recipes_of

RESULTS = Path(__file__).parents[2] / "docs" / "reference" / "results.json"
OPTIONS = ("epochs", "lr", "batch_size")  # of `ptx train`, in the place of the recipe's

Run = dict[str, Any]


def collect(workspaces: list[Path], path: Path = RESULTS, *, prove: bool = False) -> Run:
    """Add the runs of the workspaces to the results at `path`; newer runs replace older ones."""
    results: Run = {"runs": [], "proofs": {}}
    if path.exists():
        results = json.loads(path.read_text())
    runs = {identity(run): run for run in results["runs"]}
    places = {}
    for checkpoint in (found for space in workspaces for found in checkpoints(space)):
        try:
            run = read_run(checkpoint)
        except ValueError as reason:
            print(f"{checkpoint} is left out: {reason}", file=sys.stderr)
            continue
        former = runs.get(identity(run), run)
        if run["date"] >= former["date"]:
            runs[identity(run)] = run
            places[run["weights"]] = checkpoint
    order = list(CATALOG)
    results["runs"] = sorted(
        runs.values(), key=lambda run: (order.index(run["model"]), identity(run))
    )
    write(path, results)
    for run in first_runs(results["runs"]) if prove else ():
        former = results["proofs"].get(run["model"], {})
        if run["weights"] in places and former.get("weights") != run["weights"]:
            results["proofs"][run["model"]] = prove_run(run, places[run["weights"]])
            write(path, results)
    return results


def write(path: Path, results: Run) -> None:
    """The results as JSON that a person can read and compare."""
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def checkpoints(workspace: Path) -> Iterator[Path]:
    """The checkpoints of catalog models at any depth of a folder."""
    for path in sorted(workspace.rglob("checkpoint.pt")):
        if path.parent.name in CATALOG:
            yield path


def identity(run: Run) -> str:
    """What makes two runs the same one."""
    return json.dumps([run["data"]["name"], run["model"], run["seed"], run["values"]])


def first_runs(runs: list[Run]) -> Iterator[Run]:
    """The run of each model whose files are measured: that of the page's first line."""
    for name in CATALOG:
        for group in groups(name, [run for run in runs if run["data"]["name"] != VALIDATION])[:1]:
            yield min(group, key=lambda run: int(run["seed"]))


def read_run(path: Path) -> Run:
    """What one checkpoint says of its training.

    Raises:
        ValueError: it is not at its end, or of a recipe or data that there are no longer.
    """
    artifact = read_artifact(path)
    manifest = artifact.require_manifest()
    training, history = manifest.training, loads(artifact.data).history
    check_run(manifest)
    recipe, options = named_recipe(manifest)
    last = history[-1]
    run = {
        "model": manifest.model,
        "recipe": recipe,
        "options": options,
        "values": Recipe.with_defaults(training["recipe"]),
        "command": "",
        "data": {key: training["data"][key] for key in ("name", "sha256", "rows", "test_rows")},
        "seed": training["seed"],
        "epochs": training["epochs"],
        "accuracy": last.get("test_accuracy"),
        "loss": last["test_loss"],
        "seconds": round(sum(row["seconds"] for row in history), 1),
        "device": training["device"],
        "versions": {**manifest.versions, "python": platform.python_version()},
        "machine": machine(),
        "date": datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds"),
        "weights": manifest.weights_sha256,
    }
    run["command"] = command(run)
    if manifest.preprocessing["kind"] == "char-codes":
        run["labels"] = right_by_label(path, manifest)
    return run


def check_run(manifest: Manifest) -> None:
    """ValueError where a run is not at its end, or was trained on rows that are now others."""
    training = manifest.training
    if training["epochs"] < training["recipe"]["epochs"]:
        raise ValueError(
            f"{training['epochs']} of {training['recipe']['epochs']} epochs are trained"
        )
    name = training["data"]["name"]
    if name in DATASETS and not DATASETS[name].download:
        rows = open_dataset(name, default=name, cache=Path())
        if rows.sha256 != training["data"]["sha256"]:
            raise ValueError(f"{name} has other rows now")


def named_recipe(manifest: Manifest) -> tuple[str, dict[str, Any]]:
    """The catalog's name for a manifest's recipe, and the options that were given beside it."""
    trained = Recipe.with_defaults(manifest.training["recipe"])
    for allowed in ((), OPTIONS):
        for name, recipe in recipes_of(CATALOG[manifest.model]).items():
            known = Recipe.with_defaults(recipe)
            changed = {key: trained[key] for key in trained if trained[key] != known[key]}
            if set(changed) <= set(allowed):
                return name, changed
    raise SystemExit(
        f"{manifest.model} was trained with a recipe that the catalog does not have: {trained}"
    )


def command(run: Run) -> str:
    """The command that gives this run again."""
    name = run["data"]["name"]
    if name not in DATASETS:
        return f"./scripts/train_all --models {run['model']} --seeds {run['seed']}"
    words = ["ptx", "train", run["model"]]
    words += ["--recipe", run["recipe"]] if run["recipe"] != "default" else []
    for option in (option for option in OPTIONS if option in run["options"]):
        words += [f"--{option.replace('_', '-')}", f"{run['options'][option]:g}"]
    words += ["--seed", str(run["seed"])]
    words += ["--data", name] if DATASETS[name].row_type == "image" else []
    return " ".join(words)


def right_by_label(path: Path, manifest: Manifest) -> dict[str, list[int]]:
    """For each label how many of its test rows are answered right, and how many there are."""
    name = manifest.training["data"]["name"]
    data = open_dataset(name, default=name, cache=path.parent)
    with load(path, backend="eager", device="cpu") as predictor:
        confusion = evaluate(predictor, data.test).confusion
    assert confusion is not None
    rights, rows = confusion.diagonal().tolist(), confusion.sum(axis=1).tolist()
    return {
        label: [right, count] for label, right, count in zip(data.labels, rights, rows, strict=True)
    }


def prove_run(run: Run, checkpoint: Path) -> dict[str, Any]:
    """Export a run to all formats and compare all backends over its test rows."""
    name = run["model"]
    print(f"{name}: exporting and comparing", file=sys.stderr)
    with tempfile.TemporaryDirectory() as space:
        folder = Path(space) / name
        folder.mkdir()
        shutil.copy(checkpoint, folder)
        exported, _ = ptx("export", name, "--format", "all", workspace=space)
        agrees, text = ptx("compare", name, "--json", workspace=space)
        files = {kind: folder / f"{name}{FORMATS[kind].suffix}" for kind in EXPORTERS}
        return {
            "weights": run["weights"],
            "exported": exported == 0,
            "agrees": agrees == 0,
            "comparison": json.loads(text) if text else None,
            "sizes": {kind: file.stat().st_size for kind, file in files.items() if file.exists()},
        }


def ptx(*arguments: str, workspace: str) -> tuple[int, str]:
    """A verb of ptx in a process of its own: exit code and stdout; stderr goes to the terminal."""
    words = [sys.executable, "-c", "from ptx.cli import main; main()", *arguments]
    done = subprocess.run(
        [*words, "--workspace", workspace], stdout=subprocess.PIPE, text=True, check=False
    )
    return done.returncode, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspaces", type=Path, nargs="*")
    parser.add_argument("--prove", action="store_true", help="export and compare what is new")
    options = parser.parse_args()
    write_page(collect(options.workspaces, prove=options.prove))


if __name__ == "__main__":
    main()
