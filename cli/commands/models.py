"""ptx models"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

import ptx.models as catalog
from ptx import infer, report
from ptx.cli import options
from ptx.cli.streams import echo, writes_unicode
from ptx.cli.terminal import facts, print_note, print_summary, table
from ptx.cli.workspace import Workspace, require_model
from ptx.infer.artifact.formats import CHECKPOINT, FORMATS


@click.command(
    epilog="\b\nExamples:\n  ptx models\n  ptx models lstm",
)
@click.argument("model", required=False, shell_complete=options.complete_name)
@options.workspace
@options.as_json
@options.common
def models(model: str | None, workspace: Path, as_json: bool) -> None:
    """List the models, and which of them are trained and exported. With MODEL: describe it."""
    space, custom = Workspace(workspace), list[str]()
    if model is None:
        custom = space.custom_models()
        for name, reason in catalog.broken_entries().items():
            print_note(f"the model {name!r} of a package is skipped: {reason}")
    names = list(catalog.known_models()) if model is None else [require_model(model)]
    if as_json:
        records = [_record(name, list(space.files(name))) for name in names]
        records += [{"model": name, "files": list(space.files(name))} for name in custom]
        for record in records:
            echo(json.dumps(record, ensure_ascii=not writes_unicode()))
    elif model is not None:
        echo(facts(_facts(model, list(space.files(model)))))
        print_summary("", _suggest_next(space, names))
    else:
        rows = [_row(name, space) for name in (*names, *custom)]
        echo(table(("model", "task", "params", "trained", "exported"), rows))
        trained = [name for name in names if CHECKPOINT in space.files(name)]
        print_summary(f"{len(names)} models, {len(trained)} trained", _suggest_next(space, names))


def _suggest_next(space: Workspace, names: list[str]) -> str:
    """The next command: export a model that is only trained, else view an exported one, else train."""
    names = sorted(names, key=lambda name: name != "convnet")  # convnet first: it takes images
    files = {name: set(space.files(name)) for name in names}
    for name in names:
        if files[name] == {CHECKPOINT}:
            return f"ptx export {name} --format {next(iter(FORMATS))}"
    for name in names:
        if files[name]:
            return f"ptx report {name}" if CHECKPOINT in files[name] else f"ptx verify {name}"
    return f"ptx train {'convnet' if 'convnet' in names else names[0]}"


def _row(name: str, space: Workspace) -> tuple[str, ...]:
    """A row of the table."""
    files, entry = space.files(name), catalog.lookup(name)
    exported = " ".join(kind for kind in files if kind != CHECKPOINT) or "-"
    if entry is None:
        return name, "custom", "-", "-", exported
    trained = "yes" if CHECKPOINT in files else "-"
    return name, entry.task, f"{entry.parameters:,}", trained, exported


def _facts(name: str, files: list[str]) -> Iterator[tuple[str, str]]:
    """Everything about one model, as title and text."""
    entry = catalog.known_models()[name]
    yield "model", name
    yield "summary", entry.summary
    yield "task", entry.task
    yield from report.signature_facts(infer.Signature.from_data(entry.signature))
    yield "parameters", f"{entry.parameters:,}"
    yield "data", entry.data
    default = "default" if "documented" in entry.recipes else "default, documented"
    for title, recipe in {default: entry.recipe, **entry.recipes}.items():
        yield "recipe", f"{title}: {report.join_settings(recipe)}"
    yield "results", entry.results
    yield "source", entry.source
    yield "files", ", ".join(files) or "none"
    if entry.notes:
        yield "notes", entry.notes


def _record(name: str, files: list[str]) -> dict[str, object]:
    """Everything about one model, as a JSON object."""
    entry = catalog.known_models()[name]
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
        "results": entry.results,
        "source": entry.source,
        "files": files,
        **({"notes": entry.notes} if entry.notes else {}),
    }
