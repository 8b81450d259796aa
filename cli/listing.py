"""What `ptx models` says of a model: as a row, as facts, as JSON."""

from __future__ import annotations

from collections.abc import Iterator

from ptx import infer, models, report
from ptx.cli.workspace import Workspace
from ptx.infer.artifact.formats import CHECKPOINT


def row(name: str, space: Workspace) -> tuple[str, ...]:
    """Its line of the table."""
    files, entry = space.files(name), models.lookup(name)
    exported = ", ".join(kind for kind in files if kind != CHECKPOINT) or "-"
    if entry is None:
        return name, "of your own", "-", "-", exported
    trained = "yes" if CHECKPOINT in files else "-"
    return name, entry.task, f"{entry.parameters:,}", trained, exported


def facts(name: str, files: list[str]) -> Iterator[tuple[str, str]]:
    """All about one model, as (title, text) for people."""
    entry = models.known_models()[name]
    yield "model", name
    yield "summary", entry.summary
    yield "task", entry.task
    yield from report.signature_facts(infer.Signature.from_data(entry.signature))
    yield "parameters", f"{entry.parameters:,}"
    yield "data", entry.data
    default = "default" if "documented" in entry.recipes else "default, documented"
    for title, recipe in {default: entry.recipe, **entry.recipes}.items():
        yield "recipe", f"{title}: {report.join_settings(recipe)}"
    yield "reaches", entry.reaches
    yield "source", entry.source
    yield "files", ", ".join(files) or "none"
    if entry.notes:
        yield "notes", entry.notes


def record(name: str, files: list[str]) -> dict[str, object]:
    """The same as a JSON object."""
    entry = models.known_models()[name]
    return {
        "model": name,
        "summary": entry.summary,
        "task": entry.task,
        "inputs": entry.signature["inputs"],
        "outputs": entry.signature["outputs"],
        "parameters": entry.parameters,
        "data": entry.data,
        "recipe": dict(entry.recipe),
        "recipes": {name: dict(recipe) for name, recipe in entry.recipes.items()},
        "reaches": entry.reaches,
        "source": entry.source,
        "files": files,
        **({"notes": entry.notes} if entry.notes else {}),
    }
